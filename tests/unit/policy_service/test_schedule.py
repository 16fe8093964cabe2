"""Points of a schedule."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_service.domain import schedule, wall_clock
from policy_service.domain.schedule import COUNTS, Anchor, Grid, Interval, Points, Schedule, Unit, later
from tests.support import START

MICROSECOND = timedelta(microseconds=1)
DAILY = Grid.of(Schedule(START, Interval(1, Unit.DAY)))
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

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
    grid, moment = Grid.of(Schedule(START, interval)), START + offset
    first = grid.first_after(moment)
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


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


# 10 in the evening in Apia, whose clocks went from the 29th of December 2011 to the 31st.
APIA = Grid.of(Schedule(utc("2011-12-29T08:00"), Interval(1, Unit.DAY), time_zone="Pacific/Apia"))


@pytest.mark.parametrize(
    ("now", "last", "count"),
    [
        ("2011-12-30T07:59", "2011-12-29T08:00", 1),
        ("2011-12-30T08:00", "2011-12-30T08:00", 2),
        ("2011-12-30T10:00", "2011-12-30T08:00", 2),
        ("2011-12-31T07:59", "2011-12-30T08:00", 2),
        ("2011-12-31T08:00", "2011-12-31T08:00", 3),
        ("2012-01-01T08:00", "2012-01-01T08:00", 4),
    ],
)
def test_points_due_have_none_on_a_date_that_clocks_leave_out(now: str, last: str, count: int) -> None:
    assert APIA.due(APIA.anchor.moment, utc(now)) == Points(APIA.anchor.moment, utc(last), count)
    assert APIA.first_after(utc(now)) == utc(last) + DAY


def test_point_that_is_none_by_other_rules_keeps_its_distance_from_those_that_follow() -> None:
    """As when a newer version of the time zones moves what was stored: here by an hour, either way."""
    for stored in (START + 3 * DAY - HOUR, START + 3 * DAY + HOUR):
        assert DAILY.due(stored, START + 3 * DAY + 2 * HOUR) == Points(stored, stored, 1)
        assert DAILY.due(stored, START + 5 * DAY) == Points(stored, START + 5 * DAY, 3)
        assert DAILY.anchor_at(stored) == Anchor(stored, (START + 3 * DAY).replace(tzinfo=None))


def test_points_end_with_the_year_9999() -> None:
    last = utc("9999-12-31T23:00")
    for zone_name, count in (("UTC", 2), ("America/New_York", 2), ("Pacific/Kiritimati", 1)):
        grid = Grid.of(Schedule(last - DAY, Interval(1, Unit.DAY), time_zone=zone_name))
        points = grid.due(last - DAY, datetime.max.replace(tzinfo=UTC))
        assert points is not None
        assert (points.count, grid.first_after(points.last)) == (count, None)
    assert later(last, HOUR - MICROSECOND) == later(last, DAY) == datetime.max.replace(tzinfo=UTC)


def test_points_may_lie_before_1970() -> None:
    """On clocks that followed the sun, 8 hours, 5 minutes and 43 seconds ahead of Greenwich."""
    grid = Grid.of(Schedule(utc("1900-12-30T00:00"), Interval(1, Unit.DAY), time_zone="Asia/Shanghai"))
    assert grid.first_after(utc("1900-12-29T00:00")) == utc("1900-12-30T00:00")
    assert grid.first_after(utc("1900-12-31T00:00")) == utc("1901-01-01T00:05:43")


def test_a_century_of_points_is_counted_without_walking_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid.of(Schedule(START, Interval(1, Unit.DAY), time_zone="America/New_York"))
    read = Counter[str]()
    monkeypatch.setattr(schedule, "read", lambda *arguments: (read.update(["read"]), wall_clock.read(*arguments))[1])
    century = 36_525
    assert grid.due(START, START + century * DAY + 2 * HOUR) == Points(START, START + century * DAY, century + 1)
    assert grid.first_after(START + century * DAY + 2 * HOUR) == START + (century + 1) * DAY
    assert read["read"] < 20
