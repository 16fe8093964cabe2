"""What PostgreSQL reads where there is much history: what a poll costs depends on what is due, not on what exists."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from policy_service.domain.association import Association
from policy_service.domain.ledger import Event, LedgerFilter, changed_entry
from policy_service.domain.policy import Logging, PolicyKey, PolicySpec, new_policy
from policy_service.domain.schedule import Interval, Schedule, Unit
from policy_service.domain.triggers import take_up
from policy_service.store import associations, ledger, policies, retentions, triggers
from policy_service.store import schema as policy_schema
from scheduler_service.commands.claim_tasks import claim_tasks, next_due
from scheduler_service.commands.record_looks import Look, record_looks
from scheduler_service.domain.executions import TaskCounts
from scheduler_service.domain.retention import Retention, rested
from scheduler_service.domain.tasks import Phase, TaskState
from scheduler_service.store import executions, kept_images, outbox, series, tasks
from scheduler_service.store import schema as scheduler_schema
from servicekit.database import Database
from servicekit.migrations import upgrade
from servicekit.paging import Page
from tests.support import START, databases
from tests.support.scheduler import replica
from tests.support.scheduler_values import (
    IMAGE,
    TOPIC,
    a_building_task,
    a_kept_image,
    a_series,
    a_task,
    an_entry,
    an_execution,
    instance_name,
)

pytestmark = pytest.mark.engines("postgresql")
HISTORY = 100_000
DAY = timedelta(days=1)
DUE = PolicyKey("acme", "cn-north-1", "due")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """One of its own: to empty it would take longer than to drop it."""
    made = Database(databases.empty_url(tmp_path, "history"))
    yield made
    made.dispose()


def multiply(connection: sa.Connection, table: sa.Table, changed: Mapping[str, str]) -> None:
    """Makes 100,000 more of the only row of a table; `changed` tells columns in SQL, where `n` is a row's number."""
    names = [column.name for column in table.columns if column.autoincrement is not True]
    chosen = ", ".join(changed.get(name, f'"{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    numbers = f"generate_series(1, {HISTORY}) AS n"
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({quoted}) SELECT {chosen} FROM {table.name}, {numbers}")


@contextmanager
def plans(connection: sa.Connection) -> Iterator[list[str]]:
    """The steps by which each statement is carried out."""
    found: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.startswith("INSERT"):
            with cursor.connection.cursor() as other:
                other.execute(f"EXPLAIN {statement}", parameters[0] if many else parameters)
                found.extend(f"{row[0]}  -- {statement}" for row in other)

    sa.event.listen(connection, "before_cursor_execute", explain)
    yield found
    sa.event.remove(connection, "before_cursor_execute", explain)


def read_whole(found: list[str], *tables: str) -> list[str]:
    """The steps that read all of one of these tables."""
    return [step for step in found if re.search(rf"Seq Scan on ({'|'.join(tables)})\b", step)]


def fill_scheduler(db: Database) -> None:
    """With as many executions and tasks of last month, and series and images that are not due; and one of each due."""
    upgrade(db, "scheduler_service", scheduler_schema.HEAD)
    old = an_execution("old", scheduled_time=START - 30 * DAY, end_time=START - 30 * DAY, counts=TaskCounts(total=1))
    done = a_task("i-1", old, state=TaskState.SUCCEEDED, phase=Phase.DONE, due_product=None, image=IMAGE)
    with db.write() as connection:
        executions.insert(connection, [old], {old.place: 1})
        multiply(
            connection,
            scheduler_schema.executions,
            {
                "uid": "'e-' || n",
                "execution_id": "'exec-' || n",
                "end_time": "end_time + n",
                "start_time": "start_time + n",
                "scheduled_time": "scheduled_time + n",
                "change": "n",
            },
        )
        tasks.insert(connection, [done])
        multiply(
            connection,
            scheduler_schema.image_tasks,
            {
                "execution_uid": "'e-' || n",
                "request_id": "'r-' || n",
                "instance": "instance || mod(n, 1000)",
            },
        )
        resting = a_series("i-old", due_product=START + DAY)
        series.ask(connection, [resting])
        multiply(
            connection, scheduler_schema.image_series, {"instance": "instance || n", "due_product": "due_product + n"}
        )
        kept_images.add(connection, [a_kept_image("img-old", START, resting)])
        multiply(
            connection,
            scheduler_schema.kept_images,
            {
                "image": "image || n",
                "instance": "instance || (mod(n, 1000) + 1)",
                "scheduled_time": "scheduled_time + n",
            },
        )
        now = an_execution(counts=TaskCounts(total=2, open=2))
        executions.insert(connection, [now], {now.place: HISTORY + 1})
        tasks.insert(connection, [a_task("i-1"), a_building_task(instance_id="i-2")])
        series.ask(connection, [a_series()])
        kept_images.add(connection, [a_kept_image()])
        outbox.add(connection, [an_entry()])
        connection.exec_driver_sql("ANALYZE")


def test_the_schedulers_steps_read_by_index_however_much_history_there_is(db: Database) -> None:
    fill_scheduler(db)
    deps = replica(db)
    lease_end = START + timedelta(seconds=30)
    with db.write() as connection, plans(connection) as found:
        assert next_due(deps, connection, [Phase.SEND, Phase.FOLLOW], START)[1] == START
        claimed = claim_tasks(deps, connection, [Phase.SEND, Phase.FOLLOW], lease_end, 500)
        assert [task.instance_id for task in claimed] == ["i-1", "i-2"]
        assert len(tasks.still_claimed(connection, claimed)) == 2
        assert list(tasks.open_of_instances(connection, [instance_name("i-1")])) == [instance_name("i-1")]
        assert len(outbox.oldest(connection, 500)) == 1
        assert len(executions.changed_after(connection, "acme", "cn-north-1", (HISTORY, "z"), 100)) == 1
        assert executions.ended_before(connection, START - 400 * DAY, 50) == []
        assert executions.lateness(connection, 100) == timedelta(0)
        assert series.next_due(connection, START)[1] == START
        (look,) = series.claim(connection, product=START, operating=START, lease_end=lease_end, limit=100)
        for retention in (Retention(keep_days=1), Retention(keep_last=2), Retention(keep_days=1, keep_last=2)):
            kept_images.over_limits(connection, look.key, retention, START, after=None, limit=100)
        record_looks(connection, [Look(rested(look, START, START), deleted=[a_kept_image()])], START)
    assert len(found) > 30
    assert read_whole(found, "image_tasks", "executions", "image_series", "kept_images") == []


def fill_policies(db: Database) -> None:
    """With as many enabled policies that are not due, each with an instance, and their history; and one that is due."""
    upgrade(db, "policy_service", policy_schema.HEAD)
    key = PolicyKey("acme", "cn-north-1", "old")
    spec = PolicySpec(
        display_name="Old",
        description="",
        schedule=Schedule(START + DAY, Interval(1, Unit.DAY)),
        devices=None,
        logging=Logging(TOPIC, enabled=True),
    )
    resting = new_policy(key, "p", spec, enabled=True, now=START)
    with db.write() as connection:
        policies.insert(connection, resting)
        multiply(
            connection,
            policy_schema.policies,
            {
                "uid": "'p-' || n",
                "policy_id": "policy_id || n",
                "log_topic": "log_topic || mod(n, 1000)",
                "next_execution_micros": "next_execution_micros + n",
            },
        )
        associations.link(connection, [Association("a", "p", key, "i", START)])
        multiply(
            connection,
            policy_schema.associations,
            {"uid": "'a-' || n", "policy_uid": "'p-' || n", "instance_id": "'i-' || n"},
        )
        ledger.append(connection, [changed_entry(resting, Event.CREATED, START)])
        multiply(connection, policy_schema.schedule_ledger, {"policy_uid": "'p-' || n", "micros": "micros + n"})
        due = replace(spec, schedule=replace(spec.schedule, start_time=START))
        policies.insert(connection, new_policy(DUE, "due", due, enabled=True, now=START - DAY))
        connection.exec_driver_sql("ANALYZE")


def test_a_lease_and_the_sweeps_read_by_index_however_many_policies_there_are(db: Database) -> None:
    fill_policies(db)
    with db.write() as connection, plans(connection) as found:
        assert policies.next_due(connection) == START
        assert not triggers.any_leasable(connection, START)
        assert len(policies.due(connection, START + 100 * DAY, 10)) == 11, "from both ends"
        (candidate,) = policies.due(connection, START, 5000)
        (locked,) = policies.lock_due(connection, [candidate.uid], START)
        moved_on, trigger = take_up(locked, "t-1", [], START)
        policies.update_triggered(connection, [moved_on])
        triggers.insert(connection, [trigger])
        (leasable,) = triggers.lock_leasable(connection, START, 5000)
        triggers.lease(connection, [leasable.uid], START + DAY)
        assert triggers.get(connection, [leasable.uid]) == [replace(trigger, lease_count=1)]
        assert associations.policies_of(connection, ["a-1", "a-2", "gone"]) == {"a-1": "p-1", "a-2": "p-2"}
        assert associations.of_policies(connection, ["p-1"])["p-1"][0].instance_id == "i-1"
        assert policies.existing(connection, ["p-1", "gone"]) == {"p-1"}
        assert len(associations.of_instances(connection, DUE.place, ["i-1", "i-2"])) == 2
        assert len(associations.after(connection, "a-1", 500)) == 500
        assert len(policies.topics_in_use(connection, TOPIC + "5", 10)) == 10
        assert len(policies.logging_to(connection, [TOPIC + "5"], 500)) == HISTORY // 1000
        assert retentions.look_up(connection, ["p-1", "gone"]).keys() == {"p-1"}
        assert len(ledger.page(connection, DUE.place, "old", LedgerFilter(start=START), Page(20, None))) == 21
        assert ledger.late_points(connection, ["p-1"]) == {"p-1": 0}
        ledger.forget(connection, [number for number, _ in ledger.after(connection, 0, 500)])
    assert len(found) > 30
    assert read_whole(found, "policies", "associations", "schedule_ledger") == []
