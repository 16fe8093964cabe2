"""PostgreSQL: a server that any number of replicas share, perhaps behind PgBouncer in transaction mode.

So nothing may outlive a transaction: no prepared statements, no session's settings or locks; what a transaction needs
it sets for itself, in the same round trip that begins it.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus

from servicekit.engines import RETRY_LATER, RETRY_SOON, Limits
from servicekit.errors import DatabaseUnavailable, TransactionConflict

_MIGRATION_LOCK = 0x6175746F
"""The key of the advisory lock that a migration holds: any number that nothing else in the database uses."""
_MIGRATION_WAIT = timedelta(minutes=10)
_RECYCLE_SECONDS = 1800
"""So old a connection is replaced when it is free: connections spread again after servers came and went."""
# A server that vanished without a word is noticed within half a minute; the system's defaults take two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}


class Postgresql:
    """READ COMMITTED for writers; readers see one state throughout, and neither waits for the other.

    SQLAlchemy's notion of a transaction is kept, but BEGIN is ours: it carries the transaction's timeouts. The driver
    thinks that it is in autocommit mode; its commit and rollback end what we began.
    """

    ping = "SELECT clock_timestamp()"

    def __init__(self, url: sa.URL, limits: Limits) -> None:
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            pool_size=limits.connections,
            max_overflow=0,
            pool_timeout=limits.wait.total_seconds(),
            pool_pre_ping=True,  # else the first transactions after a restart of the server would fail
            pool_recycle=_RECYCLE_SECONDS,
            use_native_hstore=False,
            connect_args=_connect_arguments(url.query, limits),
        )
        waits = f"SET LOCAL lock_timeout = {_milliseconds(limits.wait)}"
        statement = f"SET LOCAL statement_timeout = {_milliseconds(limits.statement)}"
        self.reader = engine.execution_options(
            begin=f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {waits}; {statement}"
        )
        self.writer = engine.execution_options(
            begin=f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {waits}; {statement}", takes_turns=True
        )
        self.migrator = engine.execution_options(
            begin="BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 0; "
            f"SET LOCAL lock_timeout = {_milliseconds(_MIGRATION_WAIT)}; "
            f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK}); {waits}"
        )

    @contextmanager
    def writer_turn(self) -> Iterator[None]:
        """Writers wait for each other at rows only."""
        yield

    def time_of(self, answer: Any) -> datetime | None:
        """The driver gives it in the session's time zone."""
        assert isinstance(answer, datetime)
        return answer.astimezone(UTC)

    def assert_in_transaction(self, connection: sa.Connection) -> None:
        """PostgreSQL answers a COMMIT after an error with a rollback, and calls that a success."""
        driver_connection: Any = connection.connection.driver_connection
        if driver_connection.info.transaction_status is not TransactionStatus.INTRANS:
            raise DatabaseUnavailable("DATABASE_UNAVAILABLE", "the database gave up the transaction")

    def is_broken(self, error: BaseException | None) -> bool:
        return isinstance(error, psycopg.Error) and _is_lost(error)

    def translate(self, error: BaseException | None) -> DatabaseUnavailable | None:
        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate or ""
        if state in _CONFLICTS:
            return TransactionConflict("the database broke the transaction off, because of another one")
        found = _MEANINGS.get(state)
        if found is not None:
            reason, message, retry_after = found
            return DatabaseUnavailable(reason, message, retry_after=retry_after)
        if _is_lost(error):
            text = f"the database cannot be reached: {str(error).strip()}"
            return DatabaseUnavailable("DATABASE_UNAVAILABLE", text, retry_after=RETRY_SOON)
        if state[:2] in _OUT_OF_ORDER:
            text = f"the database cannot be used: {str(error).strip()}"
            return DatabaseUnavailable("DATABASE_UNAVAILABLE", text, retry_after=RETRY_LATER)
        return None


# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_MEANINGS = {
    "55P03": ("DATABASE_LOCKED", "others hold what the transaction needs", RETRY_SOON),  # lock_not_available
    "57014": ("DATABASE_UNAVAILABLE", "the database took too long", RETRY_LATER),  # query_canceled
    "25006": ("DATABASE_READ_ONLY", "the database is read-only", RETRY_LATER),  # read_only_sql_transaction
    "53100": ("DATABASE_FULL", "the database's disk is full", RETRY_LATER),  # disk_full
    "53300": ("DATABASE_UNAVAILABLE", "the database has too many connections", RETRY_LATER),  # too_many_connections
}
# Shut down by an administrator, after a crash, or just starting; idle for too long; in a transaction or without.
_ENDED_BY_SERVER = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
# Connection, authorization, no such database, insufficient resources, system error, corruption.
_OUT_OF_ORDER = frozenset({"08", "28", "3D", "53", "58", "XX"})


def _is_lost(error: psycopg.Error) -> bool:
    """Errors of the connection itself often carry no state: the server had no chance to say one."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state in _ENDED_BY_SERVER or state.startswith("08")


def _connect_arguments(asked: Mapping[str, object], limits: Limits) -> dict[str, Any]:
    """Ours, but for those that the URL has; and the two that nothing works without."""
    chosen = {**_KEEPALIVES, "connect_timeout": max(2, math.ceil(limits.wait.total_seconds()))}
    own = {name: value for name, value in chosen.items() if name not in asked}
    return {**own, "prepare_threshold": None, "autocommit": True}


def _milliseconds(duration: timedelta) -> int:
    return math.ceil(duration / timedelta(milliseconds=1))
