"""Two schedulers over one database, stepped by hand."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from scheduler_service.commands import write_executions as command
from scheduler_service.commands.cancel_execution import cancel_execution
from scheduler_service.commands.claim_tasks import claim_tasks
from scheduler_service.commands.pause_region import pause_region, resume_region
from scheduler_service.commands.record import Change, record
from scheduler_service.commands.watch_executions import begin_watch, read_watch
from scheduler_service.commands.write_executions import write_executions
from scheduler_service.domain.executions import Execution, ExecutionState, TaskCounts, Trigger
from scheduler_service.domain.tasks import Phase, Task, TaskState, ended, withdrawn
from scheduler_service.steps.claims import write
from scheduler_service.store import executions, outbox, places, regions, tasks
from servicekit.database import Database
from tests.support import START, database
from tests.support.races import overtaken, written
from tests.support.scheduler import World, replica, scheduler_world
from tests.support.scheduler_values import a_building_task, a_sent_task, a_task, an_execution

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
def test_two_claims_of_the_same_tasks_share_them(db: Database) -> None:
    """The second waits for the first only once it has its own: where builds in flight are counted."""
    store(db, *(a_task(f"i-{number}") for number in range(3)))
    first, second = overtaken(
        db, lambda connection: claim(db, connection, limit=2), written(db, lambda connection: claim(db, connection))
    )
    assert (len(first), sorted(first + second)) == (2, ["i-0", "i-1", "i-2"])
    with db.write() as connection:
        assert claim(db, connection) == []


@pytest.mark.rule("X1", "X7")
def test_three_schedulers_that_claim_at_the_same_moments_get_equal_shares(db: Database) -> None:
    store(db, *(a_task(f"i-{number}") for number in range(300)))
    round_begins = Barrier(3, timeout=60)

    def claim_ten(_: int) -> list[str]:
        round_begins.wait()
        with db.write() as connection:
            return claim(db, connection, limit=10)

    def claim_all(_: int) -> list[list[str]]:
        return list(map(claim_ten, range(11)))

    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(claim_all, range(3)))
    assert [[len(batch) for batch in share] for share in shares] == [[10] * 10 + [0]] * 3
    assert len({id for share in shares for batch in share for id in batch}) == 300


@pytest.mark.rule("X1")
def test_claims_of_builds_in_flight_pass_each_other_over(db: Database) -> None:
    store(db, *(a_building_task(instance_id=f"i-{number}") for number in range(3)))

    def follow(connection: sa.Connection, limit: int = 500) -> list[str]:
        return [task.instance_id for task in claim_tasks(replica(db), connection, [Phase.FOLLOW], LEASE_END, limit)]

    with db.write() as one, db.write() as other:
        first, second, third = follow(one, limit=2), follow(other), follow(other)
    assert (len(first), sorted(first + second), third) == (2, ["i-0", "i-1", "i-2"], [])


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


@pytest.mark.rule("X7")
def test_the_last_place_among_the_builds_in_flight_goes_to_one_of_two_claims(db: Database) -> None:
    store(db, a_task("i-1"), a_task("i-2"))
    limited = replace(replica(db), max_builds_in_flight=1)

    def claim_all(connection: sa.Connection) -> list[Task]:
        return claim_tasks(limited, connection, [Phase.SEND], LEASE_END, 500)

    first, second = overtaken(db, claim_all, written(db, claim_all))
    assert (len(first), second) == (1, [])
    with db.read() as connection:
        assert places.builds_in_flight(connection, [first[0].place]) == {first[0].place: 1}


def claimed_task(db: Database) -> Task:
    store(db, a_task())
    with db.write() as connection:
        (task,) = claim_tasks(replica(db), connection, [Phase.SEND], LEASE_END, 1)
    return task


def begun(task: Task) -> Change:
    """What the send step writes before it sends."""
    return Change(task, replace(task, attempt_count=1))


def only_task(db: Database) -> Task:
    with db.read() as connection:
        (found,) = tasks.page(connection, an_execution().uid, states=(), after=None, limit=2)
    return found


@pytest.mark.rule("X6")
def test_a_sender_that_waits_for_a_cancellation_sends_nothing(db: Database) -> None:
    task = claimed_task(db)

    def cancel(connection: sa.Connection) -> list[Change]:
        """What `cancel_execution` does in its transaction."""
        pending = tasks.pending_of_execution(connection, task.execution_uid)
        end = partial(
            withdrawn, state=TaskState.CANCELLED, reason="EXECUTION_CANCELLED", product=START, operating=START
        )
        return record(connection, [Change(each, end(each)) for each in pending], START)

    cancelled, sent = overtaken(db, cancel, lambda: write(replica(db), [begun(task)]))
    assert (len(cancelled), sent) == (1, [])
    found = only_task(db)
    assert (found.phase, found.end_state, found.attempt_count) == (Phase.RESOLVE, TaskState.CANCELLED, 0)


@pytest.mark.rule("X6")
def test_a_cancellation_that_waits_for_a_sender_has_the_task_resolved(db: Database) -> None:
    task = claimed_task(db)
    sent, execution = overtaken(
        db,
        lambda connection: record(connection, [begun(task)], START),
        lambda: cancel_execution(replica(db), an_execution().name),
    )
    assert (len(sent), execution.counts) == (1, TaskCounts(total=1, open=1))
    found = only_task(db)
    assert (found.state, found.phase, found.end_state) == (TaskState.PENDING, Phase.RESOLVE, TaskState.CANCELLED)
    assert found.attempt_count == 1


def test_changes_are_numbered_in_the_order_of_their_commits(db: Database) -> None:
    """A watch that has seen the second change has seen the first one: neither takes a number early."""
    store(db, a_task("i-1"), a_task("i-2"))
    written(db, lambda connection: places.add(connection, {}, {an_execution().place}))()
    begun = begin_watch(replica(db), "acme", "cn-north-1")
    seen: list[Execution] = []

    def look(_: sa.Connection) -> None:
        seen.extend(read_watch(replica(db), "acme", "cn-north-1", None, begun)[0])

    new = an_execution("weekly", counts=TaskCounts(), state=ExecutionState.SUCCEEDED)

    def begin_another(connection: sa.Connection) -> None:
        executions.insert(connection, [new], places.add(connection, {}, {new.place}))

    overtaken(
        db,
        lambda connection: end(connection, a_task("i-1"), TaskState.SKIPPED),
        written(db, begin_another),
        then=look,
    )
    told, after = read_watch(replica(db), "acme", "cn-north-1", None, begun)
    assert (seen, [each.policy_id for each in told], after.change) == ([], ["daily", "weekly"], begun.change + 1)


def test_a_region_that_is_just_being_resumed_is_paused_anew(db: Database) -> None:
    deps = replica(db)
    pause_region(deps, "cn-north-1")
    later = replica(db, product=START + timedelta(hours=1))
    _, since = overtaken(
        db, lambda connection: regions.resume(connection, "cn-north-1"), lambda: pause_region(later, "cn-north-1")
    )
    assert since == START + timedelta(hours=1)


def test_a_region_is_not_resumed_between_being_paused_and_saying_since_when(db: Database) -> None:
    deps = replica(db)
    pause_region(deps, "cn-north-1")
    since, _ = overtaken(
        db,
        lambda connection: regions.pause(connection, "cn-north-1", START + timedelta(hours=1)),
        lambda: resume_region(deps, "cn-north-1"),
    )
    assert since == START
    with db.read() as connection:
        assert regions.paused(connection) == {}


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
