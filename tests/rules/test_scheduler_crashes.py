"""The scheduler dies at every place where it can, and another goes on: no promise is broken, nothing is left behind.

Places are before and after each commit, and after each call to another service.
"""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.commands.cancel_execution import cancel_execution
from scheduler_service.domain.executions import ExecutionState, Kind, Missed
from servicekit.errors import Unavailable
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import (
    BUSY,
    LOCAL_SYSTEM_DISK,
    NO_IMAGE_QUOTA,
    NO_INSTANCE,
    Fault,
    SimulatedCrash,
    lost_answer,
)

OUTCOMES = [
    ("i-cancelled", "CANCELLED", "DISASSOCIATED"),
    ("i-error", "FAILED", "SNAPSHOT_FAILED"),
    ("i-fine", "SUCCEEDED", ""),
    ("i-gone", "SKIPPED", "INSTANCE_NOT_FOUND"),
    ("i-local", "FAILED", "LOCAL_SYSTEM_DISK"),
    ("i-quota", "SKIPPED", "IMAGE_QUOTA_EXCEEDED"),
]


def prepare(world: World) -> None:
    """One trigger with an instance for each kind of end, with points missed before it, and one lost answer."""
    world.compute.refusals |= {"i-gone": NO_INSTANCE, "i-local": LOCAL_SYSTEM_DISK, "i-quota": NO_IMAGE_QUOTA}
    world.compute.failing.add("i-error")
    world.compute.build_time = timedelta(seconds=5)
    missed = Missed(START, START, 1, "NOT_TAKEN_UP")
    world.add_trigger(*(instance for instance, _, _ in OUTCOMES), kind=Kind.CATCH_UP, missed=missed)
    world.disassociate("i-cancelled")
    world.faults.next("create_images", lost_answer())


def live(world: World) -> int:
    """Until all is over, dying wherever it was told to; how many times it died."""
    deaths = 0
    while True:
        try:
            world.settle()
        except SimulatedCrash:
            deaths += 1
            world.check()
            world.restart()
        else:
            return deaths


def assert_all_is_over(world: World) -> None:
    world.restart()
    world.settle()
    states = sorted(execution.state for execution in world.executions())
    assert states == [ExecutionState.MISSED, ExecutionState.PARTIALLY_SUCCEEDED]
    assert world.outcomes() == OUTCOMES
    assert world.policies.pending() == []
    assert world.compute.made == 2
    assert len(world.compute.live_images()) == 1
    # Delivered, every one of them: two of the run, one of the missed points, two of each build, one of each other task.
    assert len(world.logs.kept) == 2 + 1 + 2 * 2 + 4
    assert world.undelivered() == []
    world.check()


def places(folder: Path) -> int:
    with scheduler_world(folder) as world:
        prepare(world)
        live(world)
        return world.faults.reached


@pytest.mark.rule("X1", "X2", "X6", "D3", "L2", "L3")
@pytest.mark.parametrize("part", range(4))
def test_a_crash_at_any_place_breaks_no_promise(tmp_path: Path, part: int) -> None:
    for place in range(1, places(tmp_path) + 1)[part::4]:
        with scheduler_world(tmp_path) as world:
            prepare(world)
            world.faults.crash_at = place
            assert live(world) == 1, place
            assert_all_is_over(world)


def prepare_cancelled(world: World) -> None:
    """Four instances, of which two may be built at a time; a user cancels while the first answer is under way."""

    def cancel() -> None:
        cancel_execution(world.deps, world.execution().name)
        raise Unavailable("TRANSPORT")

    world.limit_builds(2)
    world.compute.failing.add("i-error")
    world.add_trigger("i-busy", "i-error", "i-fine", "i-late", spread=timedelta(minutes=1))
    world.compute.refusals["i-busy"] = BUSY
    world.faults.next("create_images", Fault(after=cancel))


def places_of_cancelled(folder: Path) -> int:
    with scheduler_world(folder) as world:
        prepare_cancelled(world)
        live(world)
        assert "CANCELLED" in {state for _, state, _ in world.outcomes()}
        return world.faults.reached


@pytest.mark.rule("X6", "X7", "D6")
@pytest.mark.parametrize("part", range(4))
def test_a_crash_at_any_place_of_a_cancelled_execution_breaks_no_promise(tmp_path: Path, part: int) -> None:
    """Where the user's own call dies, nothing or all of it is done; whatever is built is finished and given back."""
    for place in range(1, places_of_cancelled(tmp_path) + 1)[part::4]:
        with scheduler_world(tmp_path) as world:
            prepare_cancelled(world)
            world.faults.crash_at = place
            assert live(world) == 1, place
            world.restart()
            world.settle()
            succeeded = [state for _, state, _ in world.outcomes()].count("SUCCEEDED")
            assert len(world.compute.live_images()) == succeeded, place
            assert [task for task in world.tasks() if task.in_flight] == [], place
            assert world.policies.pending() == []


@pytest.mark.rule("X1", "X2", "X6", "D3", "L2", "L3")
@pytest.mark.parametrize("seed", range(6))
def test_crash_upon_crash_breaks_no_promise(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with scheduler_world(tmp_path) as world:
        prepare(world)
        for _ in range(6):
            world.faults.crash_at = world.faults.reached + draw.randint(1, 12)
            try:
                world.settle()
            except SimulatedCrash:
                world.check()
                world.restart()
        live(world)
        assert_all_is_over(world)
