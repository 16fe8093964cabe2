"""Schedules computed in the slow and obvious way: clocks are watched, and dates are walked through one by one.

Of the code under test it uses the values only, none of the arithmetic. What it promises is what the rules say.
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from policy_service.domain.schedule import Interval, Unit
from servicekit.zones import zone

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
HALF_DAY = timedelta(hours=12)


def offset_at(moment: datetime, zone_name: str) -> timedelta:
    offset = moment.astimezone(zone(zone_name)).utcoffset()
    assert offset is not None
    return offset


@functools.cache
def changes(zone_name: str, day: date) -> tuple[datetime, ...]:
    """The minutes of a UTC day at which the zone's clocks are set: each hour is looked at, then each of its minutes."""
    midnight = datetime.combine(day, time(), UTC)
    hours = [midnight + hour * HOUR for hour in range(24)]
    unsteady = [each for each in hours if offset_at(each, zone_name) != offset_at(each - HOUR, zone_name)]
    minutes = [hour - HOUR + minute * MINUTE for hour in unsteady for minute in range(1, 61)]
    return tuple(each for each in minutes if offset_at(each, zone_name) != offset_at(each - MINUTE, zone_name))


class Stretch(NamedTuple):
    """From `start` to before `end` the zone's clocks are ahead of UTC by `offset`."""

    start: datetime
    end: datetime
    offset: timedelta


@functools.cache
def stretches(zone_name: str, day: date) -> tuple[Stretch, ...]:
    """Those of the three UTC days around a date, in which every wall of that date is shown if ever."""
    first = datetime.combine(day - DAY, time(), UTC)
    # A change is found on the day after where it falls into the hour before midnight.
    set_at = sorted({each for distance in range(-1, 3) for each in changes(zone_name, day + distance * DAY)})
    edges = [first, *(each for each in set_at if first < each < first + 3 * DAY), first + 3 * DAY]
    return tuple(Stretch(start, end, offset_at(start, zone_name)) for start, end in itertools.pairwise(edges))


def read(wall: datetime, zone_name: str) -> tuple[datetime, str]:
    """When clocks show the wall first or, if they skip it, the first moment after; and which of the two it is."""
    around = stretches(zone_name, wall.date())
    shown = [moment for each in around if each.start <= (moment := (wall - each.offset).replace(tzinfo=UTC)) < each.end]
    if shown:
        return min(shown), "FOLD" if len(shown) > 1 else "NONE"
    for before, after in itertools.pairwise(around):
        if (
            (after.start + before.offset).replace(tzinfo=None)
            <= wall
            < (after.start + after.offset).replace(tzinfo=None)
        ):
            return after.start, "GAP"
    raise AssertionError(f"{wall} is nowhere in {zone_name}")


def show(moment: datetime, zone_name: str) -> datetime:
    """What clocks show."""
    return (moment + offset_at(moment, zone_name)).replace(tzinfo=None)


def has_date(day: date, zone_name: str) -> bool:
    """Whether clocks ever show the date."""
    return any(
        show(each.start, zone_name).date() <= day <= show(each.end - MINUTE, zone_name).date()
        for each in stretches(zone_name, day)
    )


class Point(NamedTuple):
    moment: datetime
    wall: datetime
    shift: str


@dataclass(frozen=True)
class SlowGrid:
    """A point, what the clocks showed or should have shown then, and what is counted from there."""

    moment: datetime
    wall: datetime
    interval: Interval
    zone_name: str

    def points(self) -> Iterator[Point]:
        """One by one, without end."""
        yield Point(
            self.moment, self.wall, "FOLD" if read(self.wall, self.zone_name) == (self.moment, "FOLD") else "NONE"
        )
        if self.interval.unit is Unit.HOUR:
            yield from self._hours()
            return
        days = self.interval.count * (7 if self.interval.unit is Unit.WEEK else 1)
        day, passed = self.wall.date(), 0
        while True:
            day, passed = day + DAY, passed + 1
            if passed % days == 0 and (days > 1 or has_date(day, self.zone_name)):
                wall = datetime.combine(day, self.wall.time())
                yield Point(*_swap(read(wall, self.zone_name), wall))

    def _hours(self) -> Iterator[Point]:
        moment = self.moment
        while True:
            for _ in range(self.interval.count):
                moment += HOUR
            yield Point(moment, moment.replace(tzinfo=None), "NONE")

    def until(self, moment: datetime) -> list[Point]:
        """Those up to the moment, itself included, and the one after."""
        found = []
        for point in self.points():
            found.append(point)
            if point.moment > moment:
                return found
        raise AssertionError("endless")


def _swap(read: tuple[datetime, str], wall: datetime) -> tuple[datetime, datetime, str]:
    return read[0], wall, read[1]


def grid_of(start: datetime, interval: Interval, zone_name: str) -> SlowGrid:
    """Counted from the start time; hours count on the clocks of UTC."""
    clock = "UTC" if interval.unit is Unit.HOUR else zone_name
    return SlowGrid(start, show(start, clock), interval, clock)
