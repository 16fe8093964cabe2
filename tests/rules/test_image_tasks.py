"""Rules of image tasks: how they are retried, and when and why they end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import Kind
from scheduler_service.domain.tasks import BUSY_LAST, Phase, TaskState
from scheduler_service.steps.follow import follow
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from servicekit.errors import InternalError, Unavailable
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
    refused,
    throttled,
)
from tests.support.scheduler_values import association, uid

MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(hours=1)
DAY = timedelta(hours=24)
NEXT = START + timedelta(hours=12)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def sent_at(world: World) -> list[timedelta]:
    """How long after START each create was sent: its lease began just then."""
    return [not_after - TASK_LEASE - START for _, not_after in world.compute.creates]


def resolves(world: World, instance_id: str = "i-1") -> int:
    """How many times the request of the instance's latest task was resolved."""
    return world.compute.resolves[world.task(instance_id).request_id]


def outage(world: World, *methods: str) -> None:
    for method in methods:
        world.faults.always(method, lost_request())


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
    assert (world.task().attempt_count, resolves(world)) == (10, 1)


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
    assert (resolves(world), len(world.compute.creates)) == (1, 1)


@pytest.mark.rule("X4")
def test_a_task_that_was_never_sent_is_superseded_by_the_next_one(world: World) -> None:
    outage(world, "filter_associated")
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
    outage(world, "create_images", "resolve")
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
    outage(world, "resolve")
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
    outage(world, "filter_associated")
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
    outage(world, "create_images")
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
    outage(world, "filter_associated")
    for policy in ("first", "last"):
        world.add_trigger("i-1", policy=policy)
        take_up(world.deps)
    world.faults.clear("filter_associated")
    world.settle()
    states = {e.policy_id: e.state.value for e in world.executions()}
    assert states == {"first": "SKIPPED", "last": "SUCCEEDED"}


# X5: compute or the policy service is away


@pytest.mark.rule("X5")
def test_a_build_is_sent_again_and_again_with_growing_pauses(world: World) -> None:
    world.random.share = 1.0
    outage(world, "create_images")
    world.add_trigger("i-1")
    take_up(world.deps)
    pauses = []
    for _ in range(9):
        before = world.time.operating.now()
        send(world.deps)
        assert (world.task().state, world.task().reason) == (TaskState.PENDING, "COMPUTE_UNAVAILABLE")
        pauses.append((world.task().due_operating - before).total_seconds())
        world.time.operating.set(world.task().due_operating - MICROSECOND)
        attempts = world.task().attempt_count
        assert send(world.deps) == Wake(operating=world.task().due_operating)
        assert world.task().attempt_count == attempts
        world.time.operating.advance(MICROSECOND)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]


@pytest.mark.rule("X5")
def test_a_pause_may_be_anything_up_to_its_ceiling(world: World) -> None:
    """Full jitter, whatever the client makes of an answer that never came."""
    world.random.share = 0.0
    world.faults.next("create_images", lost_request())
    world.add_trigger("i-1")
    take_up(world.deps)
    send(world.deps)
    assert world.task().due_operating == START


@pytest.mark.rule("X5")
@pytest.mark.parametrize(("method", "step"), [("create_images", send), ("get_images", follow), ("resolve", resolve)])
def test_a_delay_that_compute_asks_for_is_kept(world: World, method: str, step: Callable[..., Wake]) -> None:
    delay = timedelta(minutes=2)
    if step is resolve:
        world.compute.refusals["i-1"] = LOCAL_SYSTEM_DISK
    world.faults.next(method, throttled(delay))
    world.add_trigger("i-1")
    take_up(world.deps)
    if step is not send:
        send(world.deps)
    world.time.product.advance(timedelta(minutes=1))
    step(world.deps)
    assert world.task().due_operating == START + delay
    world.time.operating.advance(delay)
    assert step(world.deps) == Wake(at_once=True)


