"""The schedule ledger's SQL: what is kept, the order of pages, and which index finds it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from policy_service.domain.ledger import DisabledReason, Event, LedgerEntry, LedgerFilter, changed_entry, deleted_entry
from policy_service.domain.policy import Policy, PolicyKey, PolicySpec, new_policy
from policy_service.domain.schedule import Interval, Points, Schedule, Unit
from policy_service.domain.triggers import MissedReason
from policy_service.store import ledger, policies
from servicekit.database import Database
from servicekit.paging import Page
from servicekit.timestamps import to_micros
from tests.support import START
from tests.support.policy_service import closing_database

KEY = PolicyKey("acme", "cn-north-1", "nightly")
HOUR = timedelta(hours=1)
ALL = Page(100, None)
ANYTHING = LedgerFilter()
SPEC = PolicySpec(
    display_name="a", description="", schedule=Schedule(START, Interval(1, Unit.DAY)), devices=None, logging=None
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing_database(tmp_path) as own:
        yield own


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    with database.write() as connection:
        yield connection


def policy(uid: str = "p-1") -> Policy:
    return new_policy(KEY._replace(policy_id=uid), uid, SPEC, enabled=True, now=START)


def line(what: Event, hours: int = 0, count: int = 1, key: PolicyKey = KEY, uid: str = "p-1") -> LedgerEntry:
    time = START + hours * HOUR
    return LedgerEntry(key, uid, what, Points(time, time, count), None, time)


def listed(
    connection: sa.Connection, filter: LedgerFilter = ANYTHING, policy_id: str | None = None, page: Page = ALL
) -> list[LedgerEntry]:
    return [entry for _, entry in ledger.page(connection, KEY.place, policy_id, filter, page)]


def test_lines_are_read_as_they_were_written_by_time_and_then_as_written(connection: sa.Connection) -> None:
    points = Points(START, START + HOUR, 2)
    run = LedgerEntry(KEY, "p-1", Event.RUN_NOW, points, None, START, run_id="run")
    missed = LedgerEntry(KEY, "p-1", Event.MISSED, points, MissedReason.POISONED, START - HOUR)
    disabled = changed_entry(policy(), Event.DISABLED, START, DisabledReason.EXECUTION_LIMIT_REACHED)
    ledger.append(connection, [run, missed])
    ledger.append(connection, [])
    ledger.append(connection, [disabled, deleted_entry(policy(), START)])
    assert listed(connection) == [missed, run, disabled, deleted_entry(policy(), START)]


def test_pages_go_on_after_the_time_and_number_of_a_line(connection: sa.Connection) -> None:
    lines = [line(Event.SCHEDULED, hours) for hours in (2, 1, 1, 1, 3)]
    ledger.append(connection, lines)
    first = ledger.page(connection, KEY.place, None, ANYTHING, Page(2, None))
    assert len(first) == 3
    number, last = first[1]
    rest = listed(connection, page=Page(9, (to_micros(last.time), number)))
    assert [entry.time for entry in rest] == [START + HOUR, START + 2 * HOUR, START + 3 * HOUR]


def test_lines_are_chosen_by_place_policy_time_and_event(connection: sa.Connection) -> None:
    elsewhere = [line(Event.MISSED, key=PolicyKey(*place, "nightly")) for place in (("acme", "x"), ("other", "x"))]
    other = line(Event.MISSED, 1, key=KEY._replace(policy_id="other"))
    lines = [line(Event.SCHEDULED, 0), line(Event.MISSED, 1), line(Event.CATCH_UP, 2)]
    ledger.append(connection, [*elsewhere, other, *lines])
    assert listed(connection) == [lines[0], other, lines[1], lines[2]]
    assert listed(connection, policy_id="nightly") == lines
    between = LedgerFilter(start=START + HOUR, end=START + 2 * HOUR)
    assert listed(connection, between, "nightly") == [lines[1]]
    events = LedgerFilter(events=(Event.SCHEDULED, Event.CATCH_UP))
    assert listed(connection, events) == [lines[0], lines[2]]


def test_late_points_are_those_after_the_last_one_on_time(connection: sa.Connection) -> None:
    for uid in ("p-1", "p-2", "p-3"):
        policies.insert(connection, policy(uid))
    events = [
        line(Event.MISSED, count=7),
        line(Event.SCHEDULED),
        line(Event.MISSED, count=2),
        line(Event.RUN_NOW),
        line(Event.CATCH_UP),
        line(Event.MISSED, uid="p-2"),
        line(Event.SCHEDULED, uid="p-2"),
        line(Event.MISSED, uid="gone"),
    ]
    ledger.append(connection, events)
    assert ledger.late_points(connection, ["p-1", "p-2", "p-3", "gone"]) == {"p-1": 3, "p-2": 0, "p-3": 0}


def test_lines_are_walked_in_the_order_of_their_numbers(connection: sa.Connection) -> None:
    ledger.append(connection, [line(Event.SCHEDULED, hours) for hours in (3, 1, 2)])
    first = ledger.after(connection, 0, 2)
    assert [time for _, time in first] == [START + 3 * HOUR, START + HOUR]
    assert [time for _, time in ledger.after(connection, first[-1][0], 2)] == [START + 2 * HOUR]


def test_lines_are_forgotten_but_for_what_a_user_did_last_to_a_policy_that_exists(connection: sa.Connection) -> None:
    policies.insert(connection, policy("p-1"))
    kept = line(Event.ENABLED)
    lines = [line(Event.CREATED), kept, line(Event.MISSED), line(Event.CREATED, uid="gone"), line(Event.SCHEDULED)]
    ledger.append(connection, lines)
    numbers = [number for number, _ in ledger.after(connection, 0, 10)]
    ledger.forget(connection, numbers[:-1])
    assert listed(connection) == [kept, lines[-1]]
    ledger.append(connection, [line(Event.DISABLED)])
    ledger.forget(connection, numbers)
    assert listed(connection) == [line(Event.DISABLED)]


@pytest.mark.engines("sqlite")
def test_nothing_reads_the_whole_ledger(connection: sa.Connection) -> None:
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *__: object) -> None:
        plans.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(connection, "before_cursor_execute", explain)
    page = Page(20, (0, 0))
    ledger.page(connection, KEY.place, None, LedgerFilter(events=(Event.MISSED,)), page)
    ledger.page(connection, KEY.place, "nightly", LedgerFilter(start=START), page)
    ledger.late_points(connection, ["p-1"])
    ledger.after(connection, 0, 500)
    ledger.forget(connection, [1])
    event.remove(connection, "before_cursor_execute", explain)
    assert [plan for plan in plans if "SCAN schedule_ledger" in plan or "TEMP B-TREE" in plan] == []
    used = {plan.partition(" INDEX ")[2].partition(" (")[0] for plan in plans if "schedule_ledger USING" in plan}
    assert used >= {
        "ix_schedule_ledger_account_region_micros_id",
        "ix_schedule_ledger_account_region_policy_id_micros_id",
        "ix_schedule_ledger_policy_uid_event_id",
    }
