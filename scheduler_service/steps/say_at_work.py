"""Lets the other replicas, and operators, know that this one is at work."""

from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.replicas import SAY_EVERY, Replica
from scheduler_service.store import replicas
from servicekit.loop import Wake


def say_at_work(deps: Dependencies) -> Wake:
    """Writes at most once in 10 seconds, however often it is woken."""
    now = deps.clocks.operating.now()
    with deps.database.read() as connection:
        last = replicas.last_seen(connection, deps.scheduler)
    if last is not None and last <= now < last + SAY_EVERY:
        return Wake(operating=last + SAY_EVERY)
    with deps.database.write() as connection:
        replicas.put(connection, Replica(deps.scheduler, now, deps.version))
    return Wake(operating=now + SAY_EVERY)
