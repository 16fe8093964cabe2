"""A service's own database: SQLite, or PostgreSQL by another URL. What differs between them is in `engines`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from servicekit.clock import Clock
from servicekit.engines import DatabaseUrlError, Engine, Limits, begin, sqlite
from servicekit.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from servicekit.config import ServerSettings

__all__ = [
    "ClocksDiffer",
    "Database",
    "DatabaseUrlError",
    "Limits",
    "Micros",
    "check_clocks",
    "check_url",
    "constraint_name",
    "key_column",
    "new_metadata",
    "open_database",
    "open_engine",
    "shown",
]

MOST_DIFFERENCE = timedelta(seconds=2)
"""How far this machine's clock may be off the database's."""

Micros = sa.BigInteger
"""The column type of a moment: microseconds since 1970 UTC."""


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


def check_url(url: str) -> str:
    """The URL as it is, or DatabaseUrlError."""
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise DatabaseUrlError("is not a database URL such as sqlite:///./data/service.db") from error
    if parsed.drivername == "sqlite":
        sqlite.check(parsed)
    elif parsed.drivername in ("postgresql", "postgresql+psycopg"):
        _check_postgresql(parsed)
    else:
        raise DatabaseUrlError(f"names the engine {parsed.drivername}; there are sqlite and postgresql")
    return url


def _check_postgresql(url: sa.URL) -> None:
    if not url.database:
        raise DatabaseUrlError("names no database, such as postgresql://user:password@host/database")
    if "password" in url.query:
        raise DatabaseUrlError("has a password where it would be shown; write postgresql://user:password@host/database")


def shown(url: str) -> str:
    """The URL as it may be shown: without its password."""
    return make_url(url).render_as_string(hide_password=True)


class ClocksDiffer(Exception):
    """This machine's clock is more than 2 s off the database's; the text says by how much."""


def check_clocks(told: datetime, before: datetime, after: datetime) -> None:
    """Raises ClocksDiffer. `told` is a moment between the other two if the clocks agree."""
    half = abs(after - before) / 2
    ahead = before + (after - before) / 2 - told
    if abs(ahead) - half > MOST_DIFFERENCE:
        word = "ahead of" if ahead > timedelta(0) else "behind"
        raise ClocksDiffer(f"the machine's clock is {abs(ahead).total_seconds():.1f} s {word} the database's")


class Database:
    """Opens transactions. Safe to share between threads. Opens no file or connection before the first transaction.

    `read` and `write` raise DatabaseUnavailable when the database is locked (for `limits.wait`), read-only, full,
    broken or away; then nothing of the block was written, unless the connection broke during the commit: then all of it
    or nothing. Any exception in a block rolls it back. Blocks do not nest.
    """

    def __init__(self, url: str, limits: Limits = Limits()) -> None:  # noqa: B008 - it is frozen
        self._engine = open_engine(url, limits)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database throughout; neither it nor writers wait for the other."""
        with self._transaction(self._engine.reader) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may write. On disk when the block has ended.

        On SQLite one at a time, first come, first served. On PostgreSQL as many as come: each statement sees what
        others have committed by then, and what a block relies on it must have locked. The database may break it off
        because of another one, as TransactionConflict; see `servicekit.retries`.
        """
        with self._engine.writer_turn(), self._transaction(self._engine.writer) as connection:
            yield connection

    @contextmanager
    def migrate(self) -> Iterator[sa.Connection]:
        """A `write` for changes of the schema: replicas take turns, and statements may take as long as they need."""
        with self._engine.writer_turn(), self._transaction(self._engine.migrator) as connection:
            yield connection

    def ping(self, operating: Clock) -> None:
        """Raises DatabaseUnavailable unless the database answers a read, and ClocksDiffer unless its clock agrees.

        The server's clock, that is, with this machine's, which `operating` tells. Leases are written by one machine and
        judged by another: with clocks that differ they end early or late. A difference that the time which the answer
        took may explain is none.
        """
        with self.read() as connection:
            before = operating.now()
            answer = connection.exec_driver_sql(self._engine.ping).scalar()
            after = operating.now()
        told = self._engine.time_of(answer)
        if told is not None:
            check_clocks(told, before, after)

    def dispose(self) -> None:
        """Closes all connections; the next transaction would open new ones."""
        self._engine.reader.dispose()

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with engine.connect() as connection:
                try:
                    begin(connection)
                    with connection.begin():
                        yield connection
                        self._engine.assert_in_transaction(connection)
                except DBAPIError as error:
                    if self._engine.is_broken(error.orig):
                        connection.invalidate(error)
                    raise
        except PoolTimeout as error:
            raise DatabaseUnavailable("DATABASE_LOCKED", "all database connections are in use") from error
        except DBAPIError as error:
            translated = self._engine.translate(error.orig)
            if translated is None:
                raise
            raise translated from error


def open_database(settings: "ServerSettings") -> Database:
    """The database of a service that is set up like this."""
    return Database(
        settings.database_url,
        Limits(
            connections=settings.database_connections,
            wait=timedelta(seconds=settings.database_wait_seconds),
            statement=timedelta(seconds=settings.database_statement_seconds),
            max_page_count=settings.database_max_pages or None,
        ),
    )


def open_engine(url: str, limits: Limits) -> Engine:
    """Raises DatabaseUrlError."""
    parsed = make_url(check_url(url))
    if parsed.get_backend_name() == "sqlite":
        return sqlite.Sqlite(parsed, limits)
    from servicekit.engines.postgresql import Postgresql  # noqa: PLC0415 - its driver costs a service with SQLite start-up time

    return Postgresql(parsed, limits)


def constraint_name(error: IntegrityError, metadata: sa.MetaData) -> str | None:
    """The name of the constraint that was broken, or None if it cannot be told (NOT NULL; SQLite: foreign keys too)."""
    told = getattr(error.orig, "diag", None)
    if told is None:
        return sqlite.constraint_name(error.orig, metadata)
    name: str | None = told.constraint_name
    return name
