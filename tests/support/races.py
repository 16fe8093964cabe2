"""Two transactions at the same moment, stepped by hand: what SQLite's single writer would hide."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from servicekit.database import Database
from tests.support.postgresql import wait_until, waiters

S = TypeVar("S")
T = TypeVar("T")


def overtaken(
    db: Database,
    first: Callable[[sa.Connection], S],
    second: Callable[[], T],
    *,
    then: Callable[[sa.Connection], object] = lambda _: None,
) -> tuple[S, T]:
    """What both answered: `first` in a transaction that commits only when `second` waits for it.

    `then` is what the transaction does before it commits, while `second` waits. Fails if `second` ends without having
    waited, and with TransactionConflict if the two wait for each other.
    """
    with ThreadPoolExecutor(1) as pool:
        with db.write() as connection:
            answer = first(connection)
            waiting = pool.submit(second)
            wait_until(lambda: waiting.done() or waiters(db) == 1)
            assert not waiting.done(), "it did not wait"
            then(connection)
        return answer, waiting.result()


def written(db: Database, work: Callable[[sa.Connection], T]) -> Callable[[], T]:
    """The work in a transaction of its own."""

    def run() -> T:
        with db.write() as connection:
            return work(connection)

    return run
