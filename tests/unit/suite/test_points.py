"""The scheduled times that the suite's own tools work out, against dates that people know."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from autoimage.policy.v1 import policy_pb2
from servicekit.timestamps import to_proto
from servicekit.zones import zone
from suite.points import moment_of, of_event, points


def _schedule(count: int, unit: str, name: str = "UTC") -> policy_pb2.Schedule:
    interval = policy_pb2.Interval(count=count, unit=policy_pb2.Interval.Unit.Value(f"UNIT_{unit}"))
    return policy_pb2.Schedule(interval=interval, time_zone=name)


def _texts(schedule: policy_pb2.Schedule, first: str, local: str, count: int) -> list[str]:
    times = points(schedule, datetime.fromisoformat(first), datetime.fromisoformat(local))
    return [f"{moment:%Y-%m-%dT%H:%M}" for moment in islice(times, count)]


def test_days_keep_the_clock_time_when_the_clocks_change() -> None:
    berlin = _schedule(1, "DAY", "Europe/Berlin")
    assert _texts(berlin, "2030-03-30T01:30Z", "2030-03-30T02:30", 3) == [
        "2030-03-30T01:30",
        "2030-03-31T01:00",  # 02:30 is skipped: the first moment after the gap is 03:00, at an offset of two hours
        "2030-04-01T00:30",
    ]
    assert _texts(berlin, "2030-10-26T00:30Z", "2030-10-26T02:30", 3) == [
        "2030-10-26T00:30",
        "2030-10-27T00:30",  # 02:30 happens twice: the first of them
        "2030-10-28T01:30",
    ]


def test_hours_are_absolute() -> None:
    berlin = _schedule(12, "HOUR", "Europe/Berlin")
    assert _texts(berlin, "2030-03-30T18:00Z", "2030-03-30T19:00", 3) == [
        "2030-03-30T18:00",
        "2030-03-31T06:00",
        "2030-03-31T18:00",
    ]


def test_weeks_are_seven_days() -> None:
    assert _texts(_schedule(2, "WEEK"), "2030-01-01T00:00Z", "2030-01-01T00:00", 2) == [
        "2030-01-01T00:00",
        "2030-01-15T00:00",
    ]


@pytest.mark.parametrize(
    ("name", "local", "expected"),
    [
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),  # the whole day was skipped
        ("Australia/Lord_Howe", "2030-10-06T02:15", "2030-10-05T15:30"),  # a gap of half an hour
        ("America/St_Johns", "2030-11-03T01:15", "2030-11-03T03:45"),
        ("Africa/Casablanca", "2026-02-15T02:30", "2026-02-15T01:30"),
    ],
)
def test_odd_zones(name: str, local: str, expected: str) -> None:
    moment = moment_of(datetime.fromisoformat(local), zone(name))
    assert f"{moment:%Y-%m-%dT%H:%M}" == expected


def test_the_points_end_with_the_year_9999() -> None:
    assert len(_texts(_schedule(365, "DAY"), "9998-12-30T00:00Z", "9998-12-30T00:00", 5)) == 2


def test_a_policy_that_is_disabled_has_no_points() -> None:
    event = policy_pb2.ScheduleEvent(schedule=_schedule(1, "DAY"))
    assert list(of_event(event)) == []
    event.next_execution_time.CopyFrom(to_proto(datetime(2030, 1, 1, tzinfo=UTC)))
    event.next_local_time = "2030-01-01T00:00:00"
    assert next(of_event(event)) == datetime(2030, 1, 1, tzinfo=UTC)
