"""Which images go (P9, X9), by each limit on both sides, and for any history."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_service.domain.retention import (
    INTERVAL,
    KEEP_FOREVER,
    Condition,
    Judged,
    Retention,
    Seen,
    going_on,
    judge,
    put_off,
    rested,
)
from tests.support import START
from tests.support.scheduler import FixedRandom
from tests.support.scheduler_values import a_kept_image, a_series

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
AVAILABLE, NOT_AVAILABLE, GONE = Condition.AVAILABLE, Condition.NOT_AVAILABLE, Condition.GONE


def seen(days_ago: float, condition: Condition = AVAILABLE, *, protected: bool = False) -> Seen:
    return Seen(a_kept_image(f"img-{days_ago}", START - days_ago * DAY), condition, protected, '"1"')


def verdicts(retention: Retention, *series: Seen, now: datetime = START) -> list[str]:
    """Newest first."""
    return [judged.verdict.value for judged in judge(retention, now, series)]


# By one limit


@pytest.mark.rule("P9", "X9")
def test_without_a_limit_every_image_stays() -> None:
    assert Retention(0, 0, False) == KEEP_FOREVER
    for retention in (KEEP_FOREVER, Retention(may_delete_newest=True)):
        assert verdicts(retention, seen(0), seen(36_500)) == ["KEEP_FOREVER"] * 2


@pytest.mark.rule("P9", "X9")
@pytest.mark.parametrize("limit", [-1, -36_500])
def test_a_limit_that_makes_no_sense_is_none(limit: int) -> None:
    assert verdicts(Retention(limit, limit), seen(0), seen(1)) == ["KEEP_FOREVER"] * 2


@pytest.mark.rule("P9", "X9")
@pytest.mark.parametrize("days", [1, 30, 36_500])
def test_an_image_is_too_old_from_its_scheduled_time_plus_keep_days_on(days: int) -> None:
    retention, series = Retention(keep_days=days), (seen(0), seen(1))
    expire_time = START + (days - 1) * DAY
    assert retention.expire_time(START - DAY) == expire_time
    assert verdicts(retention, *series, now=expire_time - MICROSECOND) == ["KEEP_WITHIN_LIMITS"] * 2
    assert verdicts(retention, *series, now=expire_time) == ["KEEP_WITHIN_LIMITS", "DELETE_TOO_OLD"]


@pytest.mark.rule("P9", "X9")
@pytest.mark.parametrize("last", [1, 2, 3])
def test_so_many_of_the_newest_images_stay(last: int) -> None:
    kept = ["KEEP_WITHIN_LIMITS"] * last
    assert verdicts(Retention(keep_last=last), *map(seen, range(last))) == kept
    assert verdicts(Retention(keep_last=last), *map(seen, range(last + 2))) == kept + ["DELETE_TOO_MANY"] * 2


@pytest.mark.rule("X9")
def test_images_are_ordered_by_scheduled_time_and_then_by_name_however_they_are_given() -> None:
    series = [seen(3), seen(1), Seen(a_kept_image("img-z", START - DAY), AVAILABLE), seen(2)]
    found = judge(Retention(keep_last=2), START, series)
    assert [judged.seen.image.age_key for judged in found] == sorted(
        (one.image.age_key for one in series), reverse=True
    )
    assert [judged.verdict.deletes for judged in found] == [False, False, True, True]


# By both


@pytest.mark.rule("P9", "X9")
@pytest.mark.parametrize(
    ("days", "last", "expected"),
    [
        (3, 2, ["KEEP_WITHIN_LIMITS", "KEEP_WITHIN_LIMITS", "DELETE_TOO_MANY", "DELETE_TOO_OLD"]),
        (1, 3, ["KEEP_WITHIN_LIMITS", "DELETE_TOO_OLD", "DELETE_TOO_OLD", "DELETE_TOO_OLD"]),
        (9, 9, ["KEEP_WITHIN_LIMITS"] * 4),
    ],
)
def test_of_two_limits_either_says_that_an_image_goes(days: int, last: int, expected: list[str]) -> None:
    assert verdicts(Retention(days, last), *map(seen, range(4))) == expected


# The newest available one


@pytest.mark.rule("P9", "X9")
def test_the_newest_available_image_stays_however_old_it_is() -> None:
    assert verdicts(Retention(keep_days=1), seen(100), seen(200)) == ["KEEP_NEWEST", "DELETE_TOO_OLD"]


@pytest.mark.rule("P9", "X9")
def test_it_goes_too_when_the_policy_says_so() -> None:
    retention = Retention(keep_days=1, may_delete_newest=True)
    assert verdicts(retention, seen(100), seen(200)) == ["DELETE_TOO_OLD"] * 2


@pytest.mark.rule("P9", "X9")
def test_keep_last_alone_never_lets_the_newest_go() -> None:
    assert verdicts(Retention(keep_last=1, may_delete_newest=True), seen(1)) == ["KEEP_WITHIN_LIMITS"]


@pytest.mark.rule("X9")
@pytest.mark.parametrize("other", [NOT_AVAILABLE, GONE])
def test_only_available_images_count_and_go(other: Condition) -> None:
    told = "KEEP_NOT_AVAILABLE" if other is NOT_AVAILABLE else "GONE"
    series = (seen(0, other), seen(5), seen(6, other), seen(7))
    assert verdicts(Retention(keep_days=1), *series) == [told, "KEEP_NEWEST", told, "DELETE_TOO_OLD"]
    assert verdicts(Retention(keep_last=1), *series) == [told, "KEEP_WITHIN_LIMITS", told, "DELETE_TOO_MANY"]
    assert verdicts(KEEP_FOREVER, *series) == [told, "KEEP_FOREVER", told, "KEEP_FOREVER"]


# Protection


@pytest.mark.rule("X9")
def test_a_protected_image_stays_and_counts() -> None:
    series = (seen(0), seen(1, protected=True), seen(2), seen(3, protected=True))
    assert verdicts(Retention(keep_last=2), *series) == [
        "KEEP_WITHIN_LIMITS",
        "KEEP_WITHIN_LIMITS",
        "DELETE_TOO_MANY",
        "KEEP_PROTECTED",
    ]
    assert verdicts(Retention(keep_days=1, may_delete_newest=True), seen(2, protected=True)) == ["KEEP_PROTECTED"]


# For any history

RETENTIONS = st.builds(Retention, st.integers(0, 20), st.integers(0, 6), st.booleans())
HISTORIES = st.lists(
    st.builds(seen, st.integers(0, 25), st.sampled_from(Condition), protected=st.booleans()),
    max_size=12,
    unique_by=lambda one: one.image.name,
)


def deleted(judged: list[Judged]) -> set[str]:
    return {one.seen.image.name for one in judged if one.verdict.deletes}


@pytest.mark.rule("P9", "X9")
@given(RETENTIONS, HISTORIES)
def test_whatever_happened_what_must_stay_stays(retention: Retention, history: list[Seen]) -> None:
    found = judge(retention, START, history)
    assert sorted(one.seen.image.name for one in found) == sorted(one.image.name for one in history)
    available = [one for one in found if one.seen.condition is AVAILABLE]
    going = [one for one in available if one.verdict.deletes]
    assert len(going) == len(deleted(found)), "what is not available goes"
    assert not any(one.seen.protected for one in going)
    if not retention.may_delete_newest:
        assert not any(one.verdict.deletes for one in available[:1])
    if retention.keep_days == 0:
        assert not any(one.verdict.deletes for one in available[: retention.keep_last])
    if retention.for_ever:
        assert going == []


@pytest.mark.rule("X9")
@given(RETENTIONS, HISTORIES)
def test_what_a_second_look_finds_has_all_been_deleted_by_the_first(retention: Retention, history: list[Seen]) -> None:
    gone = deleted(judge(retention, START, history))
    assert deleted(judge(retention, START, [one for one in history if one.image.name not in gone])) == set()


@pytest.mark.rule("X9")
@given(RETENTIONS, HISTORIES, st.data())
def test_who_knows_less_deletes_no_more(retention: Retention, history: list[Seen], data: st.DataObject) -> None:
    """A part of a series was not looked at, or compute did not tell. May the newest go, age alone decides."""
    known = data.draw(st.sets(st.sampled_from(history)) if history else st.just(set()))
    partly = [one if one in known else Seen(one.image, NOT_AVAILABLE) for one in history]
    whole = deleted(judge(retention, START, history))
    assert deleted(judge(retention, START, partly)) <= whole
    assert deleted(judge(retention, START, known)) <= whole


# When to look


def test_a_series_rests_for_a_day() -> None:
    series = a_series(tries=3, after=(START, "img-1"), due_product=START)
    assert rested(series, START + SECOND, START) == a_series(
        tries=0, after=None, due_product=START + SECOND + INTERVAL, due_operating=START
    )


def test_a_long_series_is_looked_at_piece_by_piece() -> None:
    series = a_series(tries=3)
    assert going_on(series, (START, "img-1"), START + SECOND) == a_series(
        after=(START, "img-1"), due_product=series.due_product, due_operating=START + SECOND
    )


@pytest.mark.parametrize(("tries", "seconds"), [(0, 0.1), (1, 0.2), (7, 12.8), (8, 15), (100, 15)])
def test_a_look_that_failed_is_repeated_after_a_pause_that_grows(tries: int, seconds: float) -> None:
    after = put_off(a_series(tries=tries), START, FixedRandom(), timedelta(0))
    assert after == a_series(tries=tries + 1, due_operating=START + timedelta(seconds=seconds))
    asked_to = put_off(a_series(tries=tries), START, FixedRandom(), timedelta(seconds=20))
    assert asked_to.due_operating == START + timedelta(seconds=20)
