"""Rules of cancelling an execution: what was not begun ends, what was begun is finished."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.commands.cancel_execution import cancel_execution
from scheduler_service.commands.pause_region import pause_region
from scheduler_service.domain.executions import Execution, ExecutionState, Kind, Missed, TaskCounts
from scheduler_service.domain.tasks import RETRY_MOST, TaskState
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from servicekit.errors import NotFound
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import BUSY, NO_IMAGE_QUOTA, Fault, lost_answer, lost_request
from tests.support.scheduler_values import PLACE

CANCELLED = ("i-1", "CANCELLED", "EXECUTION_CANCELLED")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def cancel(world: World) -> Execution:
    return cancel_execution(world.deps, world.execution().name)


@pytest.mark.rule("X6", "X2", "L2")
def test_what_was_never_sent_is_cancelled_once_it_is_resolved(world: World) -> None:
    world.add_trigger("i-1", "i-2")
    take_up(world.deps)
    notified = world.notified
    answer = cancel(world)
    assert (answer.state, answer.counts) == (ExecutionState.RUNNING, TaskCounts(total=2, open=2))
    assert world.outcomes() == [("i-1", "PENDING", "EXECUTION_CANCELLED"), ("i-2", "PENDING", "EXECUTION_CANCELLED")]
    assert world.notified == notified + 1
    world.run(resolve)
    assert (world.execution().state, world.execution().end_time) == (ExecutionState.CANCELLED, START)
    assert world.execution().counts == TaskCounts(total=2, cancelled=2)
    assert world.outcomes() == [CANCELLED, ("i-2", "CANCELLED", "EXECUTION_CANCELLED")]
    world.settle()
    assert world.compute.creates == []
    assert world.compute.resolves == {task.request_id: 1 for task in world.tasks()}
    assert world.events() == [
        ("", "EXECUTION_STARTED"),
        ("i-1", "IMAGE_TASK_ENDED"),
        ("i-2", "IMAGE_TASK_ENDED"),
        ("", "EXECUTION_ENDED"),
    ]


@pytest.mark.rule("X6")
def test_what_may_have_reached_compute_is_cancelled_once_it_is_resolved(world: World) -> None:
    world.faults.next("create_images", lost_request())
    world.add_trigger("i-1")
    take_up(world.deps)
    send(world.deps)
    answer = cancel(world)
    assert (answer.state, answer.counts) == (ExecutionState.RUNNING, TaskCounts(total=1, open=1))
    assert (world.task().state, world.task().reason) == (TaskState.PENDING, "EXECUTION_CANCELLED")
    world.settle()
    assert world.outcomes() == [CANCELLED]
    assert world.execution().state is ExecutionState.CANCELLED
    assert world.compute.settled == {world.task().request_id: "REQUEST_RESOLVED"}


@pytest.mark.rule("X6")
def test_while_compute_is_away_nothing_ends_and_nothing_is_begun(world: World) -> None:
    for call in ("create_images", "resolve"):
        world.faults.always(call, lost_request())
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    cancel(world)
    world.live(timedelta(hours=2))
    assert world.execution().counts == TaskCounts(total=2, open=2)
    for call in ("create_images", "resolve"):
        world.faults.clear(call)
    world.live(RETRY_MOST)
    assert world.outcomes() == [CANCELLED, ("i-2", "CANCELLED", "EXECUTION_CANCELLED")]
    assert world.execution().state is ExecutionState.CANCELLED
    assert world.compute.creates == []


def pause(world: World) -> None:
    pause_region(world.deps, "cn-north-1")


def fill(world: World) -> None:
    """The one build that may be in flight is another policy's."""
    world.limit_builds(1)
    world.compute.build_time = timedelta(hours=1)
    world.add_trigger("i-2", policy="weekly")
    world.run_until_idle()


@pytest.mark.rule("X6", "X7")
@pytest.mark.parametrize("shut", [pause, fill])
def test_what_may_not_be_begun_is_cancelled_without_waiting(world: World, shut: Callable[[World], None]) -> None:
    shut(world)
    trigger = world.add_trigger("i-1")
    world.run_until_idle()
    (waiting,) = [each for each in world.executions() if each.policy_uid == trigger.policy_uid]
    assert cancel_execution(world.deps, waiting.name).state is ExecutionState.RUNNING
    world.run_until_idle()
    assert (world.task("i-1").state, world.task("i-1").end_time) == (TaskState.CANCELLED, START)
    world.settle()
    assert world.compute.made == (1 if shut is fill else 0)


