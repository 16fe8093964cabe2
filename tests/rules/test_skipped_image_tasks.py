"""Rules of image tasks that cannot be built as things are: no quota, or an instance that is busy, gone or under way."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import Kind
from scheduler_service.domain.tasks import BUSY_LAST, Phase, TaskState
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
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
)
from tests.support.scheduler_values import association, uid

MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(hours=1)
NEXT = START + timedelta(hours=12)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def sent_at(world: World) -> list[timedelta]:
    """How long after START each create was sent: its lease began just then."""
    return [not_after - TASK_LEASE - START for _, not_after in world.compute.creates]


# X3: no quota


@pytest.mark.rule("X3")
@pytest.mark.parametrize("refusal", [NO_IMAGE_QUOTA, NO_SNAPSHOT_QUOTA])
def test_without_quota_a_task_is_skipped_and_not_retried_and_the_policy_goes_on(world: World, refusal: object) -> None:
    world.compute.refusals["i-1"] = NO_IMAGE_QUOTA if refusal is NO_IMAGE_QUOTA else NO_SNAPSHOT_QUOTA
    reason = world.compute.refusals["i-1"].reason
    world.add_trigger("i-1", "i-2")
    world.settle()
    assert world.outcomes() == [("i-1", "SKIPPED", reason), ("i-2", "SUCCEEDED", "")]
    world.live(timedelta(hours=2))
    assert [r for r, _ in world.compute.creates].count(world.task("i-1").request_id) == 1
    assert [image.instance.rpartition("/")[2] for image in world.compute.images.values()] == ["i-2"]

    world.compute.refusals.clear()
    world.add_trigger("i-1")
    world.settle()
    assert world.task("i-1").state is TaskState.SUCCEEDED


# X4: busy, gone, overlapping


@pytest.mark.rule("X4")
def test_a_busy_instance_is_retried_until_the_start_window_ends_and_then_fails(world: World) -> None:
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1")
    world.live(WINDOW - BUSY_LAST - MICROSECOND)
    assert world.outcomes() == [("i-1", "PENDING", "INSTANCE_BUSY")]
    world.live(MICROSECOND)
    assert world.outcomes() == [("i-1", "FAILED", "INSTANCE_BUSY")]
    minutes = [timedelta(minutes=number) for number in (0, 1, 3, 7, 15, 25, 35, 45, 55)]
    assert sent_at(world) == [*minutes, WINDOW - BUSY_LAST]
    assert (world.task().attempt_count, world.resolves()) == (10, 1)


@pytest.mark.rule("X4")
@pytest.mark.parametrize("busy", [timedelta(minutes=2), WINDOW - BUSY_LAST])
def test_an_instance_that_is_free_in_time_is_imaged(world: World, busy: timedelta) -> None:
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1")
    world.live(busy - MICROSECOND)
    world.compute.refusals.clear()
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.compute.resolves == {}


@pytest.mark.rule("X4", "A9")
def test_an_instance_that_is_gone_is_skipped_and_its_association_reported(world: World) -> None:
    world.compute.refusals["i-1"] = NO_INSTANCE
    world.add_trigger("i-1", "i-2")
    world.settle()
    assert world.outcomes() == [("i-1", "SKIPPED", "INSTANCE_NOT_FOUND"), ("i-2", "SUCCEEDED", "")]
    assert world.policies.missing == [association("i-1")]


@pytest.mark.rule("A9")
def test_a_report_that_fails_changes_nothing_for_the_task(world: World) -> None:
    world.compute.refusals["i-1"] = NO_INSTANCE
    world.faults.next("report_missing", lost_request())
    world.add_trigger("i-1")
    world.settle()
    assert world.outcomes() == [("i-1", "SKIPPED", "INSTANCE_NOT_FOUND")]
    assert world.policies.missing == []


@pytest.mark.rule("X4")
@pytest.mark.parametrize("policy", ["daily", "weekly"])
def test_a_task_is_skipped_while_an_earlier_one_of_its_instance_is_building(world: World, policy: str) -> None:
    world.compute.build_time = timedelta(hours=13)
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(NEXT - START)
    world.add_trigger("i-1", "i-2", policy=policy)
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "BUILDING", ""), ("i-1", "SKIPPED", "OVERLAP"), ("i-2", "BUILDING", "")]
    assert (len(world.compute.creates), world.task().attempt_count) == (2, 0)


@pytest.mark.rule("X2", "X4")
def test_an_execution_of_overlaps_only_is_skipped_once_it_is_resolved(world: World) -> None:
    world.compute.build_time = timedelta(hours=13)
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(timedelta(minutes=1))
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"))
    take_up(world.deps)
    assert [execution.state.value for execution in world.executions()] == ["RUNNING", "RUNNING"]
    assert (world.task().phase, world.task().end_reason) == (Phase.RESOLVE, "OVERLAP")
    resolve(world.deps)
    assert [execution.state.value for execution in world.executions()] == ["RUNNING", "SKIPPED"]
    assert (world.resolves(), len(world.compute.creates)) == (1, 1)


@pytest.mark.rule("X4")
def test_a_task_that_was_never_sent_is_superseded_by_the_next_one(world: World) -> None:
    world.outage("filter_associated")
    world.add_trigger("i-1")
    world.run_until_idle()
    first = world.task().request_id
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"), scheduled=START + timedelta(minutes=30))
    take_up(world.deps)
    assert [outcome[1:] for outcome in world.outcomes()] == [("PENDING", "SUPERSEDED"), ("PENDING", "")]
    resolve(world.deps)
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("PENDING", "")]
    world.faults.clear("filter_associated")
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("SUCCEEDED", "")]
    assert (world.compute.made, world.compute.resolves) == (1, {first: 1})


@pytest.mark.rule("X4", "X6")
def test_a_task_that_was_sent_is_superseded_only_once_it_is_resolved(world: World) -> None:
    world.outage("create_images", "resolve")
    world.add_trigger("i-1")
    world.run_until_idle()
    first = world.task().request_id
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"), scheduled=START + timedelta(minutes=30))
    world.run_until_idle()
    assert [task.state for task in world.tasks()] == [TaskState.PENDING] * 2
    world.faults.clear("create_images")
    world.faults.clear("resolve")
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("SUCCEEDED", "")]
    assert (world.compute.made, world.compute.resolves) == (1, {first: 1})


@pytest.mark.rule("X4", "X6")
def test_a_superseded_task_whose_build_was_accepted_after_all_is_finished(world: World) -> None:
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1")
    take_up(world.deps)
    send(world.deps)
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"), scheduled=START + timedelta(minutes=30))
    take_up(world.deps)
    assert world.tasks()[0].end_reason == "SUPERSEDED"
    world.settle()
    assert [task.state for task in world.tasks()] == [TaskState.SUCCEEDED] * 2
    assert world.compute.made == 2


@pytest.mark.rule("X4")
def test_a_task_is_superseded_although_a_sender_has_just_claimed_it(world: World) -> None:
    def meanwhile() -> None:
        world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"), scheduled=START + timedelta(minutes=30))
        take_up(world.deps)

    world.add_trigger("i-1")
    take_up(world.deps)
    world.faults.next("filter_associated", Fault(after=meanwhile))
    send(world.deps)
    assert world.compute.creates == []
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("SUCCEEDED", "")]


@pytest.mark.rule("X4")
def test_a_task_that_is_ending_already_keeps_its_own_reason(world: World) -> None:
    world.outage("resolve")
    world.compute.refusals["i-1"] = LOCAL_SYSTEM_DISK
    world.add_trigger("i-1")
    world.run_until_idle()
    world.compute.refusals.clear()
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"), scheduled=START + timedelta(minutes=30))
    take_up(world.deps)
    world.faults.clear("resolve")
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("FAILED", "LOCAL_SYSTEM_DISK"), ("SUCCEEDED", "")]


@pytest.mark.rule("X4")
def test_of_several_new_tasks_of_an_instance_the_last_is_built(world: World) -> None:
    for number in range(3):
        world.add_trigger("i-1", policy=f"policy-{number}", scheduled=START + timedelta(seconds=number))
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED")] * 2 + [("SUCCEEDED", "")]


@pytest.mark.rule("X4")
@pytest.mark.parametrize("earlier_first", [True, False])
def test_the_newest_scheduled_time_is_built_whichever_comes_first(world: World, earlier_first: bool) -> None:
    """A trigger that was leased in vain comes again when a later one is pending already."""
    world.outage("filter_associated")
    points = {"older": START - timedelta(hours=12), "newer": START}
    for policy in points if earlier_first else reversed(points):
        world.add_trigger("i-1", policy=policy, kind=Kind.CATCH_UP, scheduled=points[policy])
        take_up(world.deps)
    world.faults.clear("filter_associated")
    world.settle()
    assert [execution.policy_id for execution in world.executions()] == ["older", "newer"]
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("SUCCEEDED", "")]


@pytest.mark.rule("X4")
def test_an_older_task_that_comes_later_neither_supersedes_nor_is_sent(world: World) -> None:
    world.outage("create_images")
    world.add_trigger("i-1", policy="newer")
    world.run_until_idle()
    newer = world.task()
    world.add_trigger("i-1", policy="older", kind=Kind.CATCH_UP, scheduled=START - timedelta(hours=12))
    take_up(world.deps)
    resolve(world.deps)
    assert [task.state.value for task in world.tasks()] == ["SKIPPED", "PENDING"]
    assert world.task() == newer
    world.faults.clear("create_images")
    world.settle()


@pytest.mark.rule("X4")
def test_of_the_same_scheduled_time_the_task_that_comes_last_is_built(world: World) -> None:
    world.outage("filter_associated")
    for policy in ("first", "last"):
        world.add_trigger("i-1", policy=policy)
        take_up(world.deps)
    world.faults.clear("filter_associated")
    world.settle()
    states = {e.policy_id: e.state.value for e in world.executions()}
    assert states == {"first": "SKIPPED", "last": "SUCCEEDED"}