@pytest.mark.rule("X5")
def test_compute_that_throttles_a_single_build_is_given_the_time_it_asks_for(world: World) -> None:
    world.compute.refusals["i-1"] = refused("UNAVAILABLE", "OVERLOADED", timedelta(seconds=40))
    world.add_trigger("i-1")
    world.run_until_idle()
    assert world.task().due_operating == START + timedelta(seconds=40)
    world.compute.refusals.clear()
    world.settle()
    assert world.task().build_start_time == START + timedelta(seconds=40)


@pytest.mark.rule("X5")
def test_a_service_that_is_away_is_left_alone_by_everyone_for_a_moment(world: World) -> None:
    """Else its tasks, put off one by one, would come back one by one."""
    outage(world, "create_images")
    world.add_trigger("i-1")
    take_up(world.deps)
    notified = world.notified
    assert send(world.deps) == Wake(operating=START + timedelta(seconds=0.5))
    assert world.notified == notified
    world.faults.clear("create_images")
    world.pass_time(timedelta(seconds=0.5))
    assert send(world.deps) == Wake(at_once=True)
    assert world.notified == notified + 1


@pytest.mark.rule("X5")
def test_at_the_end_of_the_start_window_a_build_is_still_begun(world: World) -> None:
    outage(world, "create_images")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.faults.clear("create_images")
    world.pass_time(WINDOW)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.task().build_start_time == START + WINDOW


@pytest.mark.rule("X5")
def test_past_the_start_window_a_build_that_compute_never_accepted_fails(world: World) -> None:
    outage(world, "create_images")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.faults.clear("create_images")
    world.pass_time(WINDOW + MICROSECOND)
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "FAILED", "COMPUTE_UNAVAILABLE")]
    assert (world.compute.creates, resolves(world)) == ([], 1)


@pytest.mark.rule("X5", "X6")
def test_past_the_start_window_a_build_that_compute_had_accepted_is_followed(world: World) -> None:
    world.faults.next("create_images", lost_answer())
    outage(world, "create_images")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(WINDOW + MICROSECOND)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.compute.made == 1


@pytest.mark.rule("X5")
@pytest.mark.parametrize("late", [timedelta(0), MICROSECOND])
@pytest.mark.parametrize(
    ("kind", "scheduled", "triggered"),
    [
        (Kind.SCHEDULED, START - WINDOW, START - WINDOW),
        (Kind.CATCH_UP, START - DAY, START - WINDOW),
        (Kind.RUN_NOW, START - WINDOW, START - WINDOW),
    ],
)
def test_the_start_window_is_counted_from_the_planned_start(
    world: World, late: timedelta, kind: Kind, scheduled: datetime, triggered: datetime
) -> None:
    """The scheduled time; of what is late or asked for by a user, the moment of triggering."""
    world.add_trigger("i-1", kind=kind, run_id=uid("run"), scheduled=scheduled - late, triggered=triggered - late)
    world.settle()
    assert world.outcomes() == [("i-1", "FAILED", "START_WINDOW_PASSED") if late else ("i-1", "SUCCEEDED", "")]
    assert len(world.compute.creates) == (0 if late else 1)


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("FAILED_PRECONDITION", "LOCAL_SYSTEM_DISK"),
        ("FAILED_PRECONDITION", "NO_SYSTEM_DISK"),
        ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("PERMISSION_DENIED", "COMPUTE_REFUSED"),
    ],
)
def test_a_permanent_refusal_fails_at_once_with_computes_reason(world: World, code: str, reason: str) -> None:
    world.compute.refusals["i-1"] = refused(code, reason)
    world.add_trigger("i-1")
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "FAILED", reason)]
    assert (len(world.compute.creates), resolves(world)) == (1, 1)


