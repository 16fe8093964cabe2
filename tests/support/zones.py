"""Time zones that are hard in one way or another, and moments at which their clocks are set."""

import functools
from datetime import UTC, datetime, timedelta

from tests.support.slow_schedule import changes, offset_at

ZONES = [
    "UTC",
    "Africa/Casablanca",  # summer time all year but for Ramadan
    "Africa/El_Aaiun",
    "America/New_York",
    "America/Sao_Paulo",  # set at midnight, until 2019
    "America/St_Johns",  # half an hour; set at a minute after midnight until 2011
    "Antarctica/Troll",  # two hours at once
    "Asia/Gaza",  # different rules nearly every year
    "Asia/Kathmandu",  # a quarter of an hour
    "Asia/Shanghai",
    "Australia/Lord_Howe",  # set by half an hour
    "Europe/Dublin",  # its winter time is the one that is saved
    "Pacific/Apia",  # had no 30th of December 2011
    "Pacific/Chatham",
    "Pacific/Fakaofo",  # nor did this
]
_FIRST, _LAST = datetime(2009, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


@functools.cache
def moments_of_change(zone_name: str) -> tuple[datetime, ...]:
    """When the clocks are set, from 2009 to 2029; one moment for a zone whose clocks never are."""
    found = []
    for number in range((_LAST - _FIRST).days):
        midnight = _FIRST + number * _DAY
        if offset_at(midnight, zone_name) != offset_at(midnight + _DAY, zone_name):
            day = midnight.date()
            found += [each for each in (*changes(zone_name, day), *changes(zone_name, day + _DAY)) if each > midnight]
    return tuple(sorted(set(found))) or (_FIRST,)
