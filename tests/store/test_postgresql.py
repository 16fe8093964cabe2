"""PostgreSQL under the rules of this suite: what fails is told as what it is, and what passes by itself is got over."""

import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from structlog.testing import capture_logs

from autoimage.log.v1.log_service_pb2 import ListLogSetsRequest
from autoimage.log.v1.log_service_pb2_grpc import LogServiceStub
from log_service.dependencies import Dependencies
from log_service.main import registration
from log_service.store.schema import HEAD
from servicekit.clock import WallClock
from servicekit.database import Database, Limits, constraint_name, key_column, new_metadata
from servicekit.errors import Code, DatabaseUnavailable, TransactionConflict
from servicekit.migrations import upgrade
from servicekit.retries import retried
from tests.support import clocks, databases, error_of, running_server
from tests.support.log_service import PLACE, REGIONS, LogService
from tests.support.postgresql import Server, server, wait_until, waiters

pytestmark = pytest.mark.engines("postgresql")

SOON, LATER = timedelta(milliseconds=500), timedelta(seconds=5)
metadata = new_metadata()
shelves = sa.Table("shelves", metadata, key_column(), sa.Column("name", sa.Text, nullable=False, unique=True))
books = sa.Table(
    "books",
    metadata,
    key_column("key"),
    sa.Column("shelf_id", sa.ForeignKey(shelves.c.id), nullable=False),
    sa.Column("copies", sa.Integer, sa.CheckConstraint("copies >= 0", name="copies"), server_default="1"),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(databases.empty_url(tmp_path, "books"))
    fill(made)
    yield made
    made.dispose()


@pytest.fixture
def hasty(db: Database, tmp_path: Path) -> Iterator[Database]:
    """The same database, for somebody who does not wait for long."""
    limits = Limits(connections=2, wait=timedelta(milliseconds=50), statement=timedelta(milliseconds=500))
    made = Database(databases.url(tmp_path, "books"), limits)
    yield made
    made.dispose()


def fill(db: Database) -> None:
    with db.write() as connection:
        metadata.create_all(connection)
        connection.execute(sa.insert(shelves), [{"name": "first"}, {"name": "second"}])


def names(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(sa.select(shelves.c.name).order_by(shelves.c.id)))


def rename(connection: sa.Connection, id: int, name: str) -> None:
    connection.execute(sa.update(shelves).where(shelves.c.id == id).values(name=name))


def rename_after(connection: sa.Connection, meanwhile: Callable[[], object]) -> None:
    """Both shelves, with something that happens in between."""
    rename(connection, 1, "mine")
    meanwhile()
    rename(connection, 2, "mine too")


def refusal(db: Database, statement: str) -> tuple[str, timedelta | None]:
    """Reason and delay of what the statement is refused with, in a transaction that writes."""
    with pytest.raises(DatabaseUnavailable) as caught, db.write() as connection:
        connection.exec_driver_sql(statement)
    return caught.value.reason, caught.value.retry_after


def test_a_reader_sees_one_state_throughout_and_waits_for_no_writer(db: Database) -> None:
    count = sa.select(sa.func.count()).select_from(shelves)
    with db.read() as reader:
        assert reader.scalar(count) == 2
        with db.write() as writer:
            writer.execute(sa.insert(shelves).values(name="third"))
            assert reader.scalar(count) == 2
        assert reader.scalar(count) == 2
    assert names(db) == ["first", "second", "third"]


def test_who_reads_can_write_nothing(db: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as caught, db.read() as connection:
        connection.execute(sa.insert(shelves).values(name="third"))
    assert caught.value.reason == "DATABASE_READ_ONLY"


def test_writers_of_different_rows_do_not_wait_for_each_other(db: Database) -> None:
    with db.write() as one, db.write() as other:
        rename(one, 1, "one")
        rename(other, 2, "other")
    assert names(db) == ["one", "other"]


def test_a_lock_that_others_hold_is_told_locked(db: Database, hasty: Database) -> None:
    with db.write() as connection:
        rename(connection, 1, "mine")
        assert refusal(hasty, "UPDATE shelves SET name = 'theirs' WHERE id = 1") == ("DATABASE_LOCKED", SOON)
    assert names(db) == ["mine", "second"]


def test_connections_that_are_all_in_use_are_told(hasty: Database) -> None:
    with hasty.read(), hasty.read(), ThreadPoolExecutor(1) as pool, pytest.raises(DatabaseUnavailable) as caught:
        pool.submit(hasty.ping, WallClock()).result()
    assert caught.value.reason == "DATABASE_LOCKED"


def test_a_statement_that_takes_too_long_is_given_up(hasty: Database) -> None:
    assert refusal(hasty, "SELECT pg_sleep(10)") == ("DATABASE_UNAVAILABLE", LATER)
    assert names(hasty) == ["first", "second"]


def test_timeouts_outlive_no_transaction(hasty: Database) -> None:
    """Behind PgBouncer the next transaction on the same connection may be somebody else's."""
    with hasty.write() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "50ms"
    with hasty._engine.writer.connect() as same:
        driver: Any = same.connection.driver_connection
        assert driver.execute("SHOW lock_timeout").fetchone() == ("0",)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", ("DATABASE_FULL", LATER)),
        ("53300", ("DATABASE_UNAVAILABLE", LATER)),
        ("53200", ("DATABASE_UNAVAILABLE", LATER)),
        ("58030", ("DATABASE_UNAVAILABLE", LATER)),
        ("XX001", ("DATABASE_UNAVAILABLE", LATER)),
        ("25006", ("DATABASE_READ_ONLY", LATER)),
        ("57P01", ("DATABASE_UNAVAILABLE", SOON)),
        ("08006", ("DATABASE_UNAVAILABLE", SOON)),
        ("40001", ("DATABASE_LOCKED", SOON)),
        ("40P01", ("DATABASE_LOCKED", SOON)),
    ],
)
def test_what_the_server_says_is_told_as_what_it_is(db: Database, state: str, told: tuple[str, timedelta]) -> None:
    assert refusal(db, f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$") == told
    assert names(db) == ["first", "second"]


def test_a_wrong_statement_is_a_bug_and_not_an_outage(db: Database) -> None:
    with pytest.raises(ProgrammingError, match="does not exist"), db.read() as connection:
        connection.exec_driver_sql("SELECT * FROM missing")


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (sa.insert(shelves).values(name="first"), "uq_shelves_name"),
        (sa.insert(shelves).values(id=1, name="x"), "pk_shelves"),
        (sa.insert(books).values(shelf_id=1, copies=-1), "ck_books_copies"),
        (sa.insert(books).values(shelf_id=9), "fk_books_shelf_id"),
        (sa.insert(shelves).values(name=None), None),
    ],
)
def test_a_broken_constraint_is_told_by_its_name(db: Database, statement: sa.Insert, name: str | None) -> None:
    with pytest.raises(IntegrityError) as caught, db.write() as connection:
        connection.execute(statement)
    assert constraint_name(caught.value, metadata) == name


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_a_block_that_ends_its_transaction_itself_is_told(db: Database, end: str) -> None:
    assert refusal(db, end)[0] == "DATABASE_UNAVAILABLE"