@pytest.mark.rule("X5")
def test_a_failed_image_fails_its_task_without_a_second_attempt(world: World) -> None:
    world.compute.failing.add("i-1")
    world.add_trigger("i-1")
    world.settle()
    assert world.outcomes() == [("i-1", "FAILED", "SNAPSHOT_FAILED")]
    world.live(timedelta(hours=2))
    assert (len(world.compute.creates), world.compute.made) == (1, 1)


@pytest.mark.rule("X5")
def test_a_build_times_out_after_24_hours_and_its_late_image_is_adopted(world: World) -> None:
    world.compute.build_time = timedelta(hours=26)
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(DAY - MICROSECOND)
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "BUILDING", "")]
    world.live(timedelta(minutes=1))
    assert world.outcomes() == [("i-1", "FAILED", "BUILD_TIMEOUT")]
    assert (world.task().phase, world.task().late_image_time) == (Phase.LATE, None)

    outage(world, "get_images")
    world.pass_time(timedelta(hours=2))
    world.run_until_idle()
    world.faults.clear("get_images")
    world.live(timedelta(hours=1))
    assert world.outcomes() == [("i-1", "FAILED", "BUILD_TIMEOUT")]
    assert world.task().phase is Phase.DONE
    late = world.task().late_image_time
    assert late is not None
    assert late >= START + timedelta(hours=26)
    assert (world.compute.made, resolves(world)) == (1, 1)


@pytest.mark.rule("X5")
@pytest.mark.parametrize(("passed", "state"), [(DAY - MICROSECOND, "BUILDING"), (DAY, "FAILED")])
def test_the_build_deadline_is_24_hours_from_acceptance(world: World, passed: timedelta, state: str) -> None:
    world.compute.build_time = timedelta(days=3)
    world.faults.next("create_images", lost_request())
    world.add_trigger("i-1")
    world.live(timedelta(minutes=1))
    world.time.product.set(START)
    accepted = world.task().build_start_time
    assert accepted is not None
    assert accepted > START
    world.time.product.set(accepted + passed)
    world.run_until_idle()
    assert world.task().state.value == state


@pytest.mark.rule("X5")
@pytest.mark.parametrize(("passed", "state"), [(DAY - MICROSECOND, "BUILDING"), (DAY, "FAILED")])
def test_the_build_deadline_counts_from_an_acceptance_whose_answer_was_lost(
    world: World, passed: timedelta, state: str
) -> None:
    world.compute.build_time = timedelta(days=3)
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(timedelta(minutes=30))
    world.run_until_idle()
    assert world.task().build_start_time == START
    world.time.product.set(START + passed)
    world.run_until_idle()
    assert world.task().state.value == state


@pytest.mark.rule("X5")
@pytest.mark.parametrize("lost", ["fails", "deleted"])
def test_a_late_image_that_is_lost_is_not_adopted(world: World, lost: str) -> None:
    world.compute.build_time = timedelta(hours=26)
    if lost == "fails":
        world.compute.failing.add("i-1")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(DAY)
    world.run_until_idle()
    assert world.task().phase is Phase.LATE
    if lost == "deleted":
        world.compute.remove(world.compute.image_of("i-1"))
    world.pass_time(timedelta(hours=2))
    world.run_until_idle()
    assert (world.task().state, world.task().reason) == (TaskState.FAILED, "BUILD_TIMEOUT")
    assert (world.task().phase, world.task().late_image_time) == (Phase.DONE, None)


@pytest.mark.rule("X5")
def test_an_image_that_is_deleted_under_way_fails_its_task(world: World) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    world.compute.remove(world.compute.image_of("i-1"))
    world.settle()
    assert world.outcomes() == [("i-1", "FAILED", "IMAGE_DELETED")]
    assert resolves(world) == 1


