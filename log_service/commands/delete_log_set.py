"""Deletes a log set that has no topics (rule L1)."""

from log_service.dependencies import Dependencies
from log_service.domain.names import LogSetName
from log_service.store import log_sets


def delete_log_set(deps: Dependencies, name: LogSetName) -> None:
    """Raises LogSetNotFound or LogSetNotEmpty."""
    with deps.database.write() as connection:
        log_sets.delete(connection, name)
