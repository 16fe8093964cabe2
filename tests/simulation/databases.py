"""The services' databases: SQLite as in production, in memory, with a place to die at before and after each statement.

A task may stand back before a transaction, never inside one: SQLite has one writer. So what races show on engines with
many writers is not shown here; what crashes and late messages show is.
"""

import functools
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import event

from servicekit.database import Database, Limits, open_engine
from servicekit.engines import Engine

Place = Callable[[str, bool], None]
"""Called wherever a process may die: the name of that place, and whether it is in a transaction that writes."""


def folder() -> Path:
    """For the databases of a run, empty: in memory, where the machine has such a folder. Each process has one only."""
    path = Path(_folder().name)
    for left in path.iterdir():
        left.unlink()
    return path


@functools.cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="simulation-", dir=memory if memory.is_dir() else None)


@functools.cache
def _engine(path: Path) -> Engine:
    """Of one run after the other, since it knows how statements are written by then."""
    return open_engine(f"sqlite:///{path}", Limits())


@contextmanager
def unsynced() -> Iterator[None]:
    """Within the block no connection waits for a disk: the machine lives on, only processes die."""

    def prepare(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(sa.pool.Pool, "connect", prepare)
    try:
        yield
    finally:
        event.remove(sa.pool.Pool, "connect", prepare)


class SimulatedDatabase(Database):
    """One database file, shared by all processes of its service."""

    def __init__(self, path: Path, stand_back: Callable[[], None], place: Place) -> None:
        self._engine = _engine(path)
        self.dispose()  # what a run that was broken off had open
        self.path = path
        self.watchers: list[Callable[[], None]] = []
        self._stand_back = stand_back
        self._place = place
        self._writing = False
        event.listen(self._engine.reader, "do_connect", self._put_places)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self._stand_back()
        with super().read() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self._stand_back()
        self._writing = True
        try:
            with super().write() as connection:
                yield connection
                self._place("COMMIT", True)
        finally:
            self._writing = False
        for told in self.watchers:
            told()
        self._place("after COMMIT", True)

    def close(self) -> None:
        """For the next run to open."""
        self.dispose()
        event.remove(self._engine.reader, "do_connect", self._put_places)

    def copy_to(self, path: Path) -> None:
        """As it is after the last commit."""
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)

    def restore_from(self, path: Path) -> None:
        """As it was when it was copied. Nobody may be using it."""
        self.dispose()
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(self.path)) as target:
            source.backup(target)

    def _put_places(self, _dialect: object, _record: object, _given: object, options: dict[str, Any]) -> None:
        """In the driver: a listener to SQLAlchemy's statements would cost more than most of them."""
        options["factory"] = functools.partial(_Connection, self._before_statement)

    def _before_statement(self, statement: str) -> None:
        if not statement.startswith(_NO_PLACES):
            self._place(_gist(statement), self._writing)


_NO_PLACES = ("BEGIN", "PRAGMA")
"""Statements that begin a transaction, or set up a connection."""


class _Connection(sqlite3.Connection):
    """Tells of each statement before it is sent."""

    def __init__(self, before: Callable[[str], None], *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.before = before

    def cursor(self, *_: Any) -> "_Cursor":  # type: ignore[override] # the driver's may be of any kind
        return super().cursor(_Cursor)


class _Cursor(sqlite3.Cursor):
    connection: _Connection

    def execute(self, sql: str, parameters: Any = ()) -> Self:
        self.connection.before(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Self:
        self.connection.before(sql)
        return super().executemany(sql, parameters)


_gists: dict[str, str] = {}


def _gist(statement: str) -> str:
    """`UPDATE image_tasks` is enough to tell the statements of a step apart."""
    known = _gists.get(statement)
    if known is None:
        words = statement.split()
        marker = {"SELECT": "FROM", "DELETE": "FROM", "INSERT": "INTO", "UPDATE": "UPDATE"}.get(words[0], words[0])
        table = words[words.index(marker) + 1] if marker in words[:-1] else "?"
        known = _gists[statement] = f"{words[0]} {table.strip('(')}"
    return known
