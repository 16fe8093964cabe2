"""Changes a log set's display name or retention (rule L1)."""

from dataclasses import dataclass, replace

from log_service.dependencies import Dependencies
from log_service.domain.logs import LogSet
from log_service.domain.names import LogSetName
from log_service.store import log_sets


@dataclass(frozen=True)
class LogSetChange:
    """What to change of a log set; None: leave it as it is."""

    name: LogSetName
    display_name: str | None = None
    retention_days: int | None = None


def update_log_set(deps: Dependencies, change: LogSetChange) -> LogSet:
    """The log set as it is then. Raises LogSetNotFound or DisplayNameTaken."""
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        log_set, retention = log_sets.locked(connection, change.name)
        if change.display_name is not None:
            log_set = replace(log_set, display_name=change.display_name)
        if change.retention_days is not None:
            log_set = replace(log_set, retention_days=change.retention_days)
            retention = retention.changed(change.retention_days, now)
        log_sets.update(connection, log_set, retention)
    return log_set
