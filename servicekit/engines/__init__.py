"""What differs between database engines; `servicekit.database` is what services use."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from servicekit.errors import DatabaseUnavailable

RETRY_SOON = timedelta(milliseconds=500)
"""For what passes by itself: a lock, a restart."""
RETRY_LATER = timedelta(seconds=5)
"""For what somebody has to mend."""


class DatabaseUrlError(ValueError):
    """The URL is not one that this version can open; the text says why, and shows no password."""


@dataclass(frozen=True)
class Limits:
    """How much, and how long. `wait` is for a connection, a lock, or other writers; `statement` is PostgreSQL's only.

    `max_page_count` is SQLite's only; None: no limit.
    """

    connections: int = 20
    wait: timedelta = timedelta(seconds=5)
    statement: timedelta = timedelta(seconds=30)
    max_page_count: int | None = None


class Engine(Protocol):
    """One database of one engine. The three SQLAlchemy engines share their connections."""

    @property
    def reader(self) -> sa.Engine:
        """Begins transactions that see one state throughout."""

    @property
    def writer(self) -> sa.Engine:
        """Begins transactions that may write."""

    @property
    def migrator(self) -> sa.Engine:
        """Begins transactions that may write, one at a time among all processes, and take as long as they need."""

    @property
    def ping(self) -> str:
        """A statement that shows that the database can be read; what it answers is for `time_of`."""

    def time_of(self, answer: Any) -> datetime | None:
        """What time it was at the server when it answered `ping`; None if there is no server but this machine."""

    def writer_turn(self) -> AbstractContextManager[None]:
        """What a writer holds around its transaction."""

    def assert_in_transaction(self, connection: sa.Connection) -> None:
        """Raises DatabaseUnavailable if a commit would not keep all that the transaction wrote."""

    def is_broken(self, error: BaseException | None) -> bool:
        """Whether the connection, too, is of no more use after the driver's error."""

    def translate(self, error: BaseException | None) -> DatabaseUnavailable | None:
        """What a driver's error means to a caller; None: it is a bug of ours, or a broken constraint."""


def begin(connection: sa.Connection) -> None:
    """Says the engine's own BEGIN, which SQLAlchemy knows nothing of. Raises DBAPIError.

    To the driver itself: a listener to any of SQLAlchemy's `ConnectionEvents` would slow down every statement, and an
    execution of SQLAlchemy's takes longer than SQLite takes to begin.
    """
    statement = connection.get_execution_options()["begin"]
    driver_connection: Any = connection.connection.driver_connection
    try:
        driver_connection.execute(statement)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error
