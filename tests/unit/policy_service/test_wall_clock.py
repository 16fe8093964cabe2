"""What clocks show, where they skip and repeat times."""

from datetime import UTC, datetime, timedelta

import pytest

from policy_service.domain.wall_clock import Gap, Reading, Shift, long_gaps, read, wall_at
from servicekit.zones import zone


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone_name", "shown", "moment", "shift"),
    [
        ("UTC", "2026-03-29T02:30", "2026-03-29T02:30", Shift.NONE),
        ("Asia/Shanghai", "2026-03-29T02:30", "2026-03-28T18:30", Shift.NONE),
        ("Asia/Kathmandu", "2026-03-29T02:30", "2026-03-28T20:45", Shift.NONE),
        # An hour is skipped at 2 o'clock on the 8th of March, and repeated from 1 o'clock on the 1st of November.
        ("America/New_York", "2026-03-08T01:59:59.999999", "2026-03-08T06:59:59.999999", Shift.NONE),
        ("America/New_York", "2026-03-08T02:00", "2026-03-08T07:00", Shift.GAP),
        ("America/New_York", "2026-03-08T02:59:59.999999", "2026-03-08T07:00", Shift.GAP),
        ("America/New_York", "2026-03-08T03:00", "2026-03-08T07:00", Shift.NONE),
        ("America/New_York", "2026-11-01T00:59:59.999999", "2026-11-01T04:59:59.999999", Shift.NONE),
        ("America/New_York", "2026-11-01T01:00", "2026-11-01T05:00", Shift.FOLD),
        ("America/New_York", "2026-11-01T01:59:59.999999", "2026-11-01T05:59:59.999999", Shift.FOLD),
        ("America/New_York", "2026-11-01T02:00", "2026-11-01T07:00", Shift.NONE),
        # Half an hour.
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", Shift.GAP),
        ("Australia/Lord_Howe", "2026-10-04T02:30", "2026-10-03T15:30", Shift.NONE),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45", Shift.FOLD),
        # Two hours at once.
        ("Antarctica/Troll", "2026-03-29T01:00", "2026-03-29T01:00", Shift.GAP),
        ("Antarctica/Troll", "2026-03-29T02:59", "2026-03-29T01:00", Shift.GAP),
        # Summer time is the standard, and winter time what is saved.
        ("Europe/Dublin", "2026-03-29T01:30", "2026-03-29T01:00", Shift.GAP),
        ("Europe/Dublin", "2026-10-25T01:30", "2026-10-25T00:30", Shift.FOLD),
        # At midnight; and at a minute past it.
        ("America/Sao_Paulo", "2018-11-04T00:30", "2018-11-04T03:00", Shift.GAP),
        ("America/St_Johns", "2011-03-13T00:30", "2011-03-13T03:31", Shift.GAP),
        # A whole date.
        ("Pacific/Apia", "2011-12-29T23:59", "2011-12-30T09:59", Shift.NONE),
        ("Pacific/Apia", "2011-12-30T00:00", "2011-12-30T10:00", Shift.GAP),
        ("Pacific/Apia", "2011-12-30T23:59", "2011-12-30T10:00", Shift.GAP),
        ("Pacific/Apia", "2011-12-31T00:00", "2011-12-30T10:00", Shift.NONE),
        # Local mean time, to the second; a rule that goes on for ever.
        ("Asia/Shanghai", "1900-12-31T23:54:16", "1900-12-31T15:48:33", Shift.NONE),
        ("America/New_York", "9998-03-08T02:30", "9998-03-08T07:00", Shift.GAP),
    ],
)
def test_wall_is_read_first_or_just_after_its_gap(zone_name: str, shown: str, moment: str, shift: Shift) -> None:
    assert read(wall(shown), zone_name) == Reading(utc(moment), shift)


def test_wall_beyond_the_last_moment_of_all_is_none() -> None:
    assert read(wall("9999-12-31T23:59"), "Pacific/Apia").moment == utc("9999-12-31T10:59")
    with pytest.raises(OverflowError):
        read(wall("9999-12-31T23:59"), "America/New_York")


@pytest.mark.parametrize(
    ("zone_name", "moment", "shown"),
    [
        ("America/New_York", "2026-11-01T05:30", "2026-11-01T01:30"),
        ("America/New_York", "2026-11-01T06:30", "2026-11-01T01:30"),
        ("America/New_York", "2026-03-08T07:00", "2026-03-08T03:00"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-31T00:00"),
        ("Africa/Monrovia", "1971-06-01T00:44:30", "1971-06-01T00:00"),
        ("Pacific/Apia", "9999-12-31T12:00", "9999-12-31T23:59:59.999999"),
        ("America/New_York", "0001-01-01T00:00", "0001-01-01T00:00"),
    ],
)
def test_wall_at_a_moment_is_what_clocks_show_as_far_as_a_date_can(zone_name: str, moment: str, shown: str) -> None:
    assert wall_at(utc(moment), zone_name) == wall(shown)
    assert wall_at(utc(moment), zone_name).fold == 0


@pytest.mark.parametrize(
    ("zone_name", "start"),
    [
        ("Pacific/Apia", "2011-12-30T00:00"),
        ("Pacific/Fakaofo", "2011-12-30T00:00"),
        ("Pacific/Kiritimati", "1994-12-31T00:00"),
        ("Pacific/Kwajalein", "1993-08-21T00:00"),
    ],
)
def test_dates_left_out_are_known(zone_name: str, start: str) -> None:
    assert long_gaps(zone_name) == (Gap(wall(start), timedelta(days=1)),)


@pytest.mark.parametrize(
    "zone_name", ["UTC", "America/New_York", "Antarctica/Troll", "Asia/Pyongyang", "Africa/Casablanca"]
)
def test_most_zones_leave_out_no_date(zone_name: str) -> None:
    assert zone(zone_name).key == zone_name
    assert long_gaps(zone_name) == ()
