"""What the clocks of a time zone show, and when they show it.

A *wall* is a datetime without a zone: a date and a time of day as clocks show it. Where clocks are set forward there is
a gap, walls that are never shown; where they are set back there is a fold, walls that are shown twice.
"""

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from servicekit.zones import zone

LONG_GAP = timedelta(hours=12)
"""No gap up to this length leaves out a date. Longer ones do, where a place moved across the date line."""
_SECOND = timedelta(seconds=1)
_YEARS = range(1900, 2200)
"""Those in which a date may be left out: before, nothing is scheduled; later, no law of today reaches."""


class Shift(enum.Enum):
    """What a change of the clocks does to a wall."""

    NONE = enum.auto()
    GAP = enum.auto()
    FOLD = enum.auto()


@dataclass(frozen=True)
class Reading:
    """When clocks show a wall: the first time in a fold; for a wall in a gap the first moment after it."""

    moment: datetime
    shift: Shift


@dataclass(frozen=True)
class Gap:
    """The walls from `start` on, for `length`, are not shown."""

    start: datetime
    length: timedelta


def wall_at(moment: datetime, zone_name: str) -> datetime:
    """What clocks show at a moment; the last or first wall of all where that would be beyond year 9999 or before 1."""
    try:
        return moment.astimezone(zone(zone_name)).replace(tzinfo=None, fold=0)
    except OverflowError:
        return datetime.max if moment.year > 1 else datetime.min  # noqa: DTZ901 - walls have no zone


def utc_offset(moment: datetime, zone_name: str) -> timedelta:
    """How far clocks are ahead of UTC at a moment of the years 2 to 9998."""
    offset = moment.astimezone(zone(zone_name)).utcoffset()
    assert offset is not None
    return offset


def read(wall: datetime, zone_name: str) -> Reading:
    """Raises OverflowError for a moment beyond year 9999 UTC, or before year 1."""
    before, after = _offset(wall, zone_name, fold=0), _offset(wall, zone_name, fold=1)
    moment = (wall - before).replace(tzinfo=UTC)
    if before == after:
        return Reading(moment, Shift.NONE)
    if before > after:
        return Reading(moment, Shift.FOLD)
    return Reading(_change((wall - after).replace(tzinfo=UTC), moment, zone_name), Shift.GAP)


def _offset(wall: datetime, zone_name: str, *, fold: int) -> timedelta:
    """That of before a change of the clocks for fold 0, that of after it for fold 1, where they differ."""
    offset = wall.replace(tzinfo=zone(zone_name), fold=fold).utcoffset()
    assert offset is not None
    return offset


def _change(before: datetime, after: datetime, zone_name: str) -> datetime:
    """When the clocks change between two moments."""
    old = utc_offset(before, zone_name)
    return _first(before, after, lambda moment: utc_offset(moment, zone_name) != old)


def _first(low: datetime, high: datetime, is_after: Callable[[datetime], bool]) -> datetime:
    """The first whole second for which `is_after` holds; it does for `high` and not for `low`."""
    low, high = low.replace(microsecond=0), high.replace(microsecond=0) + _SECOND
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (low, middle) if is_after(middle) else (middle, high)
    return high


@functools.cache
def long_gaps(zone_name: str) -> tuple[Gap, ...]:
    """The gaps longer than LONG_GAP, such as the 30th of December 2011 in Apia. Most zones have none."""
    new_years = [datetime(year, 1, 1, tzinfo=UTC) for year in _YEARS]
    offsets = [utc_offset(moment, zone_name) for moment in new_years]
    return tuple(
        _long_gap(new_years[year], new_years[year + 1], zone_name)
        for year in range(len(new_years) - 1)
        if offsets[year + 1] - offsets[year] > LONG_GAP
    )


def _long_gap(before: datetime, after: datetime, zone_name: str) -> Gap:
    """The one between these moments; other changes of the clocks between them are of a few hours."""
    old = utc_offset(before, zone_name)
    end = _first(before, after, lambda moment: utc_offset(moment, zone_name) - old > LONG_GAP)
    start = wall_at(end - _SECOND, zone_name) + _SECOND
    return Gap(start, wall_at(end, zone_name) - start)
