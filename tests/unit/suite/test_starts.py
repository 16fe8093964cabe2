"""When a policy of a fleet starts."""

from datetime import UTC, datetime, time, timedelta

import pytest

from suite.fleet.starts import StartAt, StartDaily, StartIn, first_time, may_be_of

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EARLIEST = NOW + timedelta(minutes=31)
LATEST = NOW + timedelta(days=365)


@pytest.mark.parametrize(
    ("daily", "expected"),
    [
        (time(8, 31), EARLIEST),
        (time(8, 30), datetime(2026, 3, 3, 8, 30, tzinfo=UTC)),
        (time(23, 59), datetime(2026, 3, 2, 23, 59, tzinfo=UTC)),
        (time(0, 0), datetime(2026, 3, 3, tzinfo=UTC)),
    ],
)
def test_a_time_of_the_day_is_the_next_that_is_31_minutes_ahead(daily: time, expected: datetime) -> None:
    assert first_time(StartDaily(daily), NOW) == expected


def test_a_time_of_the_day_is_looked_for_from_the_earliest_moment_on() -> None:
    shortly_before_midnight = datetime(2026, 3, 2, 23, 45, tzinfo=UTC)
    assert first_time(StartDaily(time(0, 10)), shortly_before_midnight) == datetime(2026, 3, 4, 0, 10, tzinfo=UTC)
    assert first_time(StartDaily(time(0, 16)), shortly_before_midnight) == datetime(2026, 3, 3, 0, 16, tzinfo=UTC)


def test_a_time_of_the_day_is_that_of_the_clocks_of_its_zone() -> None:
    winter = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)
    assert first_time(StartDaily(time(2, 0), "Europe/Berlin"), winter) == datetime(2026, 3, 3, 1, 0, tzinfo=UTC)
    assert first_time(StartDaily(time(7, 0), "Asia/Shanghai"), winter) == datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
    assert may_be_of(StartDaily(time(2, 0), "Europe/Berlin"), datetime(2026, 7, 3, 0, 0, tzinfo=UTC))
    assert not may_be_of(StartDaily(time(2, 0), "Europe/Berlin"), datetime(2026, 7, 3, 1, 0, tzinfo=UTC))


def test_a_time_that_the_clocks_skip_is_the_first_after_the_gap() -> None:
    evening = datetime(2030, 3, 30, 20, 0, tzinfo=UTC)
    assert first_time(StartDaily(time(2, 30), "Europe/Berlin"), evening) == datetime(2030, 3, 31, 1, 0, tzinfo=UTC)


def test_a_delay_counts_from_now() -> None:
    assert first_time(StartIn(timedelta(hours=2)), NOW) == NOW + timedelta(hours=2)


@pytest.mark.parametrize("moment", [EARLIEST, LATEST])
def test_a_moment_within_its_bounds_is_taken_as_it_is(moment: datetime) -> None:
    assert first_time(StartAt(moment), NOW) == moment


@pytest.mark.parametrize("moment", [EARLIEST - MICROSECOND, LATEST + MICROSECOND, NOW - timedelta(days=1)])
def test_a_moment_too_early_or_too_late_is_refused(moment: datetime) -> None:
    with pytest.raises(ValueError, match="which is 2026-03-02T08:00:00Z"):
        first_time(StartAt(moment), NOW)


def test_a_policy_made_before_is_known_by_its_start() -> None:
    made = datetime(2026, 2, 1, 2, 0, tzinfo=UTC)
    assert may_be_of(StartAt(made), made)
    assert not may_be_of(StartAt(made + MICROSECOND), made)
    assert may_be_of(StartDaily(time(2, 0)), made)
    assert not may_be_of(StartDaily(time(2, 1)), made)
    assert may_be_of(StartIn(timedelta(hours=1)), made)
