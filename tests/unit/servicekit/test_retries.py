"""What the database broke off because of others is begun anew; anything else is not."""

from collections.abc import Callable

import pytest

from servicekit import calls
from servicekit.errors import DatabaseUnavailable, TransactionConflict
from servicekit.retries import retried


class Work:
    """Fails as often as it was told to."""

    def __init__(
        self, failures: int, error: Exception | None = None, before: Callable[[], None] = lambda: None
    ) -> None:
        self._left = failures
        self._error = error or TransactionConflict("deadlock")
        self._before = before
        self.runs = 0

    def __call__(self) -> str:
        self.runs += 1
        self._before()
        if self._left == 0:
            return "done"
        self._left -= 1
        raise self._error


def run(work: Work) -> tuple[str, list[float]]:
    """The answer, and how long was waited in between, where half of what is possible is drawn."""
    pauses: list[float] = []
    return retried(work, sleep=pauses.append, draw=lambda: 0.5), pauses


def test_what_succeeds_runs_once() -> None:
    work = Work(0)
    assert (run(work), work.runs) == (("done", []), 1)


def test_a_conflict_is_begun_anew_after_pauses_that_grow() -> None:
    work = Work(3)
    assert (run(work), work.runs) == (("done", [0.01, 0.02, 0.04]), 4)


def test_a_conflict_that_stays_is_told_after_four_attempts() -> None:
    work = Work(4)
    with pytest.raises(TransactionConflict):
        run(work)
    assert work.runs == 4


def test_another_outage_is_not_begun_anew() -> None:
    """After a connection that broke during a commit nobody knows whether it was kept."""
    work = Work(1, DatabaseUnavailable("DATABASE_UNAVAILABLE"))
    with pytest.raises(DatabaseUnavailable):
        run(work)
    assert work.runs == 1


def test_what_called_another_service_is_not_begun_anew() -> None:
    work = Work(1, before=calls.count_call)
    with pytest.raises(TransactionConflict):
        run(work)
    assert work.runs == 1
