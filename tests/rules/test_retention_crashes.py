"""The scheduler dies at every place where it can while it deletes images, and another goes on.

Places are before and after each commit, and after each call to another service.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.retention import Retention
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import SimulatedCrash, lost_answer
from tests.support.scheduler_values import uid

DAY = timedelta(days=1)
INSTANCES = ("i-1", "i-2")


def prepare(world: World) -> None:
    """Two instances with three images each, one of them protected; from now on only the newest is to be kept."""
    world.compute.build_time = timedelta(seconds=1)
    for day in range(3):
        world.add_trigger(*INSTANCES, scheduled=START + day * DAY)
        world.settle()
    world.compute.protect(world.tasks()[0].image)
    world.policies.retentions[uid("daily")] = Retention(keep_last=1)
    world.faults.next("delete_image", lost_answer())
    world.faults.reached = 0
    world.pass_time(DAY)


def live(world: World) -> int:
    """Until all is over, dying wherever it was told to; how many times it died."""
    deaths = 0
    while True:
        try:
            world.live(timedelta(minutes=2))
        except SimulatedCrash:
            deaths += 1
            world.check()
            assert_the_newest_are_there(world)
            world.restart()
        else:
            return deaths


def assert_the_newest_are_there(world: World) -> None:
    living = {image.name for image in world.compute.live_images()}
    protected, *_, first, second = world.tasks()
    assert {protected.image, first.image, second.image} <= living


def assert_all_is_over(world: World) -> None:
    assert_the_newest_are_there(world)
    protected, *deleted, first, second = world.tasks()
    assert [task.image_delete_time is not None for task in deleted] == [True] * 3
    assert [task.image_delete_time for task in (protected, first, second)] == [None] * 3
    stay = [protected.image, first.image, second.image]
    assert sorted(image.name for image in world.kept()) == sorted(stay)
    assert sorted(image.name for image in world.compute.live_images()) == sorted(stay)
    assert not any(image.deleting for image in world.kept())
    world.check()


def places(folder: Path) -> int:
    with scheduler_world(folder) as world:
        prepare(world)
        live(world)
        return world.faults.reached


@pytest.mark.rule("X9")
def test_a_crash_at_any_place_deletes_nothing_that_should_stay_and_forgets_nothing(tmp_path: Path) -> None:
    number = places(tmp_path)
    assert number > 10
    for place in range(1, number + 1):
        with scheduler_world(tmp_path) as world:
            prepare(world)
            world.faults.crash_at = place
            assert live(world) == 1, place
            assert_all_is_over(world)


@pytest.mark.rule("X9")
def test_an_image_is_in_retentions_care_from_the_moment_at_which_its_task_succeeded(tmp_path: Path) -> None:
    """Dying before and after each commit, while an image is built: `check` compares tasks with what retention knows."""
    with scheduler_world(tmp_path) as world:
        world.add_trigger("i-1")
        world.settle()
        number = world.faults.reached
    assert number > 10
    for place in range(1, number + 1):
        with scheduler_world(tmp_path) as world:
            world.add_trigger("i-1")
            world.faults.crash_at = place
            with pytest.raises(SimulatedCrash):
                world.settle()
            world.check()
            world.restart()
            world.settle()
            assert [image.name for image in world.kept()] == [world.task().image]
