"""Rules of cancelling an execution: what was not begun ends, what was begun is finished."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler_service.commands.cancel_execution import cancel_execution
from scheduler_service.domain.executions import Execution, ExecutionState, Kind, Missed, TaskCounts
from scheduler_service.domain.tasks import TaskState
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
def test_what_was_never_sent_is_cancelled_at_once(world: World) -> None:
    world.add_trigger("i-1", "i-2")
    take_up(world.deps)
    notified = world.notified
    answer = cancel(world)
    assert (answer.state, answer.end_time) == (ExecutionState.CANCELLED, START)
    assert answer.counts == TaskCounts(total=2, cancelled=2)
    assert world.outcomes() == [CANCELLED, ("i-2", "CANCELLED", "EXECUTION_CANCELLED")]
    assert world.notified == notified + 1
    world.settle()
    assert (world.compute.creates, world.compute.resolves) == ([], {})
    assert world.events() == [
        ("", "EXECUTION_STARTED"),
        ("i-1", "IMAGE_TASK_ENDED"),
        ("i-2", "IMAGE_TASK_ENDED"),
        ("", "EXECUTION_ENDED"),
    ]


@pytest.mark.rule("X6")
def test_what_may_have_been_sent_is_cancelled_once_it_is_resolved(world: World) -> None:
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
    """Before it is marked as sent it is not sent at all; afterwards its create finds the request given up."""

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


def being_cancelled(world: World) -> None:
    world.faults.next("create_images", lost_request())
    send(world.deps)
    cancel(world)


@pytest.mark.rule("X6")
@pytest.mark.parametrize("before", [finished, cancelled, being_cancelled])
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
