"""The scheduler dies at every place where it can, and another goes on: no promise is broken, nothing is left behind.

Places are before and after each commit, and after each call to another service.
"""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import ExecutionState, Kind, Missed
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import LOCAL_SYSTEM_DISK, NO_IMAGE_QUOTA, NO_INSTANCE, SimulatedCrash, lost_answer
from tests.support.scheduler_values import association

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
    del world.policies.holding[association("i-cancelled")]
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