@pytest.mark.rule("X6")
def test_a_build_that_was_accepted_unknown_to_us_is_finished(world: World) -> None:
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1")
    take_up(world.deps)
    send(world.deps)
    cancel(world)
    resolve(world.deps)
    assert (world.task().state, world.task().reason) == (TaskState.BUILDING, "")
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X6", "X2")
def test_what_is_building_is_finished_and_what_waits_is_cancelled(world: World) -> None:
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    assert cancel(world).counts == TaskCounts(total=2, open=2)
    world.settle()
    assert world.outcomes() == [CANCELLED, ("i-2", "SUCCEEDED", "")]
    assert world.execution().state is ExecutionState.PARTIALLY_SUCCEEDED


@pytest.mark.rule("X6")
def test_what_is_on_its_way_to_another_end_keeps_it(world: World) -> None:
    world.faults.always("resolve", lost_request())
    world.compute.refusals["i-1"] = NO_IMAGE_QUOTA
    world.add_trigger("i-1")
    world.run_until_idle()
    cancel(world)
    world.faults.clear("resolve")
    world.settle()
    assert world.outcomes() == [("i-1", "SKIPPED", "IMAGE_QUOTA_EXCEEDED")]


@pytest.mark.rule("X6")
@pytest.mark.parametrize("call", ["filter_associated", "create_images"])
def test_a_sender_that_holds_the_task_sends_it_no_more(world: World, call: str) -> None:
    """Before the attempt has begun it is not sent at all; afterwards its create finds the request given up."""

    def meanwhile() -> None:
        cancel(world)
        world.run(resolve)

    world.add_trigger("i-1")
    take_up(world.deps)
    fault = Fault(after=meanwhile) if call == "filter_associated" else Fault(before=meanwhile)
    world.faults.next(call, fault)
    send(world.deps)
    assert world.outcomes() == [CANCELLED]
    assert world.compute.made == 0
    world.settle()
    assert world.outcomes() == [CANCELLED]


def finished(world: World) -> None:
    world.settle()


def cancelled(world: World) -> None:
    cancel(world)
    resolve(world.deps)


def being_cancelled(world: World) -> None:
    cancel(world)


def being_cancelled_after_an_attempt(world: World) -> None:
    world.faults.next("create_images", lost_request())
    send(world.deps)
    cancel(world)


@pytest.mark.rule("X6")
@pytest.mark.parametrize("before", [finished, cancelled, being_cancelled, being_cancelled_after_an_attempt])
def test_cancelling_what_has_ended_or_is_being_cancelled_changes_nothing(
    world: World, before: Callable[[World], None]
) -> None:
    world.add_trigger("i-1")
    take_up(world.deps)
    before(world)
    tasks, entries, execution = world.tasks(), world.entries(), world.execution()
    notified = world.notified
    assert cancel(world) == execution
    assert (world.tasks(), world.entries(), world.notified) == (tasks, entries, notified)
    world.settle()


@pytest.mark.rule("X6", "D4")
def test_a_record_of_missed_points_is_left_as_it_is(world: World) -> None:
    world.add_trigger(kind=Kind.MISSED, missed=Missed(START, START, 1, "NOT_TAKEN_UP"))
    world.settle()
    before = world.execution()
    assert cancel(world) == before


@pytest.mark.rule("X6", "D3")
def test_a_trigger_that_comes_again_does_not_undo_it(world: World) -> None:
    world.faults.next("acknowledge", lost_request())
    world.add_trigger("i-1")
    world.run(take_up)
    cancel(world)
    world.restart()
    world.settle()
    assert world.outcomes() == [CANCELLED]


def test_an_execution_that_there_is_not(world: World) -> None:
    with pytest.raises(NotFound):
        cancel_execution(world.deps, f"{PLACE}/policies/daily/executions/exec-0")
