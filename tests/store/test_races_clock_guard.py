"""Replicas that note the machine's clocks in one database at the same moment, stepped by hand."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from scheduler_service.store.schema import clock_readings
from servicekit.clock import ManualClock
from servicekit.clock_guard import Uptime, UptimeGuard
from servicekit.database import Database
from servicekit.retries import retried
from servicekit.timestamps import to_micros
from tests.support import START
from tests.support.databases import database
from tests.support.postgresql import wait_until, waiters
from tests.support.races import overtaken

pytestmark = pytest.mark.engines("postgresql")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = database(tmp_path, "scheduler_service")
    yield opened
    opened.dispose()


def guard(db: Database) -> UptimeGuard:
    return UptimeGuard(db, clock_readings, ManualClock(START), lambda: Uptime("boot-1", timedelta(seconds=7)))


def a_row(boot_id: str = "boot-1", **values: int) -> dict[str, object]:
    return {"boot_id": boot_id, "product_micros": to_micros(START), "uptime_micros": 7_000_000} | values


def rows(db: Database) -> list[dict[str, object]]:
    with db.read() as connection:
        return [dict(row) for row in connection.execute(sa.select(clock_readings).order_by("boot_id")).mappings()]


def test_two_replicas_that_start_at_once_on_a_machine_leave_the_later_reading(db: Database) -> None:
    earlier = sa.insert(clock_readings).values(a_row(uptime_micros=6_000_000))
    _, gain = overtaken(db, lambda connection: connection.execute(earlier), guard(db).gain)
    assert gain is None
    assert rows(db) == [a_row()]


def test_a_reading_is_kept_that_is_noted_while_a_person_confirms(db: Database) -> None:
    with db.write() as connection:
        connection.execute(sa.insert(clock_readings).values(a_row(uptime_micros=6_000_000)))
    overtaken(db, lambda connection: connection.execute(sa.delete(clock_readings)), guard(db).gain)
    assert rows(db) == [a_row()]


def test_a_replica_that_waits_for_another_in_a_circle_notes_its_reading_all_the_same(db: Database) -> None:
    """Which of the two the server breaks off, nobody knows: both begin anew."""
    with db.write() as connection:
        old = a_row("boot-0", product_micros=to_micros(START - timedelta(days=401)))
        connection.execute(sa.insert(clock_readings), [a_row(uptime_micros=6_000_000), old])
    noting: list[Future[timedelta | None]] = []
    forgotten: list[dict[str, object]] = []
    forget = sa.delete(clock_readings).where(clock_readings.c.boot_id == "boot-1").returning(clock_readings)

    def forget_both() -> None:
        with db.write() as connection:
            forgotten.extend(dict(row) for row in connection.execute(forget).mappings())
            if not noting:
                noting.append(pool.submit(guard(db).gain))
                wait_until(lambda: waiters(db) == 1)
            connection.execute(sa.delete(clock_readings).where(clock_readings.c.boot_id == "boot-0"))

    with ThreadPoolExecutor(1) as pool:
        retried(forget_both)
        assert noting[0].result() is None
    assert a_row() in forgotten + rows(db)
    assert "boot-0" not in {row["boot_id"] for row in rows(db)}
