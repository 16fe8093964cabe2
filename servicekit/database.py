"""A service's own database. All that differs between engines is in this module; this version has SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from servicekit.errors import DatabaseUnavailable
from servicekit.locks import FairLock

Micros = sa.BigInteger
"""The column type of a moment: microseconds since 1970 UTC."""

_WAIT_SECONDS = 5.0
_CONNECTIONS = 32
_RETRY_SOON = timedelta(milliseconds=500)
_RETRY_LATER = timedelta(seconds=5)


def key_column(name: str = "id") -> sa.Column[int]:
    """A primary key that the database numbers: 64 bits, which SQLite numbers under the type INTEGER only."""
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


def new_metadata() -> sa.MetaData:
    """Gives every constraint a name, so that its breach can be told by name on every engine."""
    return sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class DatabaseUrlError(ValueError):
    """The URL is not one that this version can open; the text says why, and shows no password."""


def check_url(url: str) -> str:
    """The URL as it is, or DatabaseUrlError."""
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise DatabaseUrlError("is not a database URL such as sqlite:///./data/service.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise DatabaseUrlError(f"names the engine {parsed.get_backend_name()}; this version has sqlite only")
    if parsed.database in (None, "", ":memory:") or parsed.database.startswith("file:"):
        raise DatabaseUrlError("names no file; a database in memory would lose what it promised")
    return url


def shown(url: str) -> str:
    """The URL as it may be shown: without its password."""
    return make_url(url).render_as_string(hide_password=True)


class Database:
    """Opens transactions. Safe to share between threads. Opens no file before the first transaction.

    `read` and `write` raise DatabaseUnavailable when the database is locked (for 5 s), read-only, full or broken; then
    nothing of the block was written. Any exception in a block rolls it back. Blocks do not nest.
    """

    def __init__(self, url: str, *, max_page_count: int | None = None) -> None:
        self._sqlite = _Sqlite(check_url(url), max_page_count)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database throughout; neither it nor writers wait for the other."""
        with self._transaction(self._sqlite.reader) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write; one at a time, first come, first served. On disk when the block has ended."""
        with self._sqlite.writer_turn(), self._transaction(self._sqlite.writer) as connection:
            yield connection

    def ping(self) -> None:
        """Raises DatabaseUnavailable unless the database answers a read."""
        with self.read() as connection:
            connection.exec_driver_sql(self._sqlite.ping)

    def dispose(self) -> None:
        """Closes all connections; the next transaction would open new ones."""
        self._sqlite.reader.dispose()

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with engine.connect() as connection:
                try:
                    with connection.begin():
                        yield connection
                        self._sqlite.assert_in_transaction(connection)
                except DBAPIError as error:
                    if self._sqlite.is_broken(error.orig):
                        connection.invalidate(error)
                    raise
        except PoolTimeout as error:
            raise DatabaseUnavailable("DATABASE_LOCKED", "all database connections are in use") from error
        except DBAPIError as error:
            translated = self._sqlite.translate(error.orig)
            if translated is None:
                raise
            raise translated from error


class _Sqlite:
    """SQLite: a write-ahead log, so that readers and the writer do not wait for each other; commits are synced to disk.

    SQLAlchemy, not the driver, begins transactions: the driver would begin late, and deferred. A writer begins
    IMMEDIATE: one that read first and writes then fails as locked at once, however long the busy timeout is.
    """

    ping = "SELECT count(*) FROM sqlite_master"

    def __init__(self, url: str, max_page_count: int | None) -> None:
        self._path = Path(make_url(url).database or "")
        self._max_page_count = max_page_count
        self._turn = FairLock()
        engine = sa.create_engine(
            url,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=_WAIT_SECONDS,
            connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "do_connect", self._make_folder)
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", _begin)
        self.reader = engine.execution_options(begin="BEGIN")
        self.writer = engine.execution_options(begin="BEGIN IMMEDIATE")

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

    @contextmanager
    def writer_turn(self) -> Iterator[None]:
        if not self._turn.acquire(_WAIT_SECONDS):
            raise DatabaseUnavailable("DATABASE_LOCKED", "other writers hold the database", retry_after=_RETRY_SOON)
        try:
            yield
        finally:
            self._turn.release()

    @staticmethod
    def assert_in_transaction(connection: sa.Connection) -> None:
        """SQLite ends a transaction by itself on some errors; had the block gone on, it would write piecemeal."""
        driver_connection = connection.connection.driver_connection
        assert driver_connection is not None
        if not driver_connection.in_transaction:
            raise DatabaseUnavailable("DATABASE_UNAVAILABLE", "the database gave up the transaction")

    @staticmethod
    def is_broken(error: BaseException | None) -> bool:
        """Whether the connection, too, is of no more use."""
        return _primary_code(error) in _BROKEN

    def translate(self, error: BaseException | None) -> DatabaseUnavailable | None:
        """What a driver's error means to a caller; None: it is a bug of ours, or a broken constraint."""
        code = _primary_code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return DatabaseUnavailable("DATABASE_LOCKED", "the database is locked", retry_after=_RETRY_SOON)
        if code == sqlite3.SQLITE_READONLY:
            return DatabaseUnavailable("DATABASE_READ_ONLY", "the database is read-only", retry_after=_RETRY_LATER)
        if code == sqlite3.SQLITE_FULL:
            return DatabaseUnavailable("DATABASE_FULL", "the database is full", retry_after=_RETRY_LATER)
        if code in _BROKEN:
            return DatabaseUnavailable(
                "DATABASE_UNAVAILABLE", f"the database cannot be used: {error}", retry_after=_RETRY_LATER
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


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()["begin"])


def constraint_name(error: IntegrityError, metadata: sa.MetaData) -> str | None:
    """The name of the constraint that was broken, or None if it cannot be told (SQLite: foreign keys, NOT NULL).

    SQLite tells a unique constraint's columns instead of its name, which is looked up in `metadata`.
    """
    kind, _, told = str(error.orig).partition(" constraint failed: ")
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
