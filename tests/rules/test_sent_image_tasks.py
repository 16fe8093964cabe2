"""Rules of image tasks that are sent, or about to be.

What a deletion, a disassociation or a move still cancels (X6), who takes a task over (X1), and who may end it.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.tasks import TaskState
from scheduler_service.steps.follow import follow
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import TASK_LEASE, World, scheduler_world
from tests.support.scheduler_fakes import (
    BUSY,
    LOCAL_SYSTEM_DISK,
    NO_IMAGE_QUOTA,
    NO_INSTANCE,
    NO_SNAPSHOT_QUOTA,
    Fault,
    lost_answer,
    lost_request,
    raising,
)
from tests.support.scheduler_values import association, uid

MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def move(world: World) -> None:
    world.disassociate()
    world.policies.holding[association("i-1", "weekly")] = uid("weekly")


CHANGES = pytest.mark.parametrize(
    ("change", "reason"),
    [(World.delete_policy, "POLICY_DELETED"), (World.disassociate, "DISASSOCIATED"), (move, "DISASSOCIATED")],
)
Change = Callable[[World], None]


@pytest.mark.rule("X6")
@CHANGES
def test_a_task_that_was_never_sent_is_cancelled_once_it_is_resolved(world: World, change: Change, reason: str) -> None:
    world.add_trigger("i-1")
    change(world)
    take_up(world.deps)
    send(world.deps)
    assert world.outcomes() == [("i-1", "PENDING", reason)]
    resolve(world.deps)
    assert world.outcomes() == [("i-1", "CANCELLED", reason)]
    assert (world.compute.creates, world.resolves(), world.task().attempt_count) == ([], 1, 0)
    assert world.compute.settled == {world.task().request_id: "REQUEST_RESOLVED"}


@pytest.mark.rule("X6")
@CHANGES
def test_a_task_that_was_sent_is_cancelled_once_it_is_resolved(world: World, change: Change, reason: str) -> None:
    world.faults.next("create_images", lost_request())
    world.add_trigger("i-1")
    world.run_until_idle()
    change(world)
    world.settle()
    assert world.outcomes() == [("i-1", "CANCELLED", reason)]
    assert (world.compute.creates, world.resolves()) == ([], 1)
    assert world.compute.settled == {world.task().request_id: "REQUEST_RESOLVED"}


@pytest.mark.rule("X6")
@CHANGES
def test_a_task_whose_build_was_accepted_unknown_to_us_is_finished(world: World, change: Change, reason: str) -> None:
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1")
    world.run_until_idle()
    change(world)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.resolves() == 1


@pytest.mark.rule("X6")
@CHANGES
def test_a_task_that_is_building_is_finished(world: World, change: Change, reason: str) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    change(world)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X6")
@CHANGES
def test_a_task_that_was_confirmed_before_the_change_counts_as_being_built(
    world: World, change: Change, reason: str
) -> None:
    world.add_trigger("i-1")
    world.faults.next("filter_associated", Fault(after=lambda: change(world)))
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X6")
def test_what_waits_for_a_busy_instance_is_cancelled_by_the_next_look(world: World) -> None:
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1")
    world.run_until_idle()
    world.disassociate()
    world.live(timedelta(minutes=1))
    assert world.outcomes() == [("i-1", "CANCELLED", "DISASSOCIATED")]
    assert (len(world.compute.creates), world.resolves()) == (1, 1)


@pytest.mark.rule("X6")
def test_every_create_may_arrive_until_the_end_of_its_task_lease_and_no_later(world: World) -> None:
    leases: list[datetime] = []
    world.faults.next("create_images", Fault(before=lambda: leases.append(world.task().due_operating)))
    world.faults.next("create_images", Fault(before=lambda: leases.append(world.task().due_operating)))
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1")
    world.live(timedelta(minutes=1))
    assert [not_after for _, not_after in world.compute.creates] == leases
    assert leases == [START + TASK_LEASE, START + timedelta(minutes=1) + TASK_LEASE]


@pytest.mark.rule("X6")
def test_a_create_that_arrives_after_the_lease_builds_nothing_and_is_sent_again(world: World) -> None:
    delay = Fault(before=lambda: world.time.operating.advance(TASK_LEASE + MICROSECOND))
    world.faults.next("create_images", delay)
    world.add_trigger("i-1")
    take_up(world.deps)
    send(world.deps)
    assert (world.compute.made, world.task().reason) == (0, "REQUEST_TOO_LATE")
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert len(world.compute.creates) == 2


@pytest.mark.rule("X1")
def test_the_tasks_of_a_scheduler_that_died_are_taken_over_when_its_lease_ends(world: World) -> None:
    world.add_trigger("i-1")
    take_up(world.deps)
    world.faults.next("filter_associated", Fault(before=raising(KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        send(world.deps)
    other = world.replica("scheduler-2")
    world.time.operating.advance(TASK_LEASE - MICROSECOND)
    assert send(other) == Wake(operating=START + TASK_LEASE)
    world.time.operating.advance(MICROSECOND)
    assert send(other) == Wake(at_once=True)
    assert (world.task().state, world.compute.made) == (TaskState.BUILDING, 1)


@pytest.mark.rule("X1")
def test_a_scheduler_that_wakes_up_after_its_lease_ran_out_writes_nothing(world: World) -> None:
    """Another one has sent its task anew, got the same image, and is followed up already."""
    other, taken_over = world.replica("scheduler-2"), []

    def meanwhile() -> None:
        world.time.operating.advance(TASK_LEASE)
        send(other)
        world.compute.finish_at(world.compute.image_of("i-1"), START)
        world.pass_time(timedelta(seconds=2))
        follow(other)
        taken_over.append((world.task(), world.execution(), world.undelivered()))

    world.add_trigger("i-1")
    take_up(world.deps)
    world.faults.next("create_images", Fault(after=meanwhile))
    send(world.deps)
    assert taken_over == [(world.task(), world.execution(), world.undelivered())]
    assert (world.outcomes(), world.compute.made) == ([("i-1", "SUCCEEDED", "")], 1)


@pytest.mark.rule("X6")
def test_a_create_that_arrives_after_its_request_was_resolved_builds_nothing(world: World) -> None:
    """A sender is stuck; its task is cancelled and resolved by another replica; then its create arrives."""
    other = world.replica("scheduler-2")

    def meanwhile() -> None:
        world.disassociate()
        world.time.operating.advance(TASK_LEASE)
        send(other)
        resolve(other)
        assert world.outcomes() == [("i-1", "CANCELLED", "DISASSOCIATED")]

    world.add_trigger("i-1")
    take_up(world.deps)
    world.faults.next("create_images", Fault(before=meanwhile))
    send(world.deps)
    assert len(world.compute.creates) == 1
    world.settle()
    assert world.outcomes() == [("i-1", "CANCELLED", "DISASSOCIATED")]
    assert (world.compute.made, world.resolves()) == (0, 1)


@pytest.mark.rule("X6")
def test_every_end_without_success_follows_exactly_one_resolve(world: World) -> None:
    refusals = {
        "i-quota": NO_IMAGE_QUOTA,
        "i-snapshots": NO_SNAPSHOT_QUOTA,
        "i-gone": NO_INSTANCE,
        "i-local": LOCAL_SYSTEM_DISK,
        "i-busy": BUSY,
    }
    world.compute.refusals |= refusals
    world.compute.failing.add("i-error")
    world.add_trigger(*refusals, "i-error", "i-fine", "i-deleted", "i-left")
    world.disassociate("i-left")
    world.run_until_idle()
    world.compute.remove(world.compute.image_of("i-deleted"))
    world.live(WINDOW)
    ends = {instance: (state, reason) for instance, state, reason in world.outcomes()}
    assert ends == {
        "i-quota": ("SKIPPED", "IMAGE_QUOTA_EXCEEDED"),
        "i-snapshots": ("SKIPPED", "SNAPSHOT_QUOTA_EXCEEDED"),
        "i-gone": ("SKIPPED", "INSTANCE_NOT_FOUND"),
        "i-local": ("FAILED", "LOCAL_SYSTEM_DISK"),
        "i-busy": ("FAILED", "INSTANCE_BUSY"),
        "i-error": ("FAILED", "SNAPSHOT_FAILED"),
        "i-deleted": ("FAILED", "IMAGE_DELETED"),
        "i-left": ("CANCELLED", "DISASSOCIATED"),
        "i-fine": ("SUCCEEDED", ""),
    }
    for instance in ends:
        assert world.resolves(instance) == (0 if instance == "i-fine" else 1), instance


@pytest.mark.rule("X6")
def test_a_task_that_cannot_be_resolved_does_not_end(world: World) -> None:
    world.outage("resolve")
    world.compute.refusals["i-1"] = LOCAL_SYSTEM_DISK
    world.add_trigger("i-1")
    world.live(timedelta(minutes=5))
    assert (world.task().state, world.execution().counts.open) == (TaskState.PENDING, 1)
    world.faults.clear("resolve")
    world.settle()
    assert world.outcomes() == [("i-1", "FAILED", "LOCAL_SYSTEM_DISK")]
