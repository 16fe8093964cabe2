"""Rules P3, P10, P11, P12, P13, P18, D1, D4 and D6: when a policy triggers, and what edits do to it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from autoimage.policy.v1.policy_pb2 import Interval, Policy, Schedule
from autoimage.policy.v1.trigger_service_pb2 import Trigger
from policy_service.domain.schedule import Points
from policy_service.domain.triggers import Kind, MissedReason
from servicekit.errors import Code
from servicekit.timestamps import from_proto, to_proto
from tests.support import START, error_of
from tests.support.policy_service import FIRST, POLICY, PolicyService, running_policy_service, schedule

MICROSECOND = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ON_TIME = 5 * MINUTE
NEW_YORK = "America/New_York"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def next_time(policy: Policy) -> datetime | None:
    return from_proto(policy.next_execution_time) if policy.HasField("next_execution_time") else None


def execute(service: PolicyService, *times: datetime) -> None:
    """A scheduler takes the policy up at these times."""
    for time in times:
        service.time.product.set(time)
        service.ack(*service.lease().triggers)
        assert from_proto(service.get().last_execution_time) == time


def times_of(service: PolicyService, count: int) -> list[datetime]:
    """The next times at which the policy triggers, one after the other."""
    found = []
    for _ in range(count):
        time = from_proto(service.get().next_execution_time)
        service.time.product.set(time)
        (trigger,) = service.lease().triggers
        service.ack(trigger)
        assert from_proto(trigger.scheduled_time) == time
        found.append(time)
    return found


def history(service: PolicyService) -> list[tuple[Kind, Points | None, object]]:
    return [(Kind(entry.event), entry.points, entry.reason) for entry in service.ledger(service.get().uid)]


def interval(count: int, unit: Interval.Unit.ValueType = Interval.UNIT_DAY) -> dict[str, Any]:
    return {"schedule": Schedule(interval=Interval(count=count, unit=unit))}


def starting(moment: datetime) -> dict[str, Any]:
    return {"schedule": Schedule(start_time=to_proto(moment))}


def assert_unchanged(service: PolicyService, before: Policy) -> None:
    assert service.get() == before


# P3


@pytest.mark.rule("P3", "P11")
@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(days=365)])
def test_new_start_time_at_either_end_of_the_range_is_the_next_execution(
    service: PolicyService, ahead: timedelta
) -> None:
    service.create()
    service.time.product.advance(MINUTE)
    now = START + MINUTE
    updated = service.update(**starting(now + ahead))
    assert from_proto(updated.schedule.start_time) == next_time(updated) == now + ahead
    assert updated.update_time == to_proto(now)
    assert_unchanged(service, updated)


@pytest.mark.rule("P3")
@pytest.mark.parametrize("ahead", [timedelta(minutes=30) - MICROSECOND, timedelta(days=365) + MICROSECOND])
def test_new_start_time_just_outside_the_range_is_refused_and_changes_nothing(
    service: PolicyService, ahead: timedelta
) -> None:
    before = service.create()
    error = error_of(service.update, description="x", **starting(START + ahead))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "START_TIME_OUT_OF_RANGE")
    assert [each.field for each in error.violations] == ["policy.schedule.start_time"]
    assert error.metadata == {"earliest": "2026-03-02T08:30:00Z", "latest": "2027-03-02T08:00:00Z"}
    assert_unchanged(service, before)


@pytest.mark.rule("P3")
def test_start_time_that_is_not_changed_may_be_past(service: PolicyService) -> None:
    service.create()
    execute(service, FIRST)
    service.time.product.set(FIRST + HOUR)
    updated = service.update("schedule", "description", description="x", schedule=schedule(count=2))
    assert (updated.description, next_time(updated)) == ("x", FIRST + 2 * DAY)


# P10


@pytest.mark.rule("P10")
def test_policy_is_disabled_by_the_last_trigger_that_its_limit_allows(service: PolicyService) -> None:
    created = service.create(schedule=schedule(execution_limit=2))
    execute(service, FIRST)
    assert service.get().state == Policy.STATE_ENABLED
    service.time.product.set(FIRST + DAY)
    response = service.lease()
    assert [from_proto(each.scheduled_time) for each in response.triggers] == [FIRST + DAY]
    assert not response.HasField("next_due_time")
    after = service.get()
    assert (after.state, after.execution_count, next_time(after)) == (Policy.STATE_DISABLED, 2, None)
    assert (after.etag, after.update_time) == (created.etag, created.update_time)
    service.time.product.set(FIRST + 9 * DAY)
    service.ack(*response.triggers)
    assert list(service.lease().triggers) == []


@pytest.mark.rule("P10")
def test_enabling_again_starts_the_count_anew(service: PolicyService) -> None:
    service.create(schedule=schedule(execution_limit=2))
    execute(service, FIRST, FIRST + DAY)
    assert next_time(service.enable()) == FIRST + 2 * DAY
    assert times_of(service, 2) == [FIRST + 2 * DAY, FIRST + 3 * DAY]
    assert (service.get().state, service.get().execution_count) == (Policy.STATE_DISABLED, 4)


@pytest.mark.rule("P10")
def test_count_begins_when_a_policy_is_enabled_also_before_the_limit_is_reached(service: PolicyService) -> None:
    service.create(schedule=schedule(execution_limit=2))
    execute(service, FIRST)
    service.enable()
    service.disable()
    service.enable()
    assert times_of(service, 2) == [FIRST + DAY, FIRST + 2 * DAY]
    assert service.get().state == Policy.STATE_DISABLED


@pytest.mark.rule("P10")
def test_missed_points_and_run_now_do_not_count_and_catching_up_does(service: PolicyService) -> None:
    service.create(schedule=schedule(execution_limit=2))
    service.execute()
    service.ack(*service.lease().triggers)
    service.time.product.set(FIRST + 3 * DAY + HOUR)
    (late,) = service.lease().triggers
    service.ack(late)
    assert (late.kind, late.missed.count) == (Trigger.KIND_CATCH_UP, 3)
    assert service.get().state == Policy.STATE_ENABLED
    assert times_of(service, 1) == [FIRST + 4 * DAY]
    assert service.get().state == Policy.STATE_DISABLED


@pytest.mark.rule("P10")
@pytest.mark.parametrize(
    ("limit", "state"), [(1, Policy.STATE_DISABLED), (2, Policy.STATE_DISABLED), (3, Policy.STATE_ENABLED)]
)
def test_limit_that_is_reached_already_disables_at_once(
    service: PolicyService, limit: int, state: Policy.State.ValueType
) -> None:
    service.create()
    execute(service, FIRST, FIRST + DAY)
    updated = service.update(schedule=Schedule(execution_limit=limit))
    assert (updated.state, updated.schedule.execution_limit) == (state, limit)
    assert next_time(updated) == (FIRST + 2 * DAY if state == Policy.STATE_ENABLED else None)


@pytest.mark.rule("P10")
def test_limit_is_taken_away_by_clearing_it(service: PolicyService) -> None:
    service.create(schedule=schedule(execution_limit=1))
    assert service.update("schedule.execution_limit").schedule.execution_limit == 0
    assert times_of(service, 2) == [FIRST, FIRST + DAY]


# P11


@pytest.mark.rule("P11")
def test_new_start_time_is_the_next_execution_and_the_points_count_from_it(service: PolicyService) -> None:
    service.create()
    execute(service, FIRST)
    start = FIRST + 3 * DAY + 7 * HOUR
    assert next_time(service.update(**starting(start))) == start
    assert times_of(service, 2) == [start, start + DAY]


@pytest.mark.rule("P11")
def test_points_count_from_a_new_start_time_also_if_they_counted_from_an_execution_before(
    service: PolicyService,
) -> None:
    service.create()
    execute(service, FIRST)
    service.update(**interval(3))
    start = FIRST + 2 * DAY + HOUR
    assert next_time(service.update(**starting(start))) == start
    assert times_of(service, 2) == [start, start + 3 * DAY]


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("count", "unit", "expected"),
    [
        (12, Interval.UNIT_HOUR, FIRST + 12 * HOUR),
        (3, Interval.UNIT_DAY, FIRST + 3 * DAY),
        (1, Interval.UNIT_WEEK, FIRST + 7 * DAY),
    ],
)
def test_new_interval_counts_from_the_last_execution(
    service: PolicyService, count: int, unit: Interval.Unit.ValueType, expected: datetime
) -> None:
    service.create(schedule=schedule(count=5))
    execute(service, FIRST)
    service.time.product.set(FIRST + HOUR)
    assert next_time(service.update(**interval(count, unit))) == expected
    length = expected - FIRST
    assert times_of(service, 3) == [FIRST + length, FIRST + 2 * length, FIRST + 3 * length]


@pytest.mark.rule("P11")
def test_new_interval_counts_from_the_start_time_before_the_first_execution(service: PolicyService) -> None:
    service.create(schedule=schedule(5 * DAY))
    assert next_time(service.update(**interval(2))) == START + 5 * DAY
    assert times_of(service, 2) == [START + 5 * DAY, START + 7 * DAY]


@pytest.mark.rule("P11")
def test_new_interval_counts_from_a_new_start_time_that_has_had_no_execution(service: PolicyService) -> None:
    service.create()
    execute(service, FIRST)
    start = FIRST + 10 * DAY
    service.update(**starting(start))
    assert next_time(service.update(**interval(2))) == start
    assert times_of(service, 2) == [start, start + 2 * DAY]


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (FIRST + 4 * DAY - MICROSECOND, FIRST + 4 * DAY),
        (FIRST + 4 * DAY, FIRST + 4 * DAY),
        (FIRST + 4 * DAY + MICROSECOND, FIRST + 6 * DAY),
    ],
)
def test_first_point_of_a_new_interval_is_not_past(service: PolicyService, now: datetime, expected: datetime) -> None:
    service.create(schedule=schedule(count=30))
    execute(service, FIRST)
    service.time.product.set(now)
    assert next_time(service.update(**interval(2))) == expected


@pytest.mark.rule("P11")
def test_new_start_time_wins_over_a_new_interval_and_zone(service: PolicyService) -> None:
    service.create()
    execute(service, FIRST)
    start = FIRST + 2 * DAY + HOUR
    updated = service.update(schedule=schedule(start, 3, time_zone=NEW_YORK))
    assert next_time(updated) == start
    assert times_of(service, 2) == [start, start + 3 * DAY]


@pytest.mark.rule("P11", "P18")
def test_new_zone_counts_from_the_last_execution_at_the_time_that_its_clocks_showed(service: PolicyService) -> None:
    service.create()
    execute(service, FIRST)
    updated = service.update(schedule=Schedule(time_zone=NEW_YORK))
    assert next_time(updated) == FIRST + DAY
    execute(service, *(FIRST + number * DAY for number in range(1, 6)))
    # 4 o'clock in New York, whose clocks are set forward on the 8th.
    assert times_of(service, 2) == [utc("2026-03-08T08:00"), utc("2026-03-09T08:00")]


@pytest.mark.rule("P11", "P18")
def test_gap_that_moved_an_execution_does_not_move_what_is_counted_from_it(service: PolicyService) -> None:
    start = utc("2026-03-07T07:30")  # half past two in New York
    service.create(schedule=schedule(start, time_zone=NEW_YORK))
    execute(service, start, utc("2026-03-08T07:00"))
    assert next_time(service.update(**interval(2))) == utc("2026-03-10T06:30")
    assert next_time(service.update(**interval(1, Interval.UNIT_WEEK))) == utc("2026-03-15T06:30")
    assert next_time(service.update(**interval(24, Interval.UNIT_HOUR))) == utc("2026-03-09T07:00")


@pytest.mark.rule("P11")
def test_edit_of_something_else_leaves_the_next_execution(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST + HOUR)
    updated = service.update("description", "display_name", display_name="other", description="x")
    assert (next_time(updated), updated.display_name) == (FIRST, "other")
    assert history(service) == []
    (trigger,) = service.lease().triggers
    assert (trigger.kind, trigger.policy_display_name) == (Trigger.KIND_CATCH_UP, "other")


@pytest.mark.rule("P11", "P13")
def test_editing_a_disabled_policy_moves_what_enabling_leads_to(service: PolicyService) -> None:
    service.create(state=Policy.STATE_DISABLED)
    start = START + 5 * DAY
    updated = service.update(**starting(start))
    assert (updated.state, next_time(updated)) == (Policy.STATE_DISABLED, None)
    service.time.product.set(start + HOUR)
    updated = service.update(**interval(3))
    assert next_time(updated) is None
    assert next_time(service.enable()) == start + 3 * DAY


# P12


@pytest.mark.rule("P12")
@pytest.mark.parametrize("disabled", [False, True])
def test_start_time_less_than_12_hours_after_the_last_execution_is_refused_and_the_earliest_told(
    service: PolicyService, disabled: bool
) -> None:
    service.create()
    execute(service, FIRST)
    before = service.disable() if disabled else service.get()
    error = error_of(service.update, **starting(FIRST + 12 * HOUR - MICROSECOND))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "EXECUTIONS_TOO_CLOSE")
    assert error.metadata == {"policy": POLICY, "earliest": "2026-03-02T21:00:00Z"}
    assert error.precondition is not None
    assert error.precondition.subject == POLICY
    assert_unchanged(service, before)
    allowed = service.update(**starting(datetime.fromisoformat(error.metadata["earliest"])))
    assert next_time(allowed) == (None if disabled else FIRST + 12 * HOUR)


@pytest.mark.rule("P12")
def test_lateness_does_not_count_but_the_scheduled_time_does(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST + 5 * HOUR)
    (late,) = service.lease().triggers
    assert (late.kind, from_proto(late.scheduled_time)) == (Trigger.KIND_CATCH_UP, FIRST)
    assert error_of(service.update, **starting(FIRST + 12 * HOUR - MICROSECOND)).reason == "EXECUTIONS_TOO_CLOSE"
    assert next_time(service.update(**starting(FIRST + 12 * HOUR))) == FIRST + 12 * HOUR


@pytest.mark.rule("P12")
def test_run_now_and_missed_points_do_not_count(service: PolicyService) -> None:
    service.create(schedule=schedule(catch_up=Schedule.CATCH_UP_NONE))
    service.time.product.set(FIRST + 2 * HOUR)
    service.ack(*service.lease().triggers)
    service.execute()
    start = FIRST + 3 * HOUR
    assert next_time(service.update(**starting(start))) == start


@pytest.mark.rule("P12", "D1")
def test_point_that_an_edit_triggers_counts_and_a_refused_edit_triggers_nothing(service: PolicyService) -> None:
    before = service.create()
    service.time.product.set(FIRST + MINUTE)
    error = error_of(service.update, **starting(FIRST + HOUR))
    assert error.metadata["earliest"] == "2026-03-02T21:00:00Z"
    assert_unchanged(service, before)
    assert history(service) == []
    assert [each.kind for each in service.lease().triggers] == [Trigger.KIND_SCHEDULED]


@pytest.mark.rule("P12", "P18")
def test_days_of_23_hours_and_absolute_hours_are_far_enough_apart(service: PolicyService) -> None:
    start = utc("2026-03-07T06:00")  # 1 o'clock in New York; the clocks are set forward an hour after the next point
    service.create("daily", schedule=schedule(start, time_zone=NEW_YORK))
    service.create("hourly", schedule=schedule(start, 12, Interval.UNIT_HOUR, time_zone=NEW_YORK))
    daily = [from_proto(each.time) for each in service.preview("daily", 3)]
    hourly = [from_proto(each.time) for each in service.preview("hourly", 6)]
    assert daily == [start, start + DAY, start + 2 * DAY - HOUR]
    assert hourly == [start + number * 12 * HOUR for number in range(6)]


# P18


@pytest.mark.rule("P18")
@pytest.mark.parametrize(
    ("zone", "start", "every", "expected"),
    [
        # Clocks are set forward on the 8th of March 2026 at 2, back on the 1st of November at 2.
        (
            NEW_YORK,
            "2026-03-06T14:00",
            (1, Interval.UNIT_DAY),
            ["03-06T14:00", "03-07T14:00", "03-08T13:00", "03-09T13:00"],
        ),
        (NEW_YORK, "2026-10-31T13:00", (1, Interval.UNIT_DAY), ["10-31T13:00", "11-01T14:00", "11-02T14:00"]),
        (NEW_YORK, "2026-03-03T14:00", (1, Interval.UNIT_WEEK), ["03-03T14:00", "03-10T13:00", "03-17T13:00"]),
        # Half past two is skipped: 3 o'clock, the first moment after the gap.
        (NEW_YORK, "2026-03-07T07:30", (1, Interval.UNIT_DAY), ["03-07T07:30", "03-08T07:00", "03-09T06:30"]),
        # Half past one happens twice: the first.
        (NEW_YORK, "2026-10-31T05:30", (1, Interval.UNIT_DAY), ["10-31T05:30", "11-01T05:30", "11-02T06:30"]),
        # Started at the second half past one: that is what was asked for.
        (NEW_YORK, "2026-11-01T06:30", (1, Interval.UNIT_DAY), ["11-01T06:30", "11-02T06:30", "11-03T06:30"]),
        # Hours are absolute.
        (NEW_YORK, "2026-03-07T14:00", (24, Interval.UNIT_HOUR), ["03-07T14:00", "03-08T14:00", "03-09T14:00"]),
        # Half an hour.
        (
            "Australia/Lord_Howe",
            "2026-10-02T15:40",
            (1, Interval.UNIT_DAY),
            ["10-02T15:40", "10-03T15:30", "10-04T15:10"],
        ),
        # No daylight-saving time.
        ("Asia/Shanghai", "2026-03-28T18:30", (1, Interval.UNIT_DAY), ["03-28T18:30", "03-29T18:30", "03-30T18:30"]),
    ],
)
def test_days_and_weeks_keep_the_time_of_day_and_hours_are_absolute(
    service: PolicyService, zone: str, start: str, every: tuple[int, Interval.Unit.ValueType], expected: list[str]
) -> None:
    created = service.create(schedule=schedule(utc(start), *every, time_zone=zone))
    assert created.schedule.time_zone == zone
    assert times_of(service, len(expected)) == [utc(f"2026-{each}") for each in expected]


@pytest.mark.rule("P18")
def test_date_that_clocks_leave_out_has_no_daily_point_and_moves_a_weekly_one(service: PolicyService) -> None:
    service.time.product.set(utc("2011-12-20T00:00"))
    start = utc("2011-12-24T08:00")  # 10 in the evening of the 23rd in Apia, which left out the 30th
    service.create(schedule=schedule(start + 4 * DAY, time_zone="Pacific/Apia"))
    service.create("weekly", schedule=schedule(start, 1, Interval.UNIT_WEEK, time_zone="Pacific/Apia"))
    assert [from_proto(each.time) for each in service.preview("weekly", 3)] == [
        start,
        utc("2011-12-30T10:00"),
        utc("2012-01-06T08:00"),
    ]
    service.disable("weekly")
    daily = [utc(f"2011-12-{day}T08:00") for day in (28, 29, 30, 31)]
    assert [from_proto(each.time) for each in service.preview("nightly", 4)] == daily
    assert times_of(service, 4) == daily
    assert [each.local_time for each in service.preview("nightly", 1)] == ["2012-01-01T22:00:00+14:00"]


@pytest.mark.rule("P18")
@pytest.mark.parametrize(
    "zone", ["Asia/Nowhere", "asia/shanghai", "Factory", "posixrules", "localtime", "../UTC", "UTC+8", "x" * 100]
)
def test_zone_that_does_not_exist_is_refused(service: PolicyService, zone: str) -> None:
    before = service.create()
    for call in (lambda **fields: service.create("other", **fields), service.update):
        error = error_of(call, schedule=schedule(time_zone=zone))
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "TIME_ZONE_UNKNOWN")
        assert [each.field for each in error.violations] == ["policy.schedule.time_zone"]
    assert_unchanged(service, before)
    assert error_of(service.get, "other").code == Code.NOT_FOUND


@pytest.mark.rule("P18")
def test_schedule_ends_with_the_year_9999(service: PolicyService) -> None:
    service.time.product.set(utc("9999-12-28T00:00"))
    service.create(schedule=schedule(utc("9999-12-30T22:00"), time_zone=NEW_YORK))
    assert len(service.preview("nightly", 10)) == 2
    assert times_of(service, 2) == [utc("9999-12-30T22:00"), utc("9999-12-31T22:00")]
    ended = service.get()
    assert (ended.state, next_time(ended)) == (Policy.STATE_DISABLED, None)
    error = error_of(service.enable)
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "SCHEDULE_EXHAUSTED")
    assert error.metadata == {"policy": POLICY}
    assert_unchanged(service, ended)


@pytest.mark.rule("P18")
def test_edit_that_leaves_no_point_is_refused(service: PolicyService) -> None:
    service.time.product.set(utc("9999-12-28T00:00"))
    service.create(schedule=schedule(utc("9999-12-29T00:00")))
    execute(service, utc("9999-12-29T00:00"))
    before = service.get()
    error = error_of(service.update, **interval(3))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "SCHEDULE_EXHAUSTED")
    assert_unchanged(service, before)


# D1 and D4


@pytest.mark.rule("D1", "D4")
@pytest.mark.parametrize(
    ("late", "kind"),
    [(ON_TIME, Kind.SCHEDULED), (ON_TIME + MICROSECOND, Kind.CATCH_UP), (DAY - MICROSECOND, Kind.CATCH_UP)],
)
def test_edit_of_the_schedule_triggers_the_point_that_is_due_as_it_was(
    service: PolicyService, late: timedelta, kind: Kind
) -> None:
    service.create(schedule=schedule(spread=Duration(seconds=60)))
    service.link("web")
    service.time.product.set(FIRST + late)
    updated = service.update(schedule=Schedule(interval=Interval(count=3, unit=Interval.UNIT_DAY), spread=Duration()))
    assert (from_proto(updated.last_execution_time), next_time(updated)) == (FIRST, FIRST + 3 * DAY)
    assert updated.execution_count == 1
    assert history(service) == [(kind, Points(FIRST, FIRST, 1), None)]
    (trigger,) = service.lease().triggers
    assert (from_proto(trigger.trigger_time), len(trigger.associations)) == (FIRST + late, 1)
    assert trigger.spread == Duration(seconds=60)


@pytest.mark.rule("D1", "D4")
def test_edit_settles_by_the_rule_for_missed_points_from_before_it(service: PolicyService) -> None:
    service.create(schedule=schedule(catch_up=Schedule.CATCH_UP_NONE))
    service.time.product.set(FIRST + 2 * DAY + HOUR)
    updated = service.update(schedule=Schedule(catch_up=Schedule.CATCH_UP_LATEST))
    assert (updated.execution_count, next_time(updated)) == (0, FIRST + 3 * DAY)
    missed = Points(FIRST, FIRST + 2 * DAY, 3)
    assert history(service) == [(Kind.MISSED, missed, MissedReason.NOT_TAKEN_UP)]


@pytest.mark.rule("D4", "P10")
def test_edit_triggers_a_last_point_before_its_limit_counts(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    updated = service.update(schedule=Schedule(execution_limit=1))
    assert (updated.execution_count, updated.state) == (1, Policy.STATE_DISABLED)
    assert len(service.lease().triggers) == 1


@pytest.mark.rule("D4")
@pytest.mark.parametrize(
    ("fields", "age", "kind"),
    [
        ({}, ON_TIME, Trigger.KIND_SCHEDULED),
        ({}, ON_TIME + MICROSECOND, Trigger.KIND_CATCH_UP),
        ({"catch_up": Schedule.CATCH_UP_NONE}, ON_TIME, Trigger.KIND_SCHEDULED),
        ({"catch_up": Schedule.CATCH_UP_NONE}, ON_TIME + MICROSECOND, Trigger.KIND_MISSED),
        ({"catch_up_window": Duration(seconds=7200)}, 2 * HOUR, Trigger.KIND_CATCH_UP),
        ({"catch_up_window": Duration(seconds=7200)}, 2 * HOUR + MICROSECOND, Trigger.KIND_MISSED),
        ({"catch_up_window": Duration(seconds=300)}, ON_TIME, Trigger.KIND_SCHEDULED),
        ({"catch_up_window": Duration(seconds=300)}, ON_TIME + MICROSECOND, Trigger.KIND_MISSED),
        ({"catch_up_window": Duration(seconds=365 * 86_400)}, DAY - MICROSECOND, Trigger.KIND_CATCH_UP),
    ],
)
def test_late_point_is_caught_up_or_missed_as_its_policy_says(
    service: PolicyService, fields: dict[str, Any], age: timedelta, kind: Trigger.Kind.ValueType
) -> None:
    service.create(schedule=schedule(**fields))
    service.link("web")
    newest = FIRST + 2 * DAY
    service.time.product.set(newest + age)
    (trigger,) = service.lease().triggers
    assert trigger.kind == kind
    is_run = kind != Trigger.KIND_MISSED
    assert (len(trigger.associations), trigger.HasField("scheduled_time")) == (int(is_run), is_run)
    missed = Points(FIRST, FIRST + DAY, 2) if is_run else Points(FIRST, newest, 3)
    told = Points(from_proto(trigger.missed.first_time), from_proto(trigger.missed.last_time), trigger.missed.count)
    assert told == missed
    expected = [(Kind.MISSED, missed, MissedReason.NOT_TAKEN_UP)]
    after = service.get()
    assert (after.execution_count, after.HasField("last_execution_time")) == (int(is_run), is_run)
    assert next_time(after) == newest + DAY
    assert history(service)[:1] == expected
    assert len(history(service)) == 1 + is_run


@pytest.mark.rule("D4", "P13")
def test_missed_point_does_not_come_back_when_the_clock_goes_back(service: PolicyService) -> None:
    service.create(schedule=schedule(catch_up=Schedule.CATCH_UP_NONE))
    service.time.product.set(FIRST + HOUR)
    service.ack(*service.lease().triggers)
    service.time.product.set(FIRST - MINUTE)
    service.disable()
    assert next_time(service.enable()) == FIRST + DAY


# D6


@pytest.mark.rule("D6")
def test_trigger_carries_the_spread_of_its_moment_and_a_run_now_none(service: PolicyService) -> None:
    service.create(schedule=schedule(spread=Duration(seconds=3600)))
    service.execute()
    service.time.product.set(FIRST)
    scheduled, run = sorted(service.lease().triggers, key=lambda each: each.kind)
    service.update("schedule.spread")
    assert scheduled.spread == Duration(seconds=3600)
    assert (run.kind, run.HasField("spread")) == (Trigger.KIND_RUN_NOW, False)
    assert not service.get().schedule.HasField("spread")


@pytest.mark.rule("D6")
@pytest.mark.parametrize("seconds", [1, 3600])
def test_spread_of_up_to_an_hour_is_kept(service: PolicyService, seconds: int) -> None:
    assert service.create(schedule=schedule(spread=Duration(seconds=seconds))).schedule.spread.seconds == seconds


@pytest.mark.rule("D6")
@pytest.mark.parametrize("spread", [Duration(seconds=3601), Duration(seconds=-1), Duration(seconds=1, nanos=1)])
def test_spread_that_is_longer_negative_or_of_fractions_is_refused(service: PolicyService, spread: Duration) -> None:
    error = error_of(service.create, schedule=schedule(spread=spread))
    assert (error.code, [each.field for each in error.violations]) == (
        Code.INVALID_ARGUMENT,
        ["policy.schedule.spread"],
    )
