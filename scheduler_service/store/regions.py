"""Regions in which nothing is begun."""

from datetime import datetime

import sqlalchemy as sa

from scheduler_service.store.schema import paused_regions
from servicekit.sql import insert_missing, take_turns
from servicekit.timestamps import from_micros, to_micros


def pause(connection: sa.Connection, region: str, now: datetime) -> datetime:
    """Answers since when the region is paused: it may have been before. Nobody resumes it before the commit."""
    _take_turns(connection, region)
    insert_missing(connection, paused_regions, [{"region": region, "pause_time": to_micros(now)}])
    return paused(connection)[region]


def resume(connection: sa.Connection, region: str) -> None:
    _take_turns(connection, region)
    connection.execute(sa.delete(paused_regions).where(paused_regions.c.region == region))


def paused(connection: sa.Connection) -> dict[str, datetime]:
    """The regions that are paused, in order, and since when."""
    return {region: from_micros(micros) for region, micros in connection.execute(_PAUSED)}


_PAUSED = sa.select(paused_regions.c.region, paused_regions.c.pause_time).order_by(paused_regions.c.region)


def _take_turns(connection: sa.Connection, region: str) -> None:
    """A row that is there already is not locked by being inserted once more: it might be deleted meanwhile."""
    take_turns(connection, "paused regions", [region])
