"""Pauses and resumes regions. What is claimed already may still be sent until its lease ends."""

from datetime import datetime

from scheduler_service.dependencies import Dependencies
from scheduler_service.store import regions


def pause_region(deps: Dependencies, region: str) -> datetime:
    """From now on nothing is begun there. Answers since when it is paused: it may have been before."""
    with deps.database.write() as connection:
        return regions.pause(connection, region, deps.clocks.product.now())


def resume_region(deps: Dependencies, region: str) -> None:
    """What waits is begun at once, unless its start window has passed."""
    with deps.database.write() as connection:
        regions.resume(connection, region)
    deps.notify()
