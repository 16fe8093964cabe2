"""Acknowledges triggers."""

from collections.abc import Sequence

from policy_service.dependencies import Dependencies
from policy_service.store import triggers


def ack_triggers(deps: Dependencies, uids: Sequence[str]) -> None:
    """The executions are on disk at the scheduler: the triggers are forgotten. Unknown ones are passed over."""
    with deps.database.write() as connection:
        triggers.delete(connection, uids)
