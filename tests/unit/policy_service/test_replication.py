"""What a copy of a policy looks like (rule P14)."""

from datetime import datetime, timedelta

import pytest

from policy_service.domain.policy import PolicyKey
from policy_service.domain.replication import described, valid_from
from policy_service.domain.schedule import Interval, Schedule, Unit
from tests.support import START

KEY = PolicyKey("acme", "cn-north-1", "nightly")
NOTE = "[replicated from cn-north-1/nightly]"
DAILY = Schedule(START, Interval(1, Unit.DAY))
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


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
    assert valid_from(DAILY, now) == Schedule(start, DAILY.interval)
