"""When a policy starts, as a person says it: at a moment, at a time of the day, or in a while. All in product time."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from servicekit.zones import zone
from suite.points import moment_of

EARLIEST = timedelta(minutes=31)
"""How far ahead a new policy's start must be: the 30 minutes that policies need, and one for the loading itself."""
LATEST = timedelta(days=365)


@dataclass(frozen=True)
class StartAt:
    """`2026-12-01T02:00:00Z`."""

    moment: datetime


@dataclass(frozen=True)
class StartDaily:
    """`02:00`: the next such time of a day, on the clocks of a time zone, that is far enough ahead."""

    time: time
    zone: str = "UTC"


@dataclass(frozen=True)
class StartIn:
    """`in 45 minutes`: so long after the policy is made."""

    delay: timedelta


Start = StartAt | StartDaily | StartIn


def first_time(start: Start, now: datetime) -> datetime:
    """The start time of a policy that is made now. One that is too early or late raises ValueError, which says so."""
    first = _first(start, now)
    if not now + EARLIEST <= first <= now + LATEST:
        raise ValueError(f"must be 31 minutes to 365 days ahead of product time, which is {now:%Y-%m-%dT%H:%M:%SZ}")
    return first


def _first(start: Start, now: datetime) -> datetime:
    match start:
        case StartAt(moment):
            return moment
        case StartDaily(time, name):
            earliest = now + EARLIEST
            local = datetime.combine(earliest.astimezone(zone(name)).date(), time)
            first = moment_of(local, zone(name))
            return first if first >= earliest else moment_of(local + timedelta(days=1), zone(name))
        case StartIn(delay):
            return now + delay


def may_be_of(start: Start, start_time: datetime) -> bool:
    """Whether a policy with this start time can be what was made of `start` some time ago."""
    match start:
        case StartAt(moment):
            return start_time == moment
        case StartDaily(time, name):
            local = datetime.combine(start_time.astimezone(zone(name)).date(), time)
            return start_time == moment_of(local, zone(name))
        case StartIn():
            return True
