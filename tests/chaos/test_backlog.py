"""A backlog on real processes: what a scheduler occupies does not grow with what it has taken up."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from policy_service.store import schema
from tests.support.backlog import BACKLOG, backlog
from tests.support.product import START, running_product
from tests.support.suite import Suite, pids, running_suite

GROWTH_KIB = 24 * 1024
"""For the batches that are in hand, and what the allocator keeps of them. A trigger is about 3 KiB in Python."""
_PATIENCE_SECONDS = 3600


def executions(database: Path) -> tuple[int, int]:
    """How many there are, and how many of them have ended."""
    with closing(sqlite3.connect(database)) as connection:
        found: tuple[int, int] = connection.execute("SELECT count(*), count(end_time) FROM executions").fetchone()
    return found


def occupied_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def drained(folder: Path, suite: Suite) -> Iterator[tuple[int, int]]:
    """Twice a second how many triggers have been taken up, and what the scheduler occupies, until all have ended."""
    end = time.monotonic() + _PATIENCE_SECONDS
    ended = 0
    while ended < BACKLOG:
        assert time.monotonic() < end, f"{ended} have ended"
        time.sleep(0.5)
        taken_up, ended = executions(folder / "scheduler_service.db")
        yield taken_up, occupied_kib(pids(suite)["scheduler_service"])


@pytest.mark.prove
@pytest.mark.timeout(2 * _PATIENCE_SECONDS)
def test_a_scheduler_drains_a_backlog_in_flat_memory(tmp_path: Path) -> None:
    with running_product(tmp_path):
        pass  # it makes the databases
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'policy_service.db'}")
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.triggers), backlog(BACKLOG, START))
    engine.dispose()
    with running_suite(tmp_path, "--clock", "stepped") as suite:
        looks = list(drained(tmp_path, suite))
    at_first = max(kib for taken_up, kib in looks if taken_up <= BACKLOG / 4)
    most = max(kib for _, kib in looks)
    print(f"{BACKLOG} triggers: {at_first} KiB in the first quarter, {most} KiB at most")
    assert most - at_first < GROWTH_KIB
