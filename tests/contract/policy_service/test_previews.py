"""PreviewSchedule: what is to come of a policy, of a policy with another schedule, and of a schedule alone."""

from datetime import datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from autoimage.policy.v1.policy_pb2 import Interval, Policy, Schedule
from autoimage.policy.v1.policy_service_pb2 import PreviewedTime, PreviewScheduleRequest
from servicekit.errors import Code
from servicekit.timestamps import from_proto, to_proto
from servicekit.zones import VERSION
from tests.support import START, error_of
from tests.support.policy_service import FIRST, PLACE, PolicyService, policy_name, schedule

MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NEW_YORK = "America/New_York"


def times(found: list[PreviewedTime]) -> list[datetime]:
    return [from_proto(each.time) for each in found]


def daily(first: datetime, count: int) -> list[datetime]:
    return [first + number * DAY for number in range(count)]


def new_york(time: str, local: str, **fields: object) -> PreviewedTime:
    """4 hours behind UTC; or 5, if so said."""
    offset = Duration(seconds=int(local[-6:-3]) * 3600)
    moment = to_proto(datetime.fromisoformat(f"{time}+00:00"))
    return PreviewedTime(time=moment, local_time=local, utc_offset=offset, **fields)  # type: ignore[arg-type]


def test_times_are_told_in_utc_and_on_the_clocks_of_the_zone_with_what_their_changes_do(service: PolicyService) -> None:
    start = datetime.fromisoformat("2026-03-07T07:30+00:00")
    assert service.preview(schedule=schedule(start, time_zone=NEW_YORK), count=3) == [
        new_york("2026-03-07T07:30", "2026-03-07T02:30:00-05:00"),
        new_york(
            "2026-03-08T07:00", "2026-03-08T03:00:00-04:00", utc_offset_changed=True, shift=PreviewedTime.SHIFT_GAP
        ),
        new_york("2026-03-09T06:30", "2026-03-09T02:30:00-04:00"),
    ]
    start = datetime.fromisoformat("2026-10-25T05:30+00:00")
    weekly = schedule(start, 1, Interval.UNIT_WEEK, time_zone=NEW_YORK)
    assert service.preview(schedule=weekly, count=3) == [
        new_york("2026-10-25T05:30", "2026-10-25T01:30:00-04:00"),
        new_york("2026-11-01T05:30", "2026-11-01T01:30:00-04:00", shift=PreviewedTime.SHIFT_FOLD),
        new_york("2026-11-08T06:30", "2026-11-08T01:30:00-05:00", utc_offset_changed=True),
    ]
    hourly = schedule(start, 84, Interval.UNIT_HOUR, time_zone=NEW_YORK)
    assert service.preview(schedule=hourly, count=3)[1:] == [
        new_york("2026-10-28T17:30", "2026-10-28T13:30:00-04:00"),
        new_york("2026-11-01T05:30", "2026-11-01T01:30:00-04:00"),
    ]


def test_start_at_the_second_of_two_equal_times_is_taken_at_its_word(service: PolicyService) -> None:
    start = datetime.fromisoformat("2026-11-01T06:30+00:00")
    assert service.preview(schedule=schedule(start, time_zone=NEW_YORK), count=2) == [
        new_york("2026-11-01T06:30", "2026-11-01T01:30:00-05:00"),
        new_york("2026-11-02T06:30", "2026-11-02T01:30:00-05:00"),
    ]


def test_version_of_the_time_zones_is_told(service: PolicyService) -> None:
    request = PreviewScheduleRequest(parent=PLACE, schedule=schedule())
    assert service.policies.PreviewSchedule(request).time_zone_data_version == VERSION


def test_change_of_offset_is_told_of_the_first_time_too_if_there_was_one_before(service: PolicyService) -> None:
    start = datetime.fromisoformat("2026-03-07T14:00+00:00")
    service.create(schedule=schedule(start, time_zone=NEW_YORK))
    assert [each.utc_offset_changed for each in service.preview("nightly", 3)] == [False, True, False]
    service.time.product.set(start)
    service.lease()
    assert [each.utc_offset_changed for each in service.preview("nightly", 2)] == [True, False]


@pytest.mark.parametrize(("count", "expected"), [(0, 10), (1, 1), (1000, 1000)])
def test_ten_times_are_told_unless_asked_for_more_or_less(service: PolicyService, count: int, expected: int) -> None:
    assert times(service.preview(schedule=schedule(), count=count)) == daily(FIRST, expected)


