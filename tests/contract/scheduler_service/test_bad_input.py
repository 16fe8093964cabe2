"""Each field of each request, wrong in each way."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from autoimage.scheduler.v1.execution_pb2 import Execution, ImageTask
from autoimage.scheduler.v1.execution_service_pb2 import (
    CancelExecutionRequest,
    ExecutionFilter,
    GetExecutionRequest,
    ImageTaskFilter,
    ListExecutionsRequest,
    ListImageTasksRequest,
    PauseRegionRequest,
    PlanRetentionRequest,
    ResumeRegionRequest,
    WatchExecutionsRequest,
)
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.errors import Code, ServiceError
from tests.support import error_of
from tests.support.scheduler import World
from tests.support.scheduler_values import PLACE

POLICY = f"{PLACE}/policies/daily"
REGION = "regions/cn-north-1"
EXECUTION = f"{POLICY}/executions/exec-0123456789"
ELSEWHERE = "accounts/acme/regions/mars-1/policies/daily"
DAY = timedelta(days=1)
NO_STATE = Execution.STATE_UNSPECIFIED
BAD_TIME = Timestamp(seconds=253_402_300_800)
BEFORE_YEAR_1 = Timestamp(seconds=-62_135_596_801)


def wrong_names(good: str) -> list[str]:
    kinds = {"accounts/acme", PLACE, POLICY, EXECUTION, f"{EXECUTION}/imageTasks/web", f"{PLACE}/instances/web"}
    malformed = ["", "nonsense", f"{good}/", good.upper(), f"{good}\x00", f"{good}\n", f"{good}/more", "x" * 1000]
    return [*malformed, *sorted(kinds - {good})]


def executions(**filter: Any) -> ListExecutionsRequest:
    return ListExecutionsRequest(parent=POLICY, filter=ExecutionFilter(**filter))


def tasks(**filter: Any) -> ListImageTasksRequest:
    return ListImageTasksRequest(parent=EXECUTION, filter=ImageTaskFilter(**filter))


def plan(**retention: Any) -> PlanRetentionRequest:
    return PlanRetentionRequest(parent=POLICY, retention=Retention(**retention))


def refused(stub: Any, method: str, request: Message) -> ServiceError:
    """A stream tells its error to who reads it."""
    call = getattr(stub, method)
    return error_of(lambda: list(call(request)) if method == "WatchExecutions" else call(request))


CASES: list[tuple[str, Message, list[str]]] = [
    *(("GetExecution", GetExecutionRequest(name=name), ["name"]) for name in wrong_names(EXECUTION)),
    *(("ListExecutions", ListExecutionsRequest(parent=name), ["parent"]) for name in wrong_names(POLICY)),
    *(("ListImageTasks", ListImageTasksRequest(parent=name), ["parent"]) for name in wrong_names(EXECUTION)),
    *(("CancelExecution", CancelExecutionRequest(name=name), ["name"]) for name in wrong_names(EXECUTION)),
    *(("WatchExecutions", WatchExecutionsRequest(parent=name), ["parent"]) for name in wrong_names(POLICY)),
    *(("PauseRegion", PauseRegionRequest(name=name), ["name"]) for name in [*wrong_names(REGION), "regions/-"]),
    *(("ResumeRegion", ResumeRegionRequest(name=name), ["name"]) for name in [*wrong_names(REGION), PLACE]),
    ("CancelExecution", CancelExecutionRequest(name=f"{POLICY}/executions/-"), ["name"]),
    ("WatchExecutions", WatchExecutionsRequest(parent="accounts/-/regions/-/policies/-"), ["parent"]),
    ("WatchExecutions", WatchExecutionsRequest(parent=POLICY, resume_token="?"), ["resume_token"]),
    ("GetExecution", GetExecutionRequest(name=f"{POLICY}/executions/-"), ["name"]),
    ("GetExecution", GetExecutionRequest(name=f"{PLACE}/policies/-/executions/exec-0123456789"), ["name"]),
    ("ListImageTasks", ListImageTasksRequest(parent=f"{POLICY}/executions/-"), ["parent"]),
    ("ListExecutions", ListExecutionsRequest(parent="accounts/-/regions/-/policies/-"), ["parent"]),
    ("ListExecutions", ListExecutionsRequest(parent="accounts/-/regions/cn-north-1/policies/daily"), ["parent"]),
    ("ListExecutions", ListExecutionsRequest(parent="accounts/acme/regions/-/policies/-"), ["parent"]),
    *(("ListExecutions", executions(start_time=wrong), ["filter.start_time"]) for wrong in (BAD_TIME, BEFORE_YEAR_1)),
    ("ListExecutions", executions(end_time=Timestamp(nanos=-1)), ["filter.end_time"]),
    ("ListExecutions", executions(run_id="123e4567-e89b-42d3-a456-42661417400"), ["filter.run_id"]),
    ("ListExecutions", executions(states=[99]), ["filter.states[0]"]),
    ("ListExecutions", executions(states=[2, 0]), ["filter.states[1]"]),
    ("ListExecutions", executions(states=[1] * 21), ["filter.states"]),
    ("ListImageTasks", tasks(states=[99]), ["filter.states[0]"]),
    ("ListImageTasks", tasks(states=[0, 1]), ["filter.states[0]"]),
    ("ListImageTasks", tasks(states=[1] * 21), ["filter.states"]),
    ("ListExecutions", ListExecutionsRequest(parent=POLICY, page_size=-1), ["page_size"]),
    ("ListImageTasks", ListImageTasksRequest(parent=EXECUTION, page_size=-1), ["page_size"]),
    ("ListExecutions", ListExecutionsRequest(parent=POLICY, page_token="?"), ["page_token"]),
    ("ListExecutions", ListExecutionsRequest(parent=POLICY, page_token="x" * 5000), ["page_token"]),
    *(("PlanRetention", PlanRetentionRequest(parent=name), ["parent"]) for name in wrong_names(POLICY)),
    ("PlanRetention", PlanRetentionRequest(parent=f"{PLACE}/policies/-"), ["parent"]),
    ("PlanRetention", PlanRetentionRequest(parent=POLICY, page_size=-1), ["page_size"]),
    ("PlanRetention", PlanRetentionRequest(parent=POLICY, page_token="?"), ["page_token"]),
    ("PlanRetention", plan(keep_days=-1), ["retention.keep_days"]),
    ("PlanRetention", plan(keep_days=36_501), ["retention.keep_days"]),
    ("PlanRetention", plan(keep_last=-1), ["retention.keep_last"]),
    ("PlanRetention", plan(keep_last=1_001), ["retention.keep_last"]),
    (
        "PlanRetention",
        PlanRetentionRequest(parent="x", page_size=-1, retention=Retention(keep_days=-1, keep_last=2**31 - 1)),
        ["page_size", "parent", "retention.keep_days", "retention.keep_last"],
    ),
    (
        "ListExecutions",
        ListExecutionsRequest(
            page_size=-1, filter=ExecutionFilter(start_time=BAD_TIME, end_time=BAD_TIME, run_id="x", states=[NO_STATE])
        ),
        ["filter.end_time", "filter.run_id", "filter.start_time", "filter.states[0]", "page_size", "parent"],
    ),
    (
        "ListImageTasks",
        ListImageTasksRequest(parent="x", page_size=-1, filter=ImageTaskFilter(states=[ImageTask.STATE_UNSPECIFIED])),
        ["filter.states[0]", "page_size", "parent"],
    ),
]


@pytest.mark.parametrize(("method", "request_", "fields"), CASES)
def test_every_wrong_field_is_told_at_once(stub: Any, method: str, request_: Message, fields: list[str]) -> None:
    error = refused(stub, method, request_)
    assert error.code is Code.INVALID_ARGUMENT
    assert sorted(violation.field for violation in error.violations) == fields


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetExecution", GetExecutionRequest(name=f"{ELSEWHERE}/executions/exec-0123456789")),
        ("ListExecutions", ListExecutionsRequest(parent=ELSEWHERE)),
        ("ListImageTasks", ListImageTasksRequest(parent=f"{ELSEWHERE}/executions/exec-0123456789")),
        ("CancelExecution", CancelExecutionRequest(name=f"{ELSEWHERE}/executions/exec-0123456789")),
        ("WatchExecutions", WatchExecutionsRequest(parent=ELSEWHERE)),
        ("PauseRegion", PauseRegionRequest(name="regions/mars-1")),
        ("ResumeRegion", ResumeRegionRequest(name="regions/mars-1")),
        ("PlanRetention", PlanRetentionRequest(parent=ELSEWHERE)),
    ],
)
def test_a_region_that_is_not_served_is_refused(stub: Any, method: str, request_: Message) -> None:
    error = refused(stub, method, request_)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")


@pytest.mark.parametrize("run_id", ["123E4567-e89b-12d3-a456-426614174000", "00000000-0000-7000-8000-000000000000"])
def test_a_run_may_have_a_uuid_of_any_version(stub: Any, run_id: str) -> None:
    assert list(stub.ListExecutions(executions(run_id=run_id)).executions) == []


def test_a_filter_may_reach_back_before_1970_and_on_to_the_end_of_9999(world: World, stub: Any) -> None:
    world.add_trigger("i-1")
    world.settle()
    before_1970, last = Timestamp(seconds=-1), Timestamp(seconds=BAD_TIME.seconds - 1, nanos=999_999_999)
    first = Timestamp(seconds=BEFORE_YEAR_1.seconds + 1)
    assert len(stub.ListExecutions(executions(start_time=first, end_time=last)).executions) == 1
    assert list(stub.ListExecutions(executions(end_time=before_1970)).executions) == []
    assert list(stub.ListExecutions(executions(start_time=last)).executions) == []


def test_page_tokens_of_other_lists_and_other_parents_are_refused(world: World, stub: Any) -> None:
    for _ in range(2):
        world.add_trigger("i-1", "i-2")
        world.settle()
        world.time.product.advance(DAY)
    names = [execution.name for execution in stub.ListExecutions(executions()).executions]
    lists: list[ListExecutionsRequest | ListImageTasksRequest] = [
        ListExecutionsRequest(parent=POLICY, page_size=1),
        *(ListImageTasksRequest(parent=name, page_size=1) for name in names),
        ListImageTasksRequest(parent=names[0], page_size=1, filter=ImageTaskFilter(states=[ImageTask.STATE_SUCCEEDED])),
    ]
    calls = [getattr(stub, request.DESCRIPTOR.name.removesuffix("Request")) for request in lists]
    tokens = [call(request).next_page_token for call, request in zip(calls, lists, strict=True)]
    assert len(set(tokens)) == len(lists) == 4
    for call, request, own in zip(calls, lists, tokens, strict=True):
        for token in {*tokens} - {own}:
            request.page_token = token
            error = error_of(call, request)
            assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
            assert [violation.field for violation in error.violations] == ["page_token"]