@pytest.mark.rule("X5")
def test_a_build_is_followed_to_its_end_however_long_compute_is_away(world: World) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    outage(world, "get_images")
    world.live(timedelta(minutes=2))
    assert world.outcomes() == [("i-1", "BUILDING", "COMPUTE_UNAVAILABLE")]
    world.pass_time(timedelta(days=2))
    world.faults.clear("get_images")
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X5")
@pytest.mark.parametrize("error", [Unavailable("TRANSPORT"), InternalError("1234")])
def test_inside_the_start_window_a_task_waits_for_the_policy_service(world: World, error: Exception) -> None:
    world.faults.always("filter_associated", Fault(before=raising(error)))
    world.add_trigger("i-1")
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "PENDING", "POLICY_SERVICE_UNAVAILABLE")]
    world.pass_time(WINDOW)
    world.faults.clear("filter_associated")
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X5")
def test_past_the_start_window_a_task_does_not_wait_for_the_policy_service(world: World) -> None:
    outage(world, "filter_associated")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(WINDOW + MICROSECOND)
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "FAILED", "POLICY_SERVICE_UNAVAILABLE")]
    given_up = {world.task().request_id: 1}
    assert (world.compute.creates, world.compute.resolves, world.task().attempt_count) == ([], given_up, 0)


# X6: deleted, disassociated, moved


def delete(world: World) -> None:
    world.policies.delete_policy(uid("daily"))


def disassociate(world: World) -> None:
    del world.policies.holding[association("i-1")]


def move(world: World) -> None:
    disassociate(world)
    world.policies.holding[association("i-1", "weekly")] = uid("weekly")


CHANGES = pytest.mark.parametrize(
    ("change", "reason"), [(delete, "POLICY_DELETED"), (disassociate, "DISASSOCIATED"), (move, "DISASSOCIATED")]
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
    assert (world.compute.creates, resolves(world), world.task().attempt_count) == ([], 1, 0)
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
    assert (world.compute.creates, resolves(world)) == ([], 1)
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
    assert resolves(world) == 1


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
    disassociate(world)
    world.live(timedelta(minutes=1))
    assert world.outcomes() == [("i-1", "CANCELLED", "DISASSOCIATED")]
    assert (len(world.compute.creates), resolves(world)) == (1, 1)


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
        disassociate(world)
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
    assert (world.compute.made, resolves(world)) == (0, 1)


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
    del world.policies.holding[association("i-left")]
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
        assert resolves(world, instance) == (0 if instance == "i-fine" else 1), instance


@pytest.mark.rule("X6")
def test_a_task_that_cannot_be_resolved_does_not_end(world: World) -> None:
    outage(world, "resolve")
    world.compute.refusals["i-1"] = LOCAL_SYSTEM_DISK
    world.add_trigger("i-1")
    world.live(timedelta(minutes=5))
    assert (world.task().state, world.execution().counts.open) == (TaskState.PENDING, 1)
    world.faults.clear("resolve")
    world.settle()
    assert world.outcomes() == [("i-1", "FAILED", "LOCAL_SYSTEM_DISK")]


# All of them, in batches


def test_more_tasks_than_one_batch_are_sent_in_batches_of_500(world: World) -> None:
    world.compute.build_time = timedelta(0)
    for number in range(12):
        world.add_trigger(*(f"i-{number}-{index}" for index in range(100)), policy=f"policy-{number}", topic="")
    world.settle()
    assert [len(asked) for asked in world.policies.asked] == [500, 500, 200]
    assert [len(names) for names in world.compute.gets] == [500, 500, 200]
    assert {execution.counts for execution in world.executions()} == {
        replace(world.executions()[0].counts, total=100, open=0, succeeded=100)
    }


def test_a_time_that_passes_without_anything_due_costs_no_transaction_that_writes(world: World) -> None:
    world.compute.build_time = timedelta(hours=1)
    world.add_trigger("i-1")
    world.run_until_idle()
    before = world.faults.reached
    world.run_until_idle()
    assert world.faults.reached == before + 1  # the poll for triggers
    assert world.wakes[2] == Wake(product=START + timedelta(seconds=2))
