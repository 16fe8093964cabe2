"""Points of a schedule."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_service.domain.schedule import COUNTS, Grid, Interval, Points, Schedule, Unit
from tests.support import START

MICROSECOND = timedelta(microseconds=1)
DAILY = Grid.of(Schedule(START, Interval(1, Unit.DAY)))
DAY = timedelta(days=1)

intervals = st.sampled_from(list(Unit)).flatmap(
    lambda unit: st.builds(Interval, st.integers(*COUNTS[unit]), st.just(unit))
)
offsets = st.integers(-(10**9), 10**9).map(lambda seconds: timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("unit", "shortest", "longest"),
    [
        (Unit.HOUR, timedelta(hours=12), timedelta(days=365)),
        (Unit.DAY, timedelta(days=1), timedelta(days=365)),
        (Unit.WEEK, timedelta(days=7), timedelta(days=364)),
    ],
)
def test_allowed_counts_span_12_hours_to_365_days(unit: Unit, shortest: timedelta, longest: timedelta) -> None:
    assert [Interval(count, unit).length for count in COUNTS[unit]] == [shortest, longest]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (START - 100 * DAY, START),
        (START - MICROSECOND, START),
        (START, START + DAY),
        (START + DAY - MICROSECOND, START + DAY),
        (START + DAY, START + 2 * DAY),
    ],
)
def test_first_point_after_a_moment_is_later_than_it(moment: object, expected: object) -> None:
    assert DAILY.first_after(moment) == expected  # type: ignore[arg-type]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a slow machine is no failure
@given(intervals, offsets)
def test_first_point_after_a_moment_is_a_point_with_none_between(interval: Interval, offset: timedelta) -> None:
    schedule, moment = Grid.of(Schedule(START, interval)), START + offset
    first = schedule.first_after(moment)
    assert first is not None
    assert first > moment
    assert (first - START) % interval.length == timedelta(0)
    assert first == START or first - interval.length <= moment


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (START - MICROSECOND, None),
        (START, Points(START, START, 1)),
        (START + DAY - MICROSECOND, Points(START, START, 1)),
        (START + 2 * DAY, Points(START, START + 2 * DAY, 3)),
    ],
)
def test_points_due_reach_up_to_now_inclusive(now: object, expected: Points | None) -> None:
    assert DAILY.due(START, now) == expected  # type: ignore[arg-type]
