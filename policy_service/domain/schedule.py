"""Points in time: a start, then one every interval on the clocks of a time zone."""

import enum
import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from policy_service.domain.wall_clock import Reading, Shift, long_gaps, read, wall_at

EARLIEST_START = timedelta(minutes=30)
LATEST_START = timedelta(days=365)
MIN_DISTANCE = timedelta(hours=12)
"""Between two consecutive scheduled times of a policy (P12)."""
MAX_EXECUTION_LIMIT = 1_000_000
CATCH_UP_WINDOW = (timedelta(minutes=5), timedelta(days=365))
"""The shortest and longest."""
MAX_SPREAD = timedelta(minutes=60)
UTC_ZONE = "UTC"
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


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
        """On the clocks of the schedule; in time it may be some hours more or less."""
        return self.count * _LENGTHS[self.unit]


class CatchUp(enum.StrEnum):
    """What becomes of points that were not taken up on time: the newest is run once, or none."""

    LATEST = "LATEST"
    NONE = "NONE"


@dataclass(frozen=True)
class Schedule:
    """What a user says of when a policy triggers.

    `execution_limit` 0 and `catch_up_window` None mean no limit.
    """

    start_time: datetime
    interval: Interval
    time_zone: str = UTC_ZONE
    execution_limit: int = 0
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window: timedelta | None = None
    spread: timedelta = timedelta(0)

    @property
    def clock(self) -> str:
        """The zone on whose clocks the interval counts: hours are absolute (P18)."""
        return UTC_ZONE if self.interval.unit is Unit.HOUR else self.time_zone


@dataclass(frozen=True)
class Anchor:
    """From where the points are counted: a point, and what the clocks showed or should have shown then.

    The two differ where the point had moved behind a gap: that must not move the points after it.
    """

    moment: datetime
    wall: datetime


@dataclass(frozen=True)
class Points:
    """Consecutive points of a schedule, both ends included."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True)
class Grid:
    """The points of a schedule: the anchor, then one every interval, numbered from 0, up to the year 9999.

    Two consecutive ones are at least 12 hours apart, whatever becomes of the clocks. So with an interval of one day
    there is no point on a date that the clocks leave out: behind that gap it would be too close to its neighbours.
    Nothing here walks from point to point, however many there are.
    """

    anchor: Anchor
    step: timedelta
    clock: str

    @classmethod
    def of(cls, schedule: Schedule, anchor: Anchor | None = None) -> "Grid":
        """Counted from the start time unless told otherwise."""
        start = schedule.start_time
        return cls(anchor or Anchor(start, wall_at(start, schedule.clock)), schedule.interval.length, schedule.clock)

    def first_after(self, moment: datetime) -> datetime | None:
        """The first point later than `moment`; None if there is none any more."""
        reading = self.reading(self.index_after(moment))
        return None if reading is None else reading.moment

    def due(self, first: datetime, now: datetime) -> Points | None:
        """The points from `first`, itself a point, up to and including `now`.

        Should `first` be none any more, with another version of the time zones, the others keep their distance.
        """
        if first > now:
            return None
        index, last = self.index_after(later(first, MIN_DISTANCE - MICROSECOND)), self._last_until(now)
        if last in self._left_out:
            last = self.index_before(last)
        if last < index:
            return Points(first, first, 1)
        newest = self.reading(last)
        assert newest is not None
        left_out = sum(index <= each <= last for each in self._left_out)
        return Points(first, newest.moment, 1 + last - index + 1 - left_out)

    def index_after(self, moment: datetime) -> int:
        """The number of the first point later than `moment`, or of one that there is not any more."""
        if moment < self.anchor.moment:
            return 0
        index = self._last_until(moment) + 1
        while index in self._left_out:
            index += 1
        return index

    def index_before(self, index: int) -> int:
        """The number of the point before that of this number, which is not 0."""
        index -= 1
        while index in self._left_out:
            index -= 1
        return index

    def reading(self, index: int) -> Reading | None:
        """A point by its number, and what a change of the clocks does to it; None beyond the year 9999."""
        try:
            reading = read(self.anchor.wall + index * self.step, self.clock)
        except OverflowError:
            return None
        if index > 0 or reading.moment == self.anchor.moment:
            return reading
        return Reading(self.anchor.moment, Shift.NONE)

    def anchor_at(self, point: datetime) -> Anchor:
        """An anchor at a point, from which other intervals on the same clocks can be counted."""
        index = self.index_after(point - MIN_DISTANCE)  # finds it even if another version of the time zones moved it
        return Anchor(point, self.anchor.wall + index * self.step)

    def _last_until(self, moment: datetime) -> int:
        """The number of the last point up to `moment`, left out or not; `moment` is not before the anchor."""
        index = max(0, (wall_at(moment, self.clock) - self.anchor.wall) // self.step)
        # In a fold the clocks show less than they showed when the last point was.
        while (following := self.reading(index + 1)) is not None and following.moment <= moment:
            index += 1
        return index

    @functools.cached_property
    def _left_out(self) -> tuple[int, ...]:
        """The numbers of the points that a long gap swallows."""
        found: list[int] = []
        for gap in long_gaps(self.clock):
            if self.step - gap.length < MIN_DISTANCE:
                first, end = (-((self.anchor.wall - wall) // self.step) for wall in (gap.start, gap.start + gap.length))
                found += range(max(1, first), end)
        return tuple(found)


def later(moment: datetime, by: timedelta) -> datetime:
    """At most the end of the year 9999."""
    return moment + by if by <= _END_OF_TIME - moment else _END_OF_TIME
