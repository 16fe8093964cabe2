"""Rules of pausing a region: nothing is begun there, all else goes on."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.commands.pause_region import pause_region, resume_region
from scheduler_service.domain.executions import ExecutionState
from scheduler_service.domain.retention import Retention
from scheduler_service.steps.retain import retain
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import BUSY, Fault, lost_answer, lost_request
from tests.support.scheduler_values import uid

REGION = "cn-north-1"
MICROSECOND = timedelta(microseconds=1)
WINDOW = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


@pytest.mark.rule("X7")
def test_in_a_paused_region_nothing_is_begun_and_once_it_is_resumed_all_is(world: World) -> None:
    assert pause_region(world.deps, REGION) == START
    world.add_trigger("i-1", "i-2")
    world.live(timedelta(minutes=30))
    assert world.outcomes() == [("i-1", "PENDING", ""), ("i-2", "PENDING", "")]
    assert (world.compute.creates, world.policies.asked) == ([], [])
    notified = world.notified
    resume_region(world.deps, REGION)
    assert world.notified == notified + 1
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "BUILDING", ""), ("i-2", "BUILDING", "")]


@pytest.mark.rule("X7")
def test_what_waits_in_a_paused_region_is_no_work_and_writes_nothing(world: World) -> None:
    pause_region(world.deps, REGION)
    world.add_trigger("i-1")
    world.run_until_idle()
    before = world.faults.reached
    assert send(world.deps) == Wake(product=START + WINDOW + MICROSECOND)
    assert world.faults.reached == before
    resume_region(world.deps, REGION)
    assert send(world.deps) == Wake(at_once=True)


@pytest.mark.rule("X7")
def test_other_regions_go_on(world: World) -> None:
    pause_region(world.deps, "cn-south-1")
    world.add_trigger("i-1")
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X5", "X2")
def test_a_start_window_that_passes_while_the_region_is_paused_fails_the_task(world: World) -> None:
    pause_region(world.deps, REGION)
    world.add_trigger("i-1")
    world.live(WINDOW)
    assert world.outcomes() == [("i-1", "PENDING", "")]
    world.live(MICROSECOND)
    assert world.outcomes() == [("i-1", "FAILED", "REGION_PAUSED")]
    assert (world.compute.creates, world.compute.resolves) == ([], {world.task().request_id: 1})
    assert world.execution().state is ExecutionState.FAILED


@pytest.mark.rule("X5")
def test_a_region_that_is_resumed_at_the_end_of_the_start_window_begins_its_builds(world: World) -> None:
    pause_region(world.deps, REGION)
    world.add_trigger("i-1")
    world.live(WINDOW)
    resume_region(world.deps, REGION)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X5", "X4")
def test_a_busy_instance_is_not_tried_while_its_region_is_paused(world: World) -> None:
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1")
    world.run_until_idle()
    pause_region(world.deps, REGION)
    world.settle()
    assert world.outcomes() == [("i-1", "FAILED", "REGION_PAUSED")]
    assert len(world.compute.creates) == 1


@pytest.mark.rule("X6")
def test_what_may_have_been_sent_is_resolved_when_its_window_has_passed(world: World) -> None:
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1")
    take_up(world.deps)
    send(world.deps)
    pause_region(world.deps, REGION)
    world.live(WINDOW + MICROSECOND)
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert len(world.compute.creates) == 1


@pytest.mark.rule("X5", "L3")
def test_builds_are_followed_and_logged_in_a_paused_region(world: World) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    pause_region(world.deps, REGION)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.undelivered() == []


@pytest.mark.rule("X6")
def test_what_is_claimed_already_may_be_sent_until_its_lease_ends(world: World) -> None:
    """As after a deletion: the pause counts for what is claimed after it."""
    world.faults.next("filter_associated", Fault(after=lambda: pause_region(world.deps, REGION)))
    world.add_trigger("i-1")
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("X9")
def test_retention_deletes_nothing_in_a_paused_region_and_goes_on_once_it_is_resumed(world: World) -> None:
    for days in range(2):
        world.make_image(START + timedelta(days=days))
    pause_region(world.deps, REGION)
    world.policies.retentions[uid("daily")] = Retention(keep_last=1)
    world.pass_time(timedelta(days=1))
    before = world.faults.reached
    assert retain(world.deps) == Wake()
    assert world.faults.reached == before
    assert len(world.compute.live_images()) == 2
    resume_region(world.deps, REGION)
    world.run_until_idle()
    assert len(world.compute.live_images()) == 1


def test_pausing_and_resuming_again_changes_nothing(world: World) -> None:
    pause_region(world.deps, REGION)
    world.pass_time(WINDOW)
    assert pause_region(world.deps, REGION) == START
    resume_region(world.deps, REGION)
    resume_region(world.deps, REGION)
    assert pause_region(world.deps, REGION) == START + WINDOW


def test_a_pause_outlives_the_process(world: World) -> None:
    pause_region(world.deps, REGION)
    world.restart()
    world.add_trigger("i-1")
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "PENDING", "")]


def test_a_limit_and_a_pause_together_begin_nothing(world: World) -> None:
    world.limit_builds(1)
    world.faults.next("create_images", lost_request())
    world.add_trigger("i-1", "i-2")
    take_up(world.deps)
    send(world.deps)
    pause_region(world.deps, REGION)
    world.live(timedelta(minutes=30))
    assert world.compute.creates == []
    resume_region(world.deps, REGION)
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", ""), ("i-2", "SUCCEEDED", "")]
