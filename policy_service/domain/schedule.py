"""Points in time: a start, then one every interval."""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

EARLIEST_START = timedelta(minutes=30)
LATEST_START = timedelta(days=365)


class Unit(enum.StrEnum):
    """What an interval counts."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"


_LENGTHS = {Unit.HOUR: timedelta(hours=1), Unit.DAY: timedelta(days=1), Unit.WEEK: timedelta(weeks=1)}
COUNTS = {Unit.HOUR: (12, 8760), Unit.DAY: (1, 365), Unit.WEEK: (1, 52)}
"""The lowest and highest count of each unit: from 12 hours to 365 days."""


@dataclass(frozen=True)
class Interval:
    """So many of a unit."""

    count: int
    unit: Unit

    @property
    def length(self) -> timedelta:
        return self.count * _LENGTHS[self.unit]


@dataclass(frozen=True)
class Points:
    """Consecutive points of a schedule, both ends included."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True)
class Schedule:
    """The point `start_time`, and one every `interval` after it, without end."""

    start_time: datetime
    interval: Interval

    def first_after(self, moment: datetime) -> datetime:
        """The first point later than `moment`."""
        if moment < self.start_time:
            return self.start_time
        passed = (moment - self.start_time) // self.interval.length
        return self.start_time + (passed + 1) * self.interval.length

    def due(self, first: datetime, now: datetime) -> Points | None:
        """The points from `first`, itself a point, up to and including `now`."""
        if first > now:
            return None
        count = (now - first) // self.interval.length + 1
        return Points(first, first + (count - 1) * self.interval.length, count)
