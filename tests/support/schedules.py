"""Generated schedules, mostly where clocks are set."""

from datetime import datetime, timedelta

from hypothesis import strategies as st

from policy_service.domain.schedule import MICROSECOND, Interval, Schedule, Unit
from tests.support.zones import ZONES, moments_of_change

_MINUTE = timedelta(minutes=1)

zones = st.sampled_from(ZONES)
minutes = st.one_of(st.integers(-75, 75), st.integers(-75, 75), st.integers(-720, 720)).map(lambda n: n * _MINUTE)
odd = st.sampled_from(
    [timedelta(0), timedelta(0), MICROSECOND, -MICROSECOND, timedelta(seconds=59, microseconds=999_999)]
)
short_intervals = st.one_of(
    st.builds(Interval, st.just(1), st.just(Unit.DAY)),
    st.builds(Interval, st.integers(2, 9), st.just(Unit.DAY)),
    st.builds(Interval, st.integers(1, 3), st.just(Unit.WEEK)),
    st.builds(Interval, st.integers(12, 49), st.just(Unit.HOUR)),
)
long_intervals = st.one_of(
    st.builds(Interval, st.integers(10, 365), st.just(Unit.DAY)),
    st.builds(Interval, st.integers(4, 52), st.just(Unit.WEEK)),
    st.builds(Interval, st.integers(50, 8760), st.just(Unit.HOUR)),
)


@st.composite
def near_changes(draw: st.DrawFn, zone_name: str) -> datetime:
    """A moment shortly before or after one at which the zone's clocks are set."""
    return draw(st.sampled_from(moments_of_change(zone_name))) + draw(minutes) + draw(odd)


@st.composite
def schedules(draw: st.DrawFn, intervals: st.SearchStrategy[Interval], before: int) -> Schedule:
    """One with a point at about the time when clocks are set, at most so many points after its start."""
    zone_name, interval = draw(zones), draw(intervals)
    start = draw(near_changes(zone_name)) - draw(st.integers(0, before)) * interval.length
    return Schedule(start, interval, time_zone=zone_name)
