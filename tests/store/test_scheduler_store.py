"""The scheduler's SQL: claims and fences, lists, counts, places, and the tables themselves."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from scheduler_service.commands.claim_tasks import claim_tasks, next_due
from scheduler_service.commands.record import Change, record
from scheduler_service.domain.executions import Execution, ExecutionState, Kind, Missed, TaskCounts
from scheduler_service.domain.tasks import LeftOut, Phase, Task, TaskState, ended, ending
from scheduler_service.store import executions, outbox, places, schema, tasks
from servicekit.database import Database, constraint_name
from servicekit.migrations import upgrade
from servicekit.timestamps import to_micros
from tests.support import START, database, migration_differences
from tests.support.databases import empty_url
from tests.support.scheduler import replica
from tests.support.scheduler_values import (
    IMAGE,
    PLACE,
    a_building_task,
    a_sent_task,
    a_task,
    an_execution,
    instance_name,
    uid,
)

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
LEASE_END = START + LEASE
ALL_PHASES = tuple(Phase)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = database(tmp_path, "scheduler_service")
    yield made
    made.dispose()


def store(db: Database, execution: Execution, *new: Task) -> None:
    put(db, replace(execution, counts=TaskCounts(total=len(new), open=len(new))))
    with db.write() as connection:
        tasks.insert(connection, new)


def put(db: Database, *new: Execution) -> None:
    with db.write() as connection:
        add(connection, *new)


def add(connection: sa.Connection, *new: Execution) -> None:
    executions.insert(connection, new, {execution.place: 1 for execution in new})


def claim(
    db: Database,
    *phases: Phase,
    product: datetime = START,
    operating: datetime = START,
    lease_end: datetime = LEASE_END,
    limit: int = 500,
) -> list[Task]:
    deps = replica(db, product, operating)
    with db.write() as connection:
        return claim_tasks(deps, connection, phases or [Phase.SEND], lease_end, limit)


def due(db: Database, *phases: Phase, product: datetime = START) -> tuple[datetime | None, datetime | None]:
    with db.read() as connection:
        return next_due(replica(db, product), connection, phases, product)


def stored(db: Database, execution: Execution) -> list[Task]:
    with db.read() as connection:
        return tasks.page(connection, execution.uid, states=(), after=None, limit=1000)


# Tables


def test_migrations_make_exactly_the_metadata_and_end_at_head(tmp_path: Path) -> None:
    assert migration_differences(tmp_path, "scheduler_service") == []


def test_tasks_that_noted_whether_they_were_sent_are_kept(tmp_path: Path) -> None:
    own = Database(empty_url(tmp_path, "sent"))
    upgrade(own, "scheduler_service", "0004")
    execution, task = an_execution(counts=TaskCounts(total=1, open=1)), a_task()
    put(own, execution)
    with own.write() as connection:
        before = sa.Table("image_tasks", sa.MetaData(), autoload_with=connection)
        connection.execute(sa.insert(before), tasks._row(task) | {"sent": True})
    upgrade(own, "scheduler_service", schema.HEAD)
    assert stored(own, execution) == [task]
    with own.read() as connection:
        assert "sent" not in {column["name"] for column in sa.inspect(connection).get_columns("image_tasks")}
    own.dispose()


@pytest.mark.rule("X1")
def test_an_execution_a_task_and_a_build_request_exist_once_only(db: Database) -> None:
    execution, task = an_execution(), a_task()
    store(db, execution, task)
    other = an_execution(scheduled_time=START + LEASE)
    again: list[tuple[str, Callable[[sa.Connection], None]]] = [
        ("pk_executions", lambda c: add(c, replace(execution, execution_id="exec-other"))),
        (
            "uq_executions_account_region_policy_id_execution_id",
            lambda c: add(c, replace(other, execution_id=execution.execution_id)),
        ),
        ("pk_image_tasks", lambda c: tasks.insert(c, [replace(task, request_id=uid("other"))])),
        ("uq_image_tasks_request_id", lambda c: tasks.insert(c, [replace(task, instance=instance_name("i-2"))])),
    ]
    for name, insert in again:
        with pytest.raises(IntegrityError) as caught, db.write() as connection:
            insert(connection)
        assert constraint_name(caught.value, schema.metadata) == name
    assert stored(db, execution) == [task]


def test_an_execution_comes_back_as_it_was_stored(db: Database) -> None:
    plain = an_execution()
    full = an_execution(
        kind=Kind.MISSED,
        state=ExecutionState.MISSED,
        scheduled_time=START - timedelta(days=3, microseconds=1),
        run_id=uid("run"),
        end_time=START,
        devices=("vda", "vdc"),
        log_topic="",
        counts=TaskCounts(21, 1, 2, 3, 5, 10),
        missed=Missed(START - timedelta(days=3), START - timedelta(days=1), 3, "NOT_TAKEN_UP"),
    )
    put(db, plain, full)
    with db.read() as connection:
        assert executions.by_uid(connection, {plain.uid, full.uid}) == {plain.uid: plain, full.uid: full}
        assert executions.get(connection, "acme", "cn-north-1", "daily", full.execution_id) == full
        assert executions.get(connection, "other", "cn-north-1", "daily", full.execution_id) is None


def test_a_task_comes_back_as_it_was_stored_and_updated(db: Database) -> None:
    execution, task = an_execution(), a_task()
    store(db, execution, task)
    assert stored(db, execution) == [task]
    changed = replace(
        task,
        state=TaskState.FAILED,
        phase=Phase.LATE,
        due_product=START + LEASE,
        due_operating=START + SECOND,
        fence=3,
        tries=4,
        attempt_count=5,
        reason="BUILD_TIMEOUT",
        end_state=TaskState.SKIPPED,
        end_reason="SUPERSEDED",
        image=IMAGE,
        included=("vda", "vdb"),
        left_out=(LeftOut("vdc", "LOCAL_DISK"), LeftOut("vdd", "NO_SUCH_DISK")),
        build_start_time=START + SECOND,
        end_time=START + 2 * SECOND,
        late_image_time=START + 3 * SECOND,
    )
    with db.write() as connection:
        tasks.update(connection, [changed])
    assert stored(db, execution) == [changed]


def test_more_executions_than_fit_one_statement_are_found(db: Database) -> None:
    many = [an_execution(scheduled_time=START + number * SECOND) for number in range(1001)]
    with db.write() as connection:
        add(connection, *many)
    uids = {execution.uid for execution in many}
    with db.read() as connection:
        assert executions.known(connection, uids | {uid("unknown")}) == uids
        assert executions.by_uid(connection, uids).keys() == uids


# Claims


def test_two_claimants_get_disjoint_tasks(db: Database) -> None:
    store(db, an_execution(), *(a_task(f"i-{number}") for number in range(5)))
    first, second, third = claim(db, limit=3), claim(db, limit=3), claim(db, limit=3)
    assert (len(first), len(second), third) == (3, 2, [])
    assert {task.instance_id for task in first + second} == {f"i-{number}" for number in range(5)}


def test_a_claim_gives_the_task_a_new_fence_and_holds_it_until_the_lease_ends(db: Database) -> None:
    execution, task = an_execution(), a_task()
    store(db, execution, task)
    claimed = claim(db)
    assert claimed == [replace(task, fence=1, due_operating=LEASE_END, in_flight=True)]
    assert stored(db, execution) == claimed
    assert claim(db, operating=LEASE_END - timedelta(microseconds=1)) == []
    (again,) = claim(db, operating=LEASE_END, lease_end=LEASE_END + LEASE)
    assert again.fence == 2


@pytest.mark.parametrize(
    ("due_product", "due_operating", "is_due"),
    [
        (START, START, True),
        (START + timedelta(microseconds=1), START, False),
        (START, START + timedelta(microseconds=1), False),
        (START - LEASE, START - LEASE, True),
    ],
)
def test_only_what_is_due_in_both_times_is_claimed(
    db: Database, due_product: datetime, due_operating: datetime, is_due: bool
) -> None:
    store(db, an_execution(), a_task(due_product=due_product, due_operating=due_operating))
    assert len(claim(db)) == is_due


def test_only_the_phases_asked_for_are_claimed_and_done_tasks_never(db: Database) -> None:
    done = a_task("i-done", phase=Phase.DONE, state=TaskState.SKIPPED, due_product=None)
    open_phases = (Phase.SEND, Phase.FOLLOW, Phase.RESOLVE, Phase.LATE)
    store(db, an_execution(), done, *(a_task(f"i-{phase.lower()}", phase=phase) for phase in open_phases))
    assert [task.instance_id for task in claim(db, Phase.RESOLVE)] == ["i-resolve"]
    assert {task.instance_id for task in claim(db, Phase.FOLLOW, Phase.LATE)} == {"i-follow", "i-late"}
    assert [task.instance_id for task in claim(db, *ALL_PHASES)] == ["i-send"]


def test_what_is_due_longest_is_claimed_first(db: Database) -> None:
    due = {"i-1": START - SECOND, "i-2": START - 3 * SECOND, "i-3": START - 2 * SECOND}
    store(db, an_execution(), *(a_task(instance, due_product=moment) for instance, moment in due.items()))
    assert [task.instance_id for task in claim(db, limit=2)] == ["i-2", "i-3"]


def test_the_next_moment_to_come_back_is_told_for_what_is_due_and_for_what_is_not_yet(db: Database) -> None:
    store(
        db,
        an_execution(),
        a_task("i-1", due_product=START, due_operating=LEASE_END),
        a_task("i-2", due_product=START - SECOND, due_operating=LEASE_END + SECOND),
        a_task("i-3", due_product=START + 2 * SECOND),
        a_task("i-4", due_product=START + SECOND),
        a_task("i-5", due_product=START + SECOND / 2, phase=Phase.FOLLOW),
    )
    assert due(db, Phase.SEND) == (START + SECOND, LEASE_END)
    assert due(db, Phase.SEND, Phase.FOLLOW) == (START + SECOND / 2, LEASE_END)
    assert due(db, Phase.RESOLVE) == (None, None)


# Results


def test_a_result_of_the_present_claim_is_stored_with_its_entries_and_counts(db: Database) -> None:
    execution = an_execution()
    store(db, execution, a_task("i-1"), a_task("i-2"))
    claimed = claim(db)
    changes = [Change(task, ended(task, TaskState.CANCELLED, "DISASSOCIATED", START)) for task in claimed[:1]]
    with db.write() as connection:
        assert record(connection, changes, START) == changes
        (after,) = executions.by_uid(connection, [execution.uid]).values()
        assert after == replace(execution, counts=TaskCounts(total=2, open=1, cancelled=1))
        assert [waiting.entry.event for waiting in outbox.oldest(connection, 10)] == ["IMAGE_TASK_ENDED"]
    assert [task.state for task in stored(db, execution)] == [TaskState.CANCELLED, TaskState.PENDING]


def test_a_result_of_an_old_claim_is_dropped_with_its_entries_and_counts(db: Database) -> None:
    execution = an_execution()
    store(db, execution, a_task())
    (old,) = claim(db)
    (new,) = claim(db, operating=LEASE_END, lease_end=LEASE_END + LEASE)
    with db.write() as connection:
        assert record(connection, [Change(old, ended(old, TaskState.FAILED, "COMPUTE_REFUSED", START))], START) == []
        assert executions.by_uid(connection, [execution.uid]) == {execution.uid: execution}
        assert outbox.oldest(connection, 10) == []
    assert stored(db, execution) == [new]


def test_of_a_batch_only_what_was_claimed_anew_is_dropped(db: Database) -> None:
    execution = an_execution()
    store(db, execution, a_task("i-1"), a_task("i-2"))
    old = claim(db)
    claim(db, operating=LEASE_END, limit=1)  # i-1
    changes = [Change(task, ended(task, TaskState.CANCELLED, "POLICY_DELETED", START)) for task in old]
    with db.write() as connection:
        assert [after.instance_id for _, after in record(connection, changes, START)] == ["i-2"]
    assert [task.state for task in stored(db, execution)] == [TaskState.PENDING, TaskState.CANCELLED]


def test_the_last_task_of_an_execution_ends_it(db: Database) -> None:
    execution = an_execution()
    store(db, execution, a_task("i-1"), a_task("i-2"))
    first, second = claim(db)
    for task, now in ((first, START), (second, START + SECOND)):
        with db.write() as connection:
            record(connection, [Change(task, ended(task, TaskState.SKIPPED, "OVERLAP", now))], now)
    with db.read() as connection:
        (after,) = executions.by_uid(connection, [execution.uid]).values()
        entries = [waiting.entry for waiting in outbox.oldest(connection, 10)]
    assert (after.state, after.end_time) == (ExecutionState.SKIPPED, START + SECOND)
    assert after.counts == TaskCounts(total=2, open=0, skipped=2)
    assert [entry.event for entry in entries] == ["IMAGE_TASK_ENDED", "IMAGE_TASK_ENDED", "EXECUTION_ENDED"]


def test_ends_of_several_executions_are_counted_each_for_itself(db: Database) -> None:
    two = [an_execution("daily"), an_execution("weekly")]
    for execution in two:
        store(db, execution, a_task("i-1", execution), a_task("i-2", execution))
    states = {"i-1": TaskState.SUCCEEDED, "i-2": TaskState.FAILED}
    claimed = claim(db)
    changes = [Change(task, ended(task, states[task.instance_id], "", START)) for task in claimed]
    with db.write() as connection:
        record(connection, changes, START)
        found = executions.by_uid(connection, [execution.uid for execution in two])
    for execution in two:
        assert found[execution.uid].state is ExecutionState.PARTIALLY_SUCCEEDED
        assert found[execution.uid].counts == TaskCounts(total=2, open=0, succeeded=1, failed=1)


def test_the_open_tasks_of_an_instance_are_found(db: Database) -> None:
    made = [an_execution(scheduled_time=START + number * LEASE) for number in range(4)]
    newest, oldest, done, late = (
        a_sent_task(execution=made[3]),
        a_building_task(execution=made[0]),
        a_task(execution=made[1], phase=Phase.DONE, due_product=None, state=TaskState.SUCCEEDED),
        a_task(execution=made[2], phase=Phase.LATE, state=TaskState.FAILED),
    )
    resolving = ending(a_sent_task(instance_id="i-2", execution=made[0]), TaskState.FAILED, "X", START, START)
    store(db, made[0], oldest, resolving, a_task("i-3", made[0]))
    for execution, task in ((made[1], done), (made[2], late), (made[3], newest)):
        store(db, execution, task)
    with db.write() as connection:
        found = tasks.open_of_instances(connection, [instance_name("i-1"), instance_name("i-2")])
    assert found.keys() == {instance_name("i-1"), instance_name("i-2")}
    assert {task.execution_uid: task for task in found[instance_name("i-1")]} == {
        oldest.execution_uid: oldest,
        newest.execution_uid: newest,
    }
    assert found[instance_name("i-2")] == [resolving]


# Lists


def page(db: Database, policy_id: str | None = "daily", **wanted: object) -> list[Execution]:
    arguments: dict[str, object] = {
        "states": (),
        "not_before": None,
        "before": None,
        "run_id": "",
        "after": None,
        "limit": 100,
    }
    with db.read() as connection:
        return executions.page(connection, "acme", "cn-north-1", policy_id, **arguments | wanted)  # type: ignore[arg-type]


def test_executions_are_listed_newest_first_and_pages_neither_repeat_nor_leave_out(db: Database) -> None:
    twins = [an_execution("daily", run_id=uid("run", number), kind=Kind.RUN_NOW) for number in range(3)]
    later = an_execution(scheduled_time=START + SECOND)
    earlier = an_execution(scheduled_time=START - SECOND)
    put(db, *twins, later, earlier)
    wanted = [later, *sorted(twins, key=lambda execution: execution.uid, reverse=True), earlier]
    assert page(db) == wanted
    seen: list[Execution] = []
    while more := page(db, after=(to_micros(seen[-1].scheduled_time), seen[-1].uid) if seen else None, limit=2):
        seen += more
    assert seen == wanted


def test_executions_are_chosen_by_place_policy_state_time_and_run(db: Database) -> None:
    plain = an_execution()
    run = an_execution(kind=Kind.RUN_NOW, run_id=uid("run"), scheduled_time=START + SECOND)
    failed = an_execution(state=ExecutionState.FAILED, scheduled_time=START + 2 * SECOND)
    weekly = an_execution("weekly", scheduled_time=START + 3 * SECOND)
    foreign = an_execution("foreign", account="other")
    elsewhere = an_execution("elsewhere", region="cn-south-1")
    put(db, plain, run, failed, weekly, foreign, elsewhere)
    assert page(db) == [failed, run, plain]
    assert page(db, "weekly") == [weekly]
    assert page(db, None) == [weekly, failed, run, plain]
    assert page(db, states=["FAILED"]) == [failed]
    assert page(db, states=["FAILED", "RUNNING"]) == [failed, run, plain]
    assert page(db, run_id=uid("run")) == [run]
    assert page(db, not_before=START + SECOND) == [failed, run]
    assert page(db, before=START + SECOND) == [plain]
    assert page(db, not_before=START + SECOND, before=START + 2 * SECOND) == [run]


def test_tasks_are_listed_in_the_order_of_their_instances_and_by_state(db: Database) -> None:
    execution = an_execution()
    skipped = a_task("i-2", state=TaskState.SKIPPED, phase=Phase.DONE, due_product=None)
    store(db, execution, a_task("i-3"), skipped, a_task("i-1"), a_task("i-10"))
    store(db, an_execution("weekly"), a_task("i-0", an_execution("weekly")))
    with db.read() as connection:

        def ids(**wanted: object) -> list[str]:
            arguments: dict[str, object] = {"states": (), "after": None, "limit": 100} | wanted
            return [task.instance_id for task in tasks.page(connection, execution.uid, **arguments)]  # type: ignore[arg-type]

        assert ids() == ["i-1", "i-10", "i-2", "i-3"]
        assert ids(limit=2) == ["i-1", "i-10"]
        assert ids(after=("i-10",)) == ["i-2", "i-3"]
        assert ids(states=["PENDING"]) == ["i-1", "i-10", "i-3"]
        assert ids(states=["PENDING", "SKIPPED"], after=("i-1",), limit=2) == ["i-10", "i-2"]


def test_what_is_under_way_is_counted(db: Database) -> None:
    old = an_execution(scheduled_time=START - timedelta(days=1), trigger_time=START)
    new = an_execution("weekly")
    store(db, old, a_task("i-1", old), a_building_task(instance_id="i-2", execution=old))
    store(db, new, a_task("i-1", new), a_task("i-2", new, phase=Phase.DONE, state=TaskState.SKIPPED, due_product=None))
    closed = an_execution("closed", state=ExecutionState.SUCCEEDED)
    put(db, closed)
    with db.read() as connection:
        assert executions.count_running(connection) == 2
        assert tasks.count_open(connection, START) == {TaskState.PENDING: 2, TaskState.BUILDING: 1}
        assert tasks.oldest_pending(connection, START) == START - timedelta(days=1)


def test_nothing_under_way_is_counted_as_nothing(db: Database) -> None:
    with db.read() as connection:
        assert executions.count_running(connection) == 0
        assert tasks.count_open(connection, START) == {}
        assert tasks.oldest_pending(connection, START) is None


def test_ending_no_execution_changes_none(db: Database) -> None:
    execution = an_execution()
    store(db, execution, a_task())
    with db.write() as connection:
        executions.close(connection, [])
        assert executions.by_uid(connection, [execution.uid]) == {execution.uid: execution}


# Places


def test_what_is_counted_of_a_place_is_counted_together(db: Database) -> None:
    with db.write() as connection:
        assert places.add(connection, {"a": 2, "b": 1, "c": 0}, {"b", "d"}) == {"b": 1, "d": 1}
        assert places.add(connection, {"a": -1}, {"b"}) == {"b": 2}
        assert places.add(connection, {}, ()) == {}
        assert places.builds_in_flight(connection, ["a", "b", "c", "d"]) == {"a": 1, "b": 1, "c": 0, "d": 0}
        assert [places.last_change(connection, name) for name in "abcd"] == [0, 2, 0, 1]


def test_an_execution_is_found_under_its_latest_change(db: Database) -> None:
    first, second = an_execution("first"), an_execution("second")
    put(db, first)
    with db.write() as connection:
        tasks.insert(connection, [a_task(execution=first)])
        executions.insert(connection, [second], {second.place: 2})
        places.add(connection, {}, {first.place})
        places.add(connection, {}, {first.place})
    (claimed,) = claim(db)
    with db.write() as connection:
        record(connection, [Change(claimed, ended(claimed, TaskState.SKIPPED, "OVERLAP", START))], START)
    with db.read() as connection:

        def found(after: tuple[int, str], limit: int = 10) -> list[tuple[int, str, str]]:
            return executions.changed_after(connection, "acme", "cn-north-1", after, limit)

        rows = [(2, second.uid, "second"), (3, first.uid, "first")]
        assert found((0, "")) == found((2, "")) == rows
        assert found((0, ""), limit=1) == rows[:1]
        assert found((2, second.uid)) == rows[1:]
        assert found((3, first.uid)) == []


def test_how_late_the_latest_executions_were_is_told_at_most(db: Database) -> None:
    with db.read() as connection:
        assert executions.lateness(connection, 2) is None
    on_time = an_execution(start_time=START + SECOND)
    late = an_execution(
        kind=Kind.CATCH_UP, scheduled_time=START - LEASE, trigger_time=START, start_time=START + 2 * SECOND
    )
    run = an_execution(kind=Kind.RUN_NOW, run_id=uid("run"), trigger_time=START, start_time=START + 3 * SECOND)
    missed = an_execution(kind=Kind.MISSED, scheduled_time=START - 9 * LEASE, start_time=START + 9 * LEASE)
    put(db, on_time, late, run, missed)
    before = an_execution("before", scheduled_time=START - LEASE, trigger_time=START, start_time=START)
    put(db, before)
    with db.read() as connection:
        assert executions.lateness(connection, 3) == 3 * SECOND
        assert executions.lateness(connection, 4) == LEASE


@pytest.mark.engines("sqlite")
def test_a_step_reads_by_index_only(db: Database) -> None:
    """Its cost depends on what is due, not on how many tasks there ever were."""
    with db.read() as connection:
        for table, condition in (
            ("image_tasks", "phase = 'SEND' AND place = 'p' AND due_product <= 1 ORDER BY due_product LIMIT 500"),
            ("image_tasks", f"instance IN ('{PLACE}') AND phase IN ('SEND', 'FOLLOW')"),
            ("executions", "account = 'a' AND region = 'r' ORDER BY scheduled_time DESC, uid DESC LIMIT 21"),
            (
                "executions",
                "account = 'a' AND region = 'r' AND (change, uid) > (1, 'u') ORDER BY change, uid LIMIT 1000",
            ),
            ("executions", "kind != 'MISSED' ORDER BY start_time DESC LIMIT 100"),
            ("executions", "end_time < 1 ORDER BY end_time LIMIT 50"),
        ):
            plan = connection.execute(sa.text(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {condition}"))
            steps = [row.detail for row in plan]
            assert any("USING INDEX" in step for step in steps), steps
            assert not any("TEMP B-TREE" in step for step in steps), steps
            assert not any(step.startswith("SCAN") and "start_time" not in step for step in steps), steps


@pytest.mark.engines("sqlite")
def test_a_result_is_recorded_by_index_only(db: Database) -> None:
    """What each statement reads is asked of the planner itself, as the statement is sent."""
    plans: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.startswith(("INSERT", "EXPLAIN")):
            first = parameters[0] if many else parameters
            plans.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", first))

    store(db, an_execution(), a_task())
    deps = replica(db)
    with db.write() as connection:
        sa.event.listen(connection, "before_cursor_execute", explain)
        [task] = claim_tasks(deps, connection, [Phase.SEND], LEASE_END, 500)
        done = ended(task, TaskState.CANCELLED, "POLICY_DELETED", START)
        assert len(record(connection, [Change(task, done)], START)) == 1
        next_due(deps, connection, [Phase.SEND], START)
        sa.event.remove(connection, "before_cursor_execute", explain)
    assert len(plans) > 5
    # The keys that were asked for are read from a list of values, and the places of a phase are found one from the
    # other; no table is read whole.
    small = ("VIRTUAL TABLE", "queue", "paused_regions", "(subquery-", "CONSTANT ROW")
    assert [plan for plan in plans if plan.startswith("SCAN") and not any(name in plan for name in small)] == []
    assert any("ix_image_tasks_due (phase=? AND place=? AND due_product<?)" in plan for plan in plans)
