"""Rules of a scheduler that was restored from an older copy: what it believes was never sent may have an image.

Its tasks end as compute knows that they must, not as the copy makes it seem.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.commands.cancel_execution import cancel_execution
from scheduler_service.commands.pause_region import pause_region
from scheduler_service.domain.executions import ExecutionState, Kind
from scheduler_service.domain.tasks import START_WINDOW, BuildState, Phase, TaskState
from scheduler_service.steps.take_up import take_up
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import lost_request
from tests.support.scheduler_values import uid


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def gone_back(world: World, *, built: bool = True) -> None:
    """To a copy in which i-1's task is still to be sent; its image was begun after that, and may be complete."""
    world.add_trigger("i-1")
    take_up(world.deps)
    restore = world.copy()
    if built:
        world.settle()
    else:
        world.run_until_idle()
    restore()
    assert (world.task().state, world.task().attempt_count) == (TaskState.PENDING, 0)
    assert world.compute.state(world.compute.image_of("i-1")) is (
        BuildState.AVAILABLE if built else BuildState.CREATING
    )


def cancel(world: World) -> None:
    answer = cancel_execution(world.deps, world.execution().name)
    assert (answer.state, answer.counts.open) == (ExecutionState.RUNNING, 1)


def miss_the_window(world: World) -> None:
    world.pass_time(START_WINDOW + timedelta(microseconds=1))


def miss_the_window_in_a_paused_region(world: World) -> None:
    pause_region(world.deps, "cn-north-1")
    miss_the_window(world)


End = Callable[[World], None]
ENDS: dict[End, tuple[str, str]] = {
    World.delete_policy: ("CANCELLED", "POLICY_DELETED"),
    World.disassociate: ("CANCELLED", "DISASSOCIATED"),
    cancel: ("CANCELLED", "EXECUTION_CANCELLED"),
    miss_the_window: ("FAILED", "START_WINDOW_PASSED"),
    miss_the_window_in_a_paused_region: ("FAILED", "REGION_PAUSED"),
}
"""How a task is made to end, and how it would."""


@pytest.mark.rule("X1", "X6")
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("built", [True, False])
def test_a_task_that_was_never_sent_in_the_copy_succeeds_if_its_image_lives(
    world: World, end: End, built: bool
) -> None:
    gone_back(world, built=built)
    image = world.compute.image_of("i-1").name
    end(world)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert (world.task().image, world.execution().state) == (image, ExecutionState.SUCCEEDED)
    assert world.compute.resolves == {world.task().request_id: 1}
    assert (world.compute.made, len(world.compute.creates)) == (1, 1)
    assert [kept.name for kept in world.kept()] == [image]


@pytest.mark.rule("X6")
@pytest.mark.parametrize(("end", "outcome"), ENDS.items())
def test_a_task_whose_image_was_deleted_after_the_copy_ends_as_it_was_to(
    world: World, end: End, outcome: tuple[str, str]
) -> None:
    gone_back(world)
    world.compute.remove(world.compute.image_of("i-1"))
    world.logs.kept.clear()  # what is logged of a build that the copy does not know is nobody's any more
    end(world)
    world.settle()
    assert world.outcomes() == [("i-1", *outcome)]
    assert world.compute.resolves == {world.task().request_id: 1}


@pytest.mark.rule("X1", "X4", "X6")
def test_a_task_is_not_superseded_if_its_image_lives(world: World) -> None:
    gone_back(world)
    world.add_trigger("i-1", policy="weekly", kind=Kind.RUN_NOW, run_id=uid("run"))
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")] * 2
    assert world.compute.made == 2


@pytest.mark.rule("X1", "X4", "X6")
def test_a_task_that_the_copy_does_not_know_overlaps_with_none_if_its_image_lives(world: World) -> None:
    """In the copy the build before it is under way; its own trigger was not acknowledged, and comes again."""
    world.add_trigger("i-1", policy="weekly")
    world.run_until_idle()
    restore = world.copy()
    world.settle()
    world.faults.always("acknowledge", lost_request())
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"))
    world.settle()
    world.faults.clear("acknowledge")
    restore()
    assert world.outcomes() == [("i-1", "BUILDING", "")]
    world.run(take_up)
    assert (world.task().phase, world.task().end_reason) == (Phase.RESOLVE, "OVERLAP")
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")] * 2
    assert world.compute.made == 2
