"""Requests about schedules: their previews, and their history."""

from datetime import timedelta

from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from policy_service.convert.schedules import UNITS
from policy_service.domain.schedule import CATCH_UP_WINDOW, COUNTS, MAX_EXECUTION_LIMIT, MAX_SPREAD
from policy_service.validation.names import any_policy
from servicekit import validation as v
from servicekit import zones
from servicekit.names import ACCOUNT_REGION, POLICY

MAX_PREVIEW = 1000
"""Scheduled times that a preview tells at once."""


def preview_schedule(request: policy_service_pb2.PreviewScheduleRequest) -> v.Violations:
    found = (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.name("policy", request.policy, POLICY, parent=request.parent)
        + v.within("count", request.count, 0, MAX_PREVIEW)
    )
    if request.HasField("schedule"):
        return found + schedule("schedule", request.schedule)
    return found if request.policy else found + v.fail("schedule", "is required where no policy is given")


def list_schedule_events(request: policy_service_pb2.ListScheduleEventsRequest) -> v.Violations:
    found = any_policy("parent", request.parent) + v.page(request)
    for index, kind in enumerate(request.filter.kinds):
        if kind == policy_pb2.ScheduleEvent.KIND_UNSPECIFIED:
            found += v.fail(f"filter.kinds[{index}]", "must be a kind of event")
    return found


def schedule(field: str, schedule: policy_pb2.Schedule) -> v.Violations:
    """P4, P10, P18, D4, D6; of the start time P3 says what the clock must say."""
    found = _interval(f"{field}.interval", schedule.interval)
    if schedule.time_zone and not zones.is_zone(schedule.time_zone):
        name = schedule.time_zone[:63]
        found += v.fail(f"{field}.time_zone", f"must be a zone such as Asia/Shanghai, is {name!r}", "TIME_ZONE_UNKNOWN")
    found += v.within(f"{field}.execution_limit", schedule.execution_limit, 0, MAX_EXECUTION_LIMIT)
    if schedule.HasField("catch_up_window"):
        found += v.whole_seconds(f"{field}.catch_up_window", schedule.catch_up_window, *CATCH_UP_WINDOW)
    return found + v.whole_seconds(f"{field}.spread", schedule.spread, timedelta(0), MAX_SPREAD)


def _interval(field: str, interval: policy_pb2.Interval) -> v.Violations:
    """P4."""
    unit = UNITS.get(interval.unit)
    return v.within(f"{field}.count", interval.count, *COUNTS[unit]) if unit is not None else []
