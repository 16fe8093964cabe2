"""Creates a log set (rule L1)."""

from dataclasses import dataclass

from log_service.dependencies import Dependencies
from log_service.domain.errors import LogSetExists
from log_service.domain.logs import LogSet
from log_service.domain.names import LogSetName, Place
from log_service.store import log_sets, schema
from servicekit.idempotency import Idempotency, remember, remembered


@dataclass(frozen=True)
class NewLogSet:
    """A log set that someone wants; an empty id lets the service choose one."""

    place: Place
    id: str
    display_name: str
    retention_days: int


def create_log_set(deps: Dependencies, new: NewLogSet, asked: Idempotency) -> LogSet:
    """Raises LogSetExists, DisplayNameTaken, LogSetLimit or RequestIdReused."""
    while True:
        name = LogSetName(*new.place, new.id or deps.ids.new("ls"))
        try:
            return _create(deps, name, new, asked)
        except LogSetExists:
            if new.id:
                raise


def _create(deps: Dependencies, name: LogSetName, new: NewLogSet, asked: Idempotency) -> LogSet:
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        done = remembered(connection, schema.requests, asked, now)
        if done is not None:
            return log_sets.get(connection, LogSetName(*new.place, done))
        log_set = LogSet(name, new.display_name, new.retention_days, create_time=now)
        log_sets.insert(connection, log_set)
        remember(connection, schema.requests, asked, name.log_set, now)
    return log_set
