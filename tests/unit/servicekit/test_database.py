"""SQLite under the rules of this suite: what is committed is kept, what fails is told, readers do not wait."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from servicekit.clock import ManualClock, WallClock
from servicekit.database import (
    ClocksDiffer,
    Database,
    DatabaseUrlError,
    Limits,
    check_clocks,
    check_url,
    constraint_name,
    key_column,
    new_metadata,
    shown,
)
from servicekit.engines.sqlite import Sqlite
from servicekit.errors import DatabaseUnavailable, NotFound
from tests.support import START

metadata = new_metadata()
shelves = sa.Table("shelves", metadata, key_column(), sa.Column("name", sa.Text, nullable=False, unique=True))
books = sa.Table(
    "books",
    metadata,
    key_column("key"),
    sa.Column("shelf_id", sa.ForeignKey(shelves.c.id), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("isbn", sa.Text),
    sa.Column("copies", sa.Integer, sa.CheckConstraint("copies >= 0", name="copies"), server_default="1"),
    sa.UniqueConstraint("shelf_id", "title"),
    sa.Index("ix_books_isbn", "isbn", unique=True),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "books.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{path}")
    with made.write() as connection:
        metadata.create_all(connection)
        connection.execute(sa.insert(shelves).values(name="first"))
    yield made
    made.dispose()


def _names(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(sa.select(shelves.c.name).order_by(shelves.c.id)))


def _add(db: Database, name: str, *, after: str | None = None, then: BaseException | None = None) -> None:
    """In one transaction, after a statement, and before an exception."""
    with db.write() as connection:
        if after is not None:
            connection.exec_driver_sql(after)
        connection.execute(sa.insert(shelves).values(name=name))
        if then is not None:
            raise then


@pytest.fixture
def hasty(db: Database, path: Path) -> Iterator[Database]:
    """The same database, for somebody who does not wait for long."""
    made = Database(f"sqlite:///{path}", Limits(wait=timedelta(milliseconds=50), connections=2))
    yield made
    made.dispose()


def test_what_is_committed_is_on_disk(db: Database, path: Path) -> None:
    _add(db, "second")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM shelves ORDER BY id").fetchall() == [("first",), ("second",)]


def test_connections_have_the_settings_that_durability_needs(db: Database) -> None:
    with db.read() as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


@pytest.mark.parametrize("error", [NotFound("book", "b"), RuntimeError("bug"), KeyboardInterrupt()])
def test_any_exception_rolls_back_and_passes_through(db: Database, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        _add(db, "second", then=error)
    assert caught.value is error
    assert _names(db) == ["first"]
    _add(db, "third")
    assert _names(db) == ["first", "third"]


def test_a_schema_change_is_rolled_back_too(db: Database) -> None:
    with pytest.raises(RuntimeError):
        _add(db, "second", after="CREATE TABLE more (a)", then=RuntimeError())
    with db.read() as connection:
        assert not sa.inspect(connection).has_table("more")


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_of_it(db: Database) -> None:
    with db.write() as connection:
        connection.execute(sa.insert(shelves).values(name="second"))
        assert _names(db) == ["first"]
    assert _names(db) == ["first", "second"]


def test_a_reader_sees_one_state_throughout_while_others_write(db: Database) -> None:
    with db.read() as connection:
        count = sa.select(sa.func.count()).select_from(shelves)
        assert connection.scalar(count) == 1
        _add(db, "second")
        assert connection.scalar(count) == 1


def test_many_writers_lose_no_update(db: Database) -> None:
    with db.write() as connection:
        connection.execute(sa.insert(books).values(shelf_id=1, title="Emma", copies=0))

    def add_one(_: int) -> None:
        with db.write() as connection:
            copies = connection.scalar(sa.select(books.c.copies))
            connection.execute(sa.update(books).values(copies=(copies or 0) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(200)))
    with db.read() as connection:
        assert connection.scalar(sa.select(books.c.copies)) == 200


def test_a_writer_that_waits_too_long_for_others_of_this_process_is_told_locked(hasty: Database) -> None:
    with hasty.write(), ThreadPoolExecutor(1) as pool:
        error = pool.submit(_error_of_writing, hasty).result()
    assert (error.reason, error.retry_after) == ("DATABASE_LOCKED", timedelta(milliseconds=500))
    _add(hasty, "second")


def test_a_database_locked_by_another_process_is_told_locked(hasty: Database, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        error = _error_of_writing(hasty)
        assert _names(hasty) == ["first"]
        other.execute("ROLLBACK")
    assert (error.reason, error.retry_after) == ("DATABASE_LOCKED", timedelta(milliseconds=500))
    _add(hasty, "second")


def _error_of_writing(db: Database, name: str = "more") -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as caught:
        _add(db, name)
    return caught.value


def test_a_full_database_is_told_loses_nothing_and_serves_reads(db: Database, path: Path) -> None:
    with db.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0
    full = Database(f"sqlite:///{path}", Limits(max_page_count=pages + 3))
    kept = []
    with contextlib.suppress(DatabaseUnavailable):
        for number in range(100):
            _add(full, f"{number}-{'x' * 1000}")
            kept.append(f"{number}-{'x' * 1000}")
    assert 0 < len(kept) < 100
    error = _error_of_writing(full, "x" * 10_000)
    assert (error.reason, error.retry_after) == ("DATABASE_FULL", timedelta(seconds=5))
    assert _names(full) == ["first", *kept]
    with full.write() as connection:
        connection.execute(sa.delete(shelves).where(shelves.c.name == kept[0]))
    assert _names(full) == ["first", *kept[1:]]
    full.dispose()


def test_a_block_that_swallows_the_end_of_its_transaction_does_not_commit_the_rest(db: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        _add(db, "second", after="ROLLBACK")
    assert caught.value.reason == "DATABASE_UNAVAILABLE"


def test_a_read_only_database_is_told(db: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        _add(db, "second", after="PRAGMA query_only=ON")
    assert (caught.value.reason, caught.value.retry_after) == ("DATABASE_READ_ONLY", timedelta(seconds=5))
    assert _names(db) == ["first"]


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    path.write_text("Dear Emma, " * 500)
    broken = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable, match="file is not a database") as caught:
        broken.ping(WallClock())
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert path.read_text().startswith("Dear Emma")
    broken.dispose()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = Database(f"sqlite:///{tmp_path}/file/books.db")
    with pytest.raises(DatabaseUnavailable, match=r"folder .*/file cannot be made") as caught:
        broken.ping(WallClock())
    assert caught.value.reason == "DATABASE_UNAVAILABLE"


def test_a_disk_error_drops_the_connection_and_is_told(db: Database, path: Path) -> None:
    db.ping(WallClock())
    db.dispose()
    path.with_name("books.db-wal").unlink(missing_ok=True)
    sound = path.read_bytes()
    connected: list[object] = []
    sa.event.listen(db._engine.reader, "connect", lambda connection, _: connected.append(connection))
    path.write_bytes(sound[:4096] + b"\xff" * (len(sound) - 4096))
    with pytest.raises(DatabaseUnavailable) as caught:
        _names(db)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    path.write_bytes(sound)
    assert _names(db) == ["first"]
    assert len(connected) == 2


def test_a_wrong_statement_is_a_bug_and_not_an_outage(db: Database) -> None:
    with pytest.raises(OperationalError, match="no such table"), db.read() as connection:
        connection.exec_driver_sql("SELECT * FROM missing")


def test_a_ping_answers_whatever_the_clock_says_since_the_file_has_none(db: Database) -> None:
    db.ping(ManualClock(datetime(1990, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("behind", "took"),
    [(-2, 0), (2, 0), (-2.5, 1), (2.5, 1), (0, 60), (0, -1)],  # the machine's clock may be set back meanwhile
)
def test_clocks_that_differ_by_2_seconds_beyond_half_the_round_trip_agree(behind: float, took: float) -> None:
    check_clocks(at(behind + took / 2), at(0), at(took))


@pytest.mark.parametrize(
    ("behind", "took", "text"),
    [
        (-2.000_001, 0, "2.0 s ahead of"),
        (2.000_001, 0, "2.0 s behind"),
        (-2.500_001, 1, "2.5 s ahead of"),
        (2.500_001, 1, "2.5 s behind"),
        (3600, 60, "3600.0 s behind"),
    ],
)
def test_clocks_that_differ_by_more_are_told(behind: float, took: float, text: str) -> None:
    with pytest.raises(ClocksDiffer) as caught:
        check_clocks(at(behind + took / 2), at(0), at(took))
    assert str(caught.value) == f"the machine's clock is {text} the database's"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_connections_that_are_all_in_use_are_told(hasty: Database) -> None:
    with hasty.read(), hasty.read(), ThreadPoolExecutor(1) as pool, pytest.raises(DatabaseUnavailable) as caught:
        pool.submit(hasty.ping, WallClock()).result()
    assert caught.value.reason == "DATABASE_LOCKED"


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (sa.insert(shelves).values(name="first"), "uq_shelves_name"),
        (sa.insert(shelves).values(id=1, name="x"), "pk_shelves"),
        (sa.insert(books).values(shelf_id=1, title="Emma"), "uq_books_shelf_id_title"),
        (sa.insert(books).values(shelf_id=1, title="x", isbn="1"), "ix_books_isbn"),
        (sa.insert(books).values(shelf_id=1, title="x", copies=-1), "ck_books_copies"),
        (sa.insert(books).values(shelf_id=9, title="x"), None),
        (sa.insert(shelves).values(name=None), None),
    ],
)
def test_a_broken_constraint_is_told_by_its_name(db: Database, statement: sa.Insert, name: str | None) -> None:
    with db.write() as connection:
        connection.execute(sa.insert(books).values(shelf_id=1, title="Emma", isbn="1"))
    with pytest.raises(IntegrityError) as caught, db.write() as connection:
        connection.execute(statement)
    assert constraint_name(caught.value, metadata) == name


def test_a_writer_does_not_starve_those_who_wait(db: Database) -> None:
    order: list[str] = []
    ready = threading.Barrier(2)

    def greedy() -> None:
        with db.write():
            ready.wait()
            order.append("greedy")
            waiting.wait()
            assert isinstance(db._engine, Sqlite)
            while not db._engine._turn._waiting:  # until the other really waits
                pass
        with db.write():
            order.append("greedy")

    waiting = threading.Event()

    def patient() -> None:
        ready.wait()
        waiting.set()
        with db.write():
            order.append("patient")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(greedy), pool.submit(patient)]:
            done.result()
    assert order == ["greedy", "patient", "greedy"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "is not a database URL"),
        ("", "is not a database URL"),
        ("mysql://me:secret@host/db", "names the engine mysql; there are sqlite and postgresql"),
        ("postgresql+asyncpg://me:secret@host/db", r"names the engine postgresql\+asyncpg"),
        ("postgresql://me:secret@host", "names no database"),
        ("postgresql://host/db?password=secret", "has a password where it would be shown"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x?mode=memory&uri=true", "names no file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_its_password(url: str, text: str) -> None:
    with pytest.raises(DatabaseUrlError, match=text) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


def test_a_url_is_shown_without_its_password() -> None:
    url = check_url("postgresql://me:secret@host/db")
    assert shown(url) == "postgresql://me:***@host/db"


def test_a_service_with_sqlite_loads_neither_the_driver_nor_the_dialect_of_postgresql(path: Path) -> None:
    script = (
        "import sys; from servicekit.clock import WallClock; from servicekit.database import Database; "
        f"Database('sqlite:///{path}').ping(WallClock()); "
        "print([m for m in sys.modules if m in ('psycopg', 'sqlalchemy.dialects.postgresql')])"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"[]\n"
