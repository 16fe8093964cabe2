"""Rules of image tasks while compute or the policy service is away, slow or refuses: retries, windows, deadlines."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import Kind
from scheduler_service.domain.tasks import Phase, TaskState
from scheduler_service.steps.follow import follow
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from servicekit.errors import InternalError, Unavailable
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import (
    LOCAL_SYSTEM_DISK,
    Fault,
    lost_answer,
    lost_request,
    raising,
    refused,
    throttled,
)
from tests.support.scheduler_values import uid

MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(hours=1)
DAY = timedelta(hours=24)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


@pytest.mark.rule("X5")
def test_a_build_is_sent_again_and_again_with_growing_pauses(world: World) -> None:
    world.random.share = 1.0
    world.outage("create_images")
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
    world.outage("create_images")
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
    world.outage("create_images")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.faults.clear("create_images")
    world.pass_time(WINDOW)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.task().build_start_time == START + WINDOW


@pytest.mark.rule("X5")
def test_past_the_start_window_a_build_that_compute_never_accepted_fails(world: World) -> None:
    world.outage("create_images")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.faults.clear("create_images")
    world.pass_time(WINDOW + MICROSECOND)
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "FAILED", "COMPUTE_UNAVAILABLE")]
    assert (world.compute.creates, world.resolves()) == ([], 1)


@pytest.mark.rule("X5", "X6")
def test_past_the_start_window_a_build_that_compute_had_accepted_is_followed(world: World) -> None:
    world.faults.next("create_images", lost_answer())
    world.outage("create_images")
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
    assert (len(world.compute.creates), world.resolves()) == (1, 1)


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

    world.outage("get_images")
    world.pass_time(timedelta(hours=2))
    world.run_until_idle()
    world.faults.clear("get_images")
    world.live(timedelta(hours=1))
    assert world.outcomes() == [("i-1", "FAILED", "BUILD_TIMEOUT")]
    assert world.task().phase is Phase.DONE
    late = world.task().late_image_time
    assert late is not None
    assert late >= START + timedelta(hours=26)
    assert (world.compute.made, world.resolves()) == (1, 1)


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
    assert world.resolves() == 1


@pytest.mark.rule("X5")
def test_a_build_is_followed_to_its_end_however_long_compute_is_away(world: World) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    world.outage("get_images")
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
    world.outage("filter_associated")
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(WINDOW + MICROSECOND)
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "FAILED", "POLICY_SERVICE_UNAVAILABLE")]
    given_up = {world.task().request_id: 1}
    assert (world.compute.creates, world.compute.resolves, world.task().attempt_count) == ([], given_up, 0)
