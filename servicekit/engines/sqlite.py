"""SQLite: a file of the service's own."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from servicekit.engines import RETRY_LATER, RETRY_SOON, DatabaseUrlError, Limits
from servicekit.errors import DatabaseUnavailable
from servicekit.locks import FairLock


def check(url: sa.URL) -> None:
    """Raises DatabaseUrlError."""
    if url.database in (None, "", ":memory:") or url.database.startswith("file:"):
        raise DatabaseUrlError("names no file; a database in memory would lose what it promised")


class Sqlite:
    """A write-ahead log, so that readers and the writer do not wait for each other; commits are synced to disk.

    We, not the driver, begin transactions: the driver would begin late, and deferred. A writer begins
    IMMEDIATE: one that read first and writes then fails as locked at once, however long the busy timeout is.
    """

    ping = "SELECT count(*) FROM sqlite_master"

    def __init__(self, url: sa.URL, limits: Limits) -> None:
        self._path = Path(url.database or "")
        self._max_page_count = limits.max_page_count
        self._wait_seconds = limits.wait.total_seconds()
        self._turn = FairLock()
        engine = sa.create_engine(
            url,
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=self._wait_seconds,
            connect_args={"timeout": self._wait_seconds, "check_same_thread": False},
        )
        event.listen(engine, "do_connect", self._make_folder)
        event.listen(engine, "connect", self._prepare)
        self.reader = engine.execution_options(begin="BEGIN")
        self.writer = self.migrator = engine.execution_options(begin="BEGIN IMMEDIATE")

    def _make_folder(self, *_: object) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sqlite3.OperationalError(f"folder {self._path.parent} cannot be made: {error.strerror}") from error

    def _prepare(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if self._max_page_count is not None:
            connection.execute(f"PRAGMA max_page_count={self._max_page_count:d}")

    def time_of(self, answer: Any) -> None:
        """The file is read by this machine itself."""

    @contextmanager
    def writer_turn(self) -> Iterator[None]:
        if not self._turn.acquire(self._wait_seconds):
            raise DatabaseUnavailable("DATABASE_LOCKED", "other writers hold the database", retry_after=RETRY_SOON)
        try:
            yield
        finally:
            self._turn.release()

    def assert_in_transaction(self, connection: sa.Connection) -> None:
        """SQLite ends a transaction by itself on some errors; had the block gone on, it would write piecemeal."""
        driver_connection = connection.connection.driver_connection
        assert driver_connection is not None
        if not driver_connection.in_transaction:
            raise DatabaseUnavailable("DATABASE_UNAVAILABLE", "the database gave up the transaction")

    def is_broken(self, error: BaseException | None) -> bool:
        return _primary_code(error) in _BROKEN

    def translate(self, error: BaseException | None) -> DatabaseUnavailable | None:
        code = _primary_code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return DatabaseUnavailable("DATABASE_LOCKED", "the database is locked", retry_after=RETRY_SOON)
        if code == sqlite3.SQLITE_READONLY:
            return DatabaseUnavailable("DATABASE_READ_ONLY", "the database is read-only", retry_after=RETRY_LATER)
        if code == sqlite3.SQLITE_FULL:
            return DatabaseUnavailable("DATABASE_FULL", "the database is full", retry_after=RETRY_LATER)
        if code in _BROKEN:
            return DatabaseUnavailable(
                "DATABASE_UNAVAILABLE", f"the database cannot be used: {error}", retry_after=RETRY_LATER
            )
        return None


_BROKEN = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def _primary_code(error: BaseException | None) -> int | None:
    """SQLite's primary result code; extended ones carry it in their low byte."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None and isinstance(error, sqlite3.OperationalError) and str(error).startswith("folder "):
        return sqlite3.SQLITE_CANTOPEN
    return None if code is None else code & 0xFF


def constraint_name(error: BaseException | None, metadata: sa.MetaData) -> str | None:
    """SQLite tells a unique constraint's columns instead of its name, which is looked up in `metadata`."""
    kind, _, told = str(error).partition(" constraint failed: ")
    if kind == "CHECK":
        return told
    if kind != "UNIQUE":
        return None
    if told.startswith("index "):
        return told.removeprefix("index ").strip("'")
    columns = {column.strip() for column in told.split(",")}
    return _unique_names(metadata).get(frozenset(columns))


def _unique_names(metadata: sa.MetaData) -> dict[frozenset[str], str]:
    """The name of each unique constraint by its columns, written `table.column`."""
    found: dict[frozenset[str], str] = {}
    for table in metadata.tables.values():
        uniques = [c for c in table.constraints if isinstance(c, sa.UniqueConstraint | sa.PrimaryKeyConstraint)]
        for unique in [*uniques, *(index for index in table.indexes if index.unique)]:
            name = str(unique.name)
            found[frozenset(f"{table.name}.{column.name}" for column in unique.columns)] = name
    return found
