"""Rules of spreading builds over time: each instance has a moment of its own, always the same (D6)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import Kind, planned_start, spread_offset
from scheduler_service.domain.tasks import TaskState
from scheduler_service.queries import scheduler_status
from scheduler_service.steps.send import send
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import lost_request
from tests.support.scheduler_values import an_execution, instance_name, uid

MICROSECOND = timedelta(microseconds=1)
SPREAD = timedelta(minutes=30)
WINDOW = timedelta(hours=1)
POLICY = uid("daily")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def offset(instance_id: str, spread: timedelta = SPREAD, policy: str = POLICY) -> timedelta:
    return spread_offset(policy, instance_name(instance_id), spread)


@pytest.mark.rule("D6")
def test_offsets_lie_evenly_from_0_to_below_the_spread() -> None:
    offsets = [offset(f"i-{number}") for number in range(6_000)]
    assert timedelta(0) <= min(offsets)
    assert max(offsets) < SPREAD
    minutes = [sum(minute == found // timedelta(minutes=1) for found in offsets) for minute in range(30)]
    assert sum(minutes) == 6_000
    assert (min(minutes) > 140, max(minutes) < 260) == (True, True)  # 200 each, and four times the spread of chance


@pytest.mark.rule("D6")
def test_an_offset_is_always_the_same_for_a_policy_and_an_instance() -> None:
    assert offset("i-1") == timedelta(minutes=16, seconds=21, microseconds=818003)
    assert offset("i-1") != offset("i-2")
    assert offset("i-1") != offset("i-1", policy=uid("weekly"))
    assert offset("i-1", timedelta(0)) == timedelta(0)
    assert offset("i-1", MICROSECOND) == timedelta(0)


@pytest.mark.rule("D6")
@pytest.mark.parametrize(
    ("kind", "base", "own"),
    [
        (Kind.SCHEDULED, START + WINDOW, timedelta(0)),
        (Kind.CATCH_UP, START + WINDOW, offset("i-1")),
        (Kind.RUN_NOW, START + WINDOW, timedelta(0)),
    ],
)
def test_what_is_late_is_spread_from_the_moment_of_triggering_and_a_users_run_not_at_all(
    kind: Kind, base: datetime, own: timedelta
) -> None:
    execution = an_execution(kind=kind, scheduled_time=START, trigger_time=START + WINDOW)
    assert planned_start(execution, instance_name("i-1"), SPREAD) == base + own


@pytest.mark.rule("D6", "X4")
def test_nothing_begins_before_the_moment_of_triggering_which_the_start_window_counts_from() -> None:
    late = an_execution(kind=Kind.SCHEDULED, scheduled_time=START, trigger_time=START + timedelta(minutes=5))
    assert planned_start(late, instance_name("i-1"), timedelta(0)) == late.trigger_time
    assert planned_start(late, instance_name("i-1"), SPREAD) == START + offset("i-1")


@pytest.mark.rule("D6")
def test_each_build_begins_at_its_own_moment(world: World) -> None:
    ids = ["i-1", "i-2", "i-3"]
    world.add_trigger(*ids, spread=SPREAD)
    world.settle()
    assert {task.instance_id: task.build_start_time for task in world.tasks()} == {id: START + offset(id) for id in ids}
    assert {task.instance_id: task.planned_start_time for task in world.tasks()} == {
        id: START + offset(id) for id in ids
    }


@pytest.mark.rule("D6")
def test_before_its_moment_a_task_is_not_sent_and_is_no_work(world: World) -> None:
    world.add_trigger("i-1", spread=SPREAD)
    world.run_until_idle()
    assert send(world.deps) == Wake(product=START + offset("i-1"))
    world.pass_time(offset("i-1") - MICROSECOND)
    world.run_until_idle()
    assert world.task().state is TaskState.PENDING
    world.pass_time(MICROSECOND)
    world.run_until_idle()
    assert world.task().state is TaskState.BUILDING


@pytest.mark.rule("D6")
def test_before_its_moment_a_task_is_neither_pending_nor_late_in_the_status(world: World) -> None:
    world.faults.always("create_images", lost_request())
    world.add_trigger("i-1", spread=SPREAD)
    world.run_until_idle()
    world.time.product.set(START + offset("i-1") - MICROSECOND)
    before = scheduler_status(world.deps)
    assert (before.pending_tasks, before.oldest_pending_time) == (0, None)
    assert before.next_due_time == START + offset("i-1")
    world.time.product.advance(MICROSECOND)
    after = scheduler_status(world.deps)
    assert (after.pending_tasks, after.oldest_pending_time) == (1, START)
    world.faults.clear("create_images")
    world.settle()


@pytest.mark.rule("D6", "X5")
@pytest.mark.parametrize(("late", "state"), [(timedelta(0), "SUCCEEDED"), (MICROSECOND, "FAILED")])
def test_the_start_window_counts_from_the_instances_own_moment(world: World, late: timedelta, state: str) -> None:
    world.faults.always("filter_associated", lost_request())
    world.add_trigger("i-1", spread=SPREAD)
    world.live(offset("i-1"))
    world.faults.clear("filter_associated")
    world.pass_time(WINDOW + late)
    world.settle()
    assert world.task().state.value == state


@pytest.mark.rule("D6", "X4")
def test_a_task_that_has_not_begun_is_superseded_as_any_other(world: World) -> None:
    world.add_trigger("i-1", spread=SPREAD)
    world.run_until_idle()
    world.add_trigger("i-1", policy="weekly", scheduled=START + MICROSECOND)
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("SUCCEEDED", "")]
