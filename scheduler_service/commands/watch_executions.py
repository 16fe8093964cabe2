"""Follows the executions of an account and region as they begin and change."""

from typing import NamedTuple

from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Execution, place_name
from scheduler_service.store import executions as execution_store
from scheduler_service.store import places

LIMIT = 100
WINDOW = 1000
"""How many executions one read looks through at most: all watches are read by one thread."""


class Position(NamedTuple):
    """All that a watch has told was written under an earlier change, or under this one with a lower or the same uid."""

    change: int
    uid: str


def begin_watch(deps: Dependencies, account: str, region: str) -> Position:
    """After what is written now."""
    with deps.database.read() as connection:
        return Position(places.last_change(connection, place_name(account, region)) + 1, "")


def read_watch(
    deps: Dependencies, account: str, region: str, policy_id: str | None, after: Position
) -> tuple[list[Execution], Position]:
    """The next executions that changed, at most 100, as they are now, and the position after those looked through.

    An execution is written under the number of its latest change, and changes are numbered in the order in which they
    are committed: nothing is committed behind a position. `policy_id` None: all policies.
    """
    with deps.database.read() as connection:
        seen = execution_store.changed_after(connection, account, region, after, WINDOW)
        chosen = [row for row in seen if policy_id in (None, row[2])]
        told = chosen[:LIMIT]
        found = execution_store.by_uid(connection, [uid for _, uid, _ in told])
    last = told[-1] if len(chosen) > LIMIT else seen[-1] if seen else None
    return [found[uid] for _, uid, _ in told if uid in found], Position(*last[:2]) if last else after
