"""Rules of what the scheduler forgets, and when (X10)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler_service.domain.executions import KEPT, Execution, ExecutionState, Kind, Missed, TaskCounts
from scheduler_service.domain.replicas import REMEMBERED, SAY_EVERY, Replica
from scheduler_service.domain.tasks import BUILD_DEADLINE, Phase, TaskState
from scheduler_service.queries import scheduler_status
from scheduler_service.steps import keep_house as step
from scheduler_service.steps.keep_house import keep_house
from scheduler_service.steps.say_at_work import say_at_work
from scheduler_service.store import executions as execution_store
from scheduler_service.store import replicas
from scheduler_service.store import tasks as task_store
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_values import a_task, an_execution

MICROSECOND = timedelta(microseconds=1)
AGAIN = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


@pytest.fixture
def unchecked(tmp_path: Path) -> Iterator[World]:
    """A world with executions that no trigger brought: its promises are not checked."""
    world = World(tmp_path)
    yield world
    world.database.dispose()


def put(world: World, *executions: Execution, **task: Any) -> None:
    """Executions of one task each that is over, but for what `task` says."""
    over: dict[str, Any] = {"state": TaskState.SUCCEEDED, "phase": Phase.DONE, "due_product": None}
    with world.database.write() as connection:
        execution_store.insert(connection, executions, {execution.place: 1 for execution in executions})
        task_store.insert(connection, [a_task(execution=execution, **over | task) for execution in executions])


def over(number: int = 0) -> Execution:
    """An execution that ended at START."""
    return an_execution(
        scheduled_time=START - number * timedelta(days=1),
        state=ExecutionState.SUCCEEDED,
        counts=TaskCounts(total=1, succeeded=1),
        end_time=START,
    )


@pytest.mark.rule("X10")
@pytest.mark.parametrize(("age", "kept"), [(KEPT, 1), (KEPT + MICROSECOND, 0)])
def test_an_execution_is_kept_for_400_days_after_its_end(unchecked: World, age: timedelta, kept: int) -> None:
    assert timedelta(days=400) == KEPT
    put(unchecked, over())
    unchecked.time.product.set(START + age)
    assert keep_house(unchecked.deps) == Wake(operating=START + AGAIN)
    assert (len(unchecked.executions()), len(unchecked.tasks())) == (kept, kept)


@pytest.mark.rule("X10")
def test_a_record_of_missed_points_is_forgotten_too(world: World) -> None:
    world.add_trigger(kind=Kind.MISSED, missed=Missed(START, START, 1, "NOT_TAKEN_UP"), topic="")
    world.settle()
    world.pass_time(KEPT + MICROSECOND)
    keep_house(world.deps)
    assert world.executions() == []


@pytest.mark.rule("X10")
def test_what_is_running_is_never_forgotten(unchecked: World) -> None:
    running = an_execution()
    put(unchecked, running, state=TaskState.PENDING, phase=Phase.SEND, due_product=START)
    unchecked.time.product.set(START + 10 * KEPT)
    keep_house(unchecked.deps)
    assert unchecked.executions() == [running]


@pytest.mark.rule("X10", "X5")
def test_what_waits_for_a_late_image_is_not_forgotten(world: World) -> None:
    world.compute.build_time = 2 * KEPT
    world.add_trigger("i-1", topic="")
    world.run_until_idle()
    world.pass_time(BUILD_DEADLINE)
    world.run_until_idle()
    assert world.task().phase is Phase.LATE
    world.pass_time(KEPT + MICROSECOND)
    keep_house(world.deps)
    assert len(world.executions()) == 1


@pytest.mark.rule("X10")
def test_much_is_forgotten_in_pieces_the_oldest_first(unchecked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "PIECE", 2)
    ends = {number: START - number * timedelta(days=1) for number in range(5)}
    put(unchecked, *(replace(over(number), end_time=end) for number, end in ends.items()))
    unchecked.time.product.set(START + KEPT)
    left = []
    for _ in range(3):
        wake = keep_house(unchecked.deps)
        left.append((wake.at_once, sorted(execution.end_time or START for execution in unchecked.executions())))
    assert left == [(True, [ends[2], ends[1], ends[0]]), (True, [ends[0]]), (False, [ends[0]])]


@pytest.mark.rule("X10")
def test_an_image_is_not_touched_when_its_execution_is_forgotten(world: World) -> None:
    world.add_trigger("i-1", topic="")
    world.settle()
    world.pass_time(KEPT + timedelta(days=1))
    keep_house(world.deps)
    assert world.executions() == []
    assert len(world.compute.live_images()) == 1


# Replicas


def known(world: World) -> list[Replica]:
    with world.database.read() as connection:
        return replicas.seen_since(connection, START - timedelta(days=1000))


def test_a_replica_says_that_it_is_at_work_once_in_10_seconds(world: World) -> None:
    assert say_at_work(world.deps) == Wake(operating=START + SAY_EVERY)
    assert known(world) == [Replica("scheduler-1", START, "1.2.3")]
    before = world.faults.reached
    world.time.operating.advance(SAY_EVERY - MICROSECOND)
    world.time.product.advance(timedelta(days=1))
    assert say_at_work(world.deps) == Wake(operating=START + SAY_EVERY)
    assert world.faults.reached == before
    world.time.operating.advance(MICROSECOND)
    assert say_at_work(world.deps) == Wake(operating=START + 2 * SAY_EVERY)
    assert known(world) == [Replica("scheduler-1", START + SAY_EVERY, "1.2.3")]


def test_a_replica_whose_clock_was_set_back_says_so_anew(world: World) -> None:
    say_at_work(world.deps)
    world.time.operating.set(START - timedelta(hours=1))
    say_at_work(world.deps)
    assert known(world) == [Replica("scheduler-1", START - timedelta(hours=1), "1.2.3")]


@pytest.mark.parametrize(("ago", "at_work"), [(timedelta(minutes=1), 2), (timedelta(minutes=1) + MICROSECOND, 1)])
def test_who_was_at_work_within_the_last_minute_is_told(world: World, ago: timedelta, at_work: int) -> None:
    say_at_work(world.replica("scheduler-2"))
    world.time.operating.advance(ago)
    say_at_work(world.deps)
    told = [replica.name for replica in scheduler_status(world.deps).replicas]
    assert told == ["scheduler-1", "scheduler-2"][:at_work]


@pytest.mark.rule("X10")
@pytest.mark.parametrize(("ago", "left"), [(REMEMBERED, 1), (REMEMBERED + MICROSECOND, 0)])
def test_a_replica_that_is_gone_is_forgotten_after_an_hour(world: World, ago: timedelta, left: int) -> None:
    say_at_work(world.deps)
    world.time.operating.advance(ago)
    keep_house(world.deps)
    assert len(known(world)) == left
