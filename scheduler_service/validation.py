"""The shape of requests: every violation, not the first. Needs neither the time nor the database."""

from collections.abc import Collection

from autoimage.scheduler.v1.execution_service_pb2 import (
    CancelExecutionRequest,
    GetExecutionRequest,
    GetSchedulerStatusRequest,
    ListExecutionsRequest,
    ListImageTasksRequest,
    PauseRegionRequest,
    PlanRetentionRequest,
    ResumeRegionRequest,
    WatchExecutionsRequest,
)
from servicekit import validation as v
from servicekit.errors import FieldViolation
from servicekit.names import EXECUTION, POLICY, REGION

_MAX_STATES = 20
_MAX_KEEP_DAYS = 36_500
_MAX_KEEP_LAST = 1_000


def get_execution(request: GetExecutionRequest) -> list[FieldViolation]:
    return v.name("name", request.name, EXECUTION)


def list_executions(request: ListExecutionsRequest) -> list[FieldViolation]:
    filter = request.filter
    found = v.page(request) + _parent(request.parent)
    found += _states(filter.states)
    found += v.timestamp("filter.start_time", filter.start_time) + v.timestamp("filter.end_time", filter.end_time)
    return found + v.request_id("filter.run_id", filter.run_id)


def watch_executions(request: WatchExecutionsRequest) -> list[FieldViolation]:
    return _parent(request.parent)


def pause_region(request: PauseRegionRequest) -> list[FieldViolation]:
    return v.name("name", request.name, REGION)


def resume_region(request: ResumeRegionRequest) -> list[FieldViolation]:
    return v.name("name", request.name, REGION)


def cancel_execution(request: CancelExecutionRequest) -> list[FieldViolation]:
    return v.name("name", request.name, EXECUTION)


def _parent(name: str) -> list[FieldViolation]:
    """A policy's name; only the policy's own id may be `-`."""
    ids = POLICY.match(name, wildcards=True)
    if ids is not None and "-" in (ids["account"], ids["region"]):
        return v.fail("parent", "must name one account and one region; only the policy's id may be -")
    return v.name("parent", name, POLICY, wildcards=True)


def list_image_tasks(request: ListImageTasksRequest) -> list[FieldViolation]:
    return v.page(request) + v.name("parent", request.parent, EXECUTION) + _states(request.filter.states)


def _states(states: Collection[int]) -> list[FieldViolation]:
    """Whether their enum has them is looked at before; 0 is no state."""
    found = v.count("filter.states", states, _MAX_STATES)
    for index, state in enumerate(states):
        found += [] if state else v.fail(f"filter.states[{index}]", "must be a state")
    return found


def plan_retention(request: PlanRetentionRequest) -> list[FieldViolation]:
    """0 in a limit means that there is none (P9)."""
    return (
        v.page(request)
        + v.name("parent", request.parent, POLICY)
        + v.within("retention.keep_days", request.retention.keep_days, 0, _MAX_KEEP_DAYS)
        + v.within("retention.keep_last", request.retention.keep_last, 0, _MAX_KEEP_LAST)
    )


def get_scheduler_status(request: GetSchedulerStatusRequest) -> list[FieldViolation]:  # noqa: ARG001 - asks nothing
    return []
