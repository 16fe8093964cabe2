"""What a copy of a policy looks like (rule P14)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from policy_service.domain.errors import ScheduleExhausted
from policy_service.domain.policy import Policy, PolicyKey, PolicySpec, new_policy
from policy_service.domain.replication import Target, described, replica
from policy_service.domain.schedule import Interval, Schedule, Unit
from tests.support import START

KEY = PolicyKey("acme", "cn-north-1", "nightly")
NOTE = "[replicated from cn-north-1/nightly]"
COPY = PolicyKey("acme", "cn-south-1", "copy")
TARGET = Target("cn-south-1", "copy", "", "")
DAILY = Schedule(START, Interval(1, Unit.DAY))
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def source(schedule: Schedule) -> Policy:
    spec = PolicySpec(display_name="a", description="", schedule=schedule, devices=None, logging=None)
    return new_policy(KEY, "u-1", spec, enabled=True, now=START - DAY)


@pytest.mark.rule("P14")
@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("", NOTE),
        ("备份", f"备份 {NOTE}"),
        ("𠮷" * (255 - len(NOTE)), "𠮷" * (255 - len(NOTE)) + f" {NOTE}"),
        ("𠮷" * (256 - len(NOTE)), "𠮷" * (255 - len(NOTE)) + f" {NOTE}"),
        ("a" * 256, "a" * (255 - len(NOTE)) + f" {NOTE}"),
    ],
)
def test_note_is_added_and_the_description_cut_only_if_both_do_not_fit(description: str, expected: str) -> None:
    assert described(description, KEY) == expected
    assert len(expected) <= 256


@pytest.mark.rule("P14")
def test_longest_note_fits_and_leaves_room() -> None:
    text = described("a" * 256, PolicyKey("b" * 63, "c" * 63, "d" * 63))
    assert (len(text), text.endswith(f" [replicated from {'c' * 63}/{'d' * 63}]")) == (256, True)
    assert text.startswith("a" * 100)


@pytest.mark.rule("P14")
@pytest.mark.parametrize(
    ("now", "start"),
    [
        (START - 30 * MINUTE, START),
        (START - 30 * MINUTE + MICROSECOND, START + DAY),
        (START + 5 * DAY - 30 * MINUTE, START + 5 * DAY),
        (START + 5 * DAY - 30 * MINUTE + MICROSECOND, START + 6 * DAY),
        (START - 400 * DAY, START),
    ],
)
def test_start_time_moves_to_the_first_point_that_is_30_minutes_ahead(now: datetime, start: datetime) -> None:
    copy = replica(source(DAILY), TARGET, COPY, "u-2", now)
    assert copy.spec.schedule == replace(DAILY, start_time=start)
    assert (copy.next_execution, copy.grid.first_after(start)) == (start, start + DAY)


@pytest.mark.rule("P14", "P18")
def test_copy_that_begins_behind_a_gap_goes_on_at_the_time_of_the_source() -> None:
    berlin = replace(DAILY, start_time=datetime(2026, 3, 20, 1, 30, tzinfo=UTC), time_zone="Europe/Berlin")
    copy = replica(source(berlin), TARGET, COPY, "u-2", datetime(2026, 3, 28, 12, tzinfo=UTC))
    first = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert (copy.spec.schedule.start_time, copy.next_execution) == (first, first)
    assert copy.grid.first_after(first) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


@pytest.mark.rule("P14")
def test_schedule_without_a_point_that_is_far_enough_ahead_is_not_copied() -> None:
    last = datetime(9999, 12, 31, 12, tzinfo=UTC)
    with pytest.raises(ScheduleExhausted):
        replica(source(replace(DAILY, start_time=last)), TARGET, COPY, "u-2", last)
