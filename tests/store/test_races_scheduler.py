"""Two schedulers over one database, stepped by hand."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from scheduler_service.commands import write_executions as command
from scheduler_service.commands.claim_tasks import claim_tasks
from scheduler_service.commands.record import Change, record
from scheduler_service.commands.write_executions import write_executions
from scheduler_service.domain.executions import ExecutionState, TaskCounts, Trigger
from scheduler_service.domain.tasks import Phase, Task, TaskState, ended
from scheduler_service.store import executions, outbox, tasks
from servicekit.database import Database
from tests.support import START, database
from tests.support.races import overtaken, written
from tests.support.scheduler import World, replica, scheduler_world
from tests.support.scheduler_values import a_sent_task, a_task, an_execution

pytestmark = pytest.mark.engines("postgresql")
LEASE_END = START + timedelta(seconds=30)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = database(tmp_path, "scheduler_service")
    yield made
    made.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def store(db: Database, *new: Task) -> None:
    with db.write() as connection:
        execution = an_execution(counts=TaskCounts(total=len(new), open=len(new)))
        executions.insert(connection, [execution], {execution.place: 1})
        tasks.insert(connection, new)


def claim(db: Database, connection: sa.Connection, limit: int = 500) -> list[str]:
    return [task.instance_id for task in claim_tasks(replica(db), connection, [Phase.SEND], LEASE_END, limit)]


def end(connection: sa.Connection, task: Task, state: TaskState) -> int:
    """How many results counted."""
    return len(record(connection, [Change(task, replace(ended(task, state, "X", START), fence=task.fence + 1))], START))


@pytest.mark.rule("X1")
def test_two_claims_of_the_same_tasks_share_them_and_do_not_wait(db: Database) -> None:
    store(db, *(a_task(f"i-{number}") for number in range(3)))
    with db.write() as one, db.write() as other:
        first, second, third = claim(db, one, limit=2), claim(db, other), claim(db, other)
    assert (len(first), sorted(first + second), third) == (2, ["i-0", "i-1", "i-2"], [])
    with db.write() as connection:
        assert claim(db, connection) == []


@pytest.mark.rule("X2", "L2")
def test_of_two_that_end_the_last_two_tasks_the_second_ends_the_execution(db: Database) -> None:
    store(db, a_task("i-1"), a_task("i-2"))
    overtaken(
        db,
        lambda connection: end(connection, a_task("i-1"), TaskState.SKIPPED),
        written(db, lambda connection: end(connection, a_task("i-2"), TaskState.CANCELLED)),
    )
    with db.read() as connection:
        (execution,) = executions.by_uid(connection, [an_execution().uid]).values()
        events = [waiting.entry.event for waiting in outbox.oldest(connection, 10)]
    assert (execution.state, execution.end_time) == (ExecutionState.FAILED, START)
    assert execution.counts == TaskCounts(total=2, open=0, skipped=1, cancelled=1)
    assert events.count("EXECUTION_ENDED") == 1


@pytest.mark.rule("X2")
def test_of_two_results_of_one_task_the_first_counts(db: Database) -> None:
    """Both believe to hold it: the fence lets one through."""
    task = a_sent_task()
    store(db, task)
    kept = overtaken(
        db,
        lambda connection: end(connection, task, TaskState.SKIPPED),
        written(db, lambda connection: end(connection, task, TaskState.CANCELLED)),
    )
    assert kept == (1, 0)
    with db.read() as connection:
        (execution,) = executions.by_uid(connection, [an_execution().uid]).values()
    assert execution.counts == TaskCounts(total=1, open=0, skipped=1)


def begin(world: World, connection: sa.Connection, trigger: Trigger) -> None:
    """What `write_executions` does in its transaction."""
    executions.take_turns_in(connection, {(trigger.account, trigger.region)})
    command._write(connection, [trigger], world.time.product.now(), world.time.operating.now())


@pytest.mark.rule("X1", "D3")
def test_a_trigger_that_two_take_up_at_once_is_written_once(world: World) -> None:
    trigger = world.add_trigger("i-1", "i-2")
    overtaken(
        world.database,
        lambda connection: begin(world, connection, trigger),
        lambda: write_executions(world.deps, [trigger]),
    )
    assert world.execution().counts.total == 2
    world.settle()
    assert [state for _, state, _ in world.outcomes()] == ["SUCCEEDED", "SUCCEEDED"]


@pytest.mark.rule("X4")
def test_two_tasks_of_an_instance_that_are_begun_at_once_see_each_other(world: World) -> None:
    first, second = world.add_trigger("i-1"), world.add_trigger("i-1", policy="weekly")
    overtaken(
        world.database,
        lambda connection: begin(world, connection, first),
        lambda: write_executions(world.deps, [second]),
    )
    world.settle()
    assert sorted((state, reason) for _, state, reason in world.outcomes()) == [
        ("SKIPPED", "SUPERSEDED"),
        ("SUCCEEDED", ""),
    ]


def test_two_that_delivered_the_same_entries_count_what_they_dropped_once(db: Database) -> None:
    store(db, a_task())
    with db.write() as connection:
        end(connection, a_task(), TaskState.SKIPPED)
        ids = [waiting.id for waiting in outbox.oldest(connection, 10)]
    removed = overtaken(
        db,
        lambda connection: outbox.remove(connection, ids),
        written(db, lambda connection: outbox.remove(connection, ids[::-1])),
    )
    assert removed == (len(ids), 0)