def test_a_block_that_swallows_an_error_does_not_believe_that_it_has_written(db: Database) -> None:
    """PostgreSQL would answer the COMMIT with a rollback, without an error."""

    def rename_and_swallow(connection: sa.Connection) -> None:
        rename(connection, 1, "mine")
        with pytest.raises(OperationalError):
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '55P03'; END $$")

    with pytest.raises(DatabaseUnavailable) as caught, db.write() as connection:
        rename_and_swallow(connection)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert names(db) == ["first", "second"]


def test_nobody_waits_for_a_server_that_is_not_there(tmp_path: Path) -> None:
    away = Database(f"postgresql://me:secret@/db?host={tmp_path}")
    with pytest.raises(DatabaseUnavailable) as caught:
        away.ping(WallClock())
    assert (caught.value.reason, caught.value.retry_after) == ("DATABASE_UNAVAILABLE", SOON)
    assert "secret" not in caught.value.message


def test_a_database_that_there_is_not_is_told(db: Database) -> None:
    wrong = Database(server().url("missing"))
    with pytest.raises(DatabaseUnavailable, match='database "missing" does not exist'):
        wrong.ping(WallClock())


def test_a_connection_that_ends_in_a_transaction_takes_all_of_it_back(db: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as caught, db.write() as connection:
        connection.exec_driver_sql(
            "UPDATE shelves SET name = 'mine' WHERE id = 1; SELECT pg_terminate_backend(pg_backend_pid())"
        )
    assert (caught.value.reason, caught.value.retry_after) == ("DATABASE_UNAVAILABLE", SOON)
    assert names(db) == ["first", "second"]


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that the test may stop."""
    made = Server()
    made.start()
    yield made
    made.discard()


def health_of(channel: grpc.Channel) -> Any:
    stub: Any = HealthStub(channel)
    return stub.Check(HealthCheckRequest()).status


def test_a_service_is_not_ready_while_the_server_restarts_and_recovers_by_itself(own: Server) -> None:
    db = Database(own.url("postgres"))
    upgrade(db, "log_service", HEAD)
    deps = Dependencies(db, clocks())
    with running_server(registration(deps, REGIONS), ping=lambda: db.ping(WallClock())) as channel:
        service = LogService(LogServiceStub(channel), deps, clocks())
        service.create_log_set(log_set_id="before")
        own.stop()
        error = error_of(service.create_log_set, log_set_id="meanwhile")
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert error.retry_after == SOON
        wait_until(lambda: health_of(channel) == HealthCheckResponse.NOT_SERVING)
        own.start()
        service.create_log_set(log_set_id="after")
        wait_until(lambda: health_of(channel) == HealthCheckResponse.SERVING)
        listed = service.stub.ListLogSets(ListLogSetsRequest(parent=PLACE)).log_sets
    db.dispose()
    assert [each.display_name for each in listed] == ["after", "before"]


@dataclass
class SkewedClock:
    """The machine's, set wrong by so much."""

    skew: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skew


def test_a_replica_whose_clock_is_off_the_databases_is_not_ready_until_it_agrees(db: Database) -> None:
    clock, servicer = SkewedClock(), registration(Dependencies(db, clocks()), REGIONS)
    with capture_logs() as logs, running_server(servicer, ping=lambda: db.ping(clock)) as channel:
        assert health_of(channel) == HealthCheckResponse.SERVING
        for skew in (timedelta(hours=1), timedelta(hours=-1)):
            clock.skew = skew
            wait_until(lambda: health_of(channel) == HealthCheckResponse.NOT_SERVING)
            clock.skew = timedelta(seconds=1.9)
            wait_until(lambda: health_of(channel) == HealthCheckResponse.SERVING)
    told = [line["error"] for line in logs if line["event"] == "not_ready"]
    assert [re.sub(r"\d+\.\d", "…", error) for error in told] == [
        """ClocksDiffer("the machine's clock is … s ahead of the database's")""",
        """ClocksDiffer("the machine's clock is … s behind the database's")""",
    ]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_of_the_server_is_got_over(own: Server, how: signal.Signals) -> None:
    """Connections that were idle meanwhile are replaced before they are used; what was under way is refused."""
    db = Database(own.url("postgres"))
    try:
        fill(db)
        with db.read(), db.read():
            pass
        with pytest.raises(DatabaseUnavailable), db.write() as connection:
            rename_after(connection, lambda: own.stop(how))
        with pytest.raises(DatabaseUnavailable) as caught:
            db.ping(WallClock())
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        own.start()
        assert names(db) == ["first", "second"]
        with db.write() as connection:
            rename(connection, 1, "kept")
        assert names(db) == ["kept", "second"]
    finally:
        db.dispose()


def test_a_deadlock_is_broken_and_begun_anew(db: Database) -> None:
    """Two rename the same shelves the other way round, each after the other has its first."""
    attempts: list[str] = []
    both = Barrier(2, timeout=30)

    def rename_both(first: int, second: int, name: str) -> None:
        attempts.append(name)
        with db.write() as connection:
            rename(connection, first, f"{name} {first}")
            if attempts.count(name) == 1:
                both.wait()
            rename(connection, second, f"{name} {second}")

    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(retried, lambda: rename_both(1, 2, "a")),
            pool.submit(retried, lambda: rename_both(2, 1, "b")),
        ]:
            done.result()
    assert len(attempts) == 3
    assert names(db) in (["a 1", "a 2"], ["b 1", "b 2"])


def test_a_deadlock_is_told_as_a_conflict(db: Database) -> None:
    """Whichever of the two it is that the server breaks off."""

    def cross() -> None:
        with ThreadPoolExecutor(1) as pool, db.write() as one, db.write() as other:
            rename(one, 1, "one")
            rename(other, 2, "other")
            waiting = pool.submit(rename, other, 1, "other too")
            wait_until(lambda: waiters(db) == 1)
            rename(one, 2, "one too")
            waiting.result()

    with pytest.raises(TransactionConflict):
        cross()
    assert names(db) == ["first", "second"]


def test_migrations_take_turns(db: Database, hasty: Database) -> None:
    with ThreadPoolExecutor(1) as pool, db.migrate():
        with db.write() as connection:
            rename(connection, 1, "meanwhile")
        waiting = pool.submit(migrate, hasty)
        wait_until(lambda: waiters(db) == 1)
        assert not waiting.done()
    waiting.result()
    assert names(db) == ["meanwhile", "second"]


def migrate(db: Database) -> None:
    with db.migrate() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.1)")  # longer than a statement may take otherwise