def test_limit_ends_the_times(service: PolicyService) -> None:
    limited = schedule(execution_limit=3)
    assert times(service.preview(schedule=limited)) == daily(FIRST, 3)
    service.create(schedule=limited)
    service.time.product.set(FIRST)
    service.lease()
    assert times(service.preview("nightly")) == daily(FIRST + DAY, 2)
    service.disable()
    assert times(service.preview("nightly")) == daily(FIRST + DAY, 3)
    service.enable()
    service.time.product.set(FIRST + DAY)
    service.lease()
    assert service.preview("nightly", schedule=schedule(execution_limit=1)) == []


def test_policy_alone_is_taken_as_it_is_with_what_is_due_settled(service: PolicyService) -> None:
    created = service.create()
    assert times(service.preview("nightly", 2)) == daily(FIRST, 2)
    service.time.product.set(FIRST + 2 * DAY)
    assert times(service.preview("nightly", 2)) == daily(FIRST + 3 * DAY, 2)
    assert service.get() == created
    assert service.ledger(created.uid) == []


def test_disabled_policy_is_taken_as_if_it_were_enabled_now(service: PolicyService) -> None:
    before = service.create(state=Policy.STATE_DISABLED)
    service.time.product.set(FIRST + HOUR)
    assert times(service.preview("nightly", 2)) == daily(FIRST + DAY, 2)
    assert times(service.preview("nightly", 2, schedule(count=2))) == [FIRST + 2 * DAY, FIRST + 4 * DAY]
    assert service.get() == before


def test_policy_with_another_schedule_is_taken_as_an_update_would_leave_it(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.lease()
    before = service.get()
    service.time.product.set(FIRST + HOUR)
    wanted = schedule(count=2)
    previewed = times(service.preview("nightly", 2, wanted))
    assert service.get() == before
    assert previewed == [FIRST + 2 * DAY, FIRST + 4 * DAY]
    assert from_proto(service.update("schedule", schedule=wanted).next_execution_time) == previewed[0]


def test_schedule_alone_is_checked_as_on_create(service: PolicyService) -> None:
    error = error_of(service.preview, schedule=schedule(timedelta(minutes=30) - MICROSECOND))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "START_TIME_OUT_OF_RANGE")
    assert [each.field for each in error.violations] == ["schedule.start_time"]
    assert times(service.preview(schedule=schedule(timedelta(minutes=30)), count=1)) == [START + timedelta(minutes=30)]


def test_schedule_for_a_policy_is_checked_as_on_update(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.lease()
    close = error_of(service.preview, "nightly", schedule=schedule(FIRST + HOUR))
    assert (close.reason, close.metadata["earliest"]) == ("EXECUTIONS_TOO_CLOSE", "2026-03-02T21:00:00Z")
    early = error_of(service.preview, "nightly", schedule=schedule(FIRST + timedelta(minutes=1)))
    assert (early.reason, early.violations[0].field) == ("START_TIME_OUT_OF_RANGE", "schedule.start_time")
    assert len(service.preview("nightly", 3, schedule(count=3))) == 3


def test_unknown_policy_is_not_found(service: PolicyService) -> None:
    error = error_of(service.preview, "unknown")
    assert (error.code, error.reason) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert error.resource is not None
    assert error.resource.name == policy_name("unknown")


def test_end_of_the_year_9999_ends_the_times(service: PolicyService) -> None:
    service.time.product.set(datetime.fromisoformat("9999-12-28T00:00+00:00"))
    last = datetime.fromisoformat("9999-12-31T11:00+00:00")
    hourly = schedule(last - DAY, 12, Interval.UNIT_HOUR, time_zone="Pacific/Kiritimati")
    # At 11 o'clock UTC of the last day the clocks of Kiritimati would show the year 10000.
    assert times(service.preview(schedule=hourly)) == [last - DAY, last - DAY / 2]
    assert times(service.preview(schedule=schedule(last - DAY))) == [last - DAY, last]


def test_preview_needs_a_policy_or_a_schedule(service: PolicyService) -> None:
    error = error_of(service.policies.PreviewSchedule, PreviewScheduleRequest(parent=PLACE))
    assert (error.code, [each.field for each in error.violations]) == (Code.INVALID_ARGUMENT, ["schedule"])


def test_all_that_is_wrong_with_a_schedule_is_told_at_once(service: PolicyService) -> None:
    wrong = Schedule(
        interval=Interval(count=11, unit=Interval.UNIT_HOUR),
        time_zone="nowhere",
        execution_limit=-1,
        catch_up_window=Duration(seconds=299),
        spread=Duration(seconds=3601),
    )
    error = error_of(service.preview, schedule=wrong, count=1001)
    assert {each.field for each in error.violations} == {
        "count",
        "schedule.start_time",
        "schedule.interval.count",
        "schedule.time_zone",
        "schedule.execution_limit",
        "schedule.catch_up_window",
        "schedule.spread",
    }
