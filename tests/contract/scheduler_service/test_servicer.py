"""The servicer without a network: what reaches the wire from each method, under grpcio-testing."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message

from autoimage.scheduler.v1 import execution_service_pb2 as pb
from autoimage.type.v1 import retention_pb2
from scheduler_service.servicer import ExecutionServicer
from scheduler_service.steps.take_up import take_up
from tests.support.scheduler import World
from tests.support.scheduler_values import PLACE

POLICY = f"{PLACE}/policies/daily"
UNKNOWN = f"{POLICY}/executions/exec-0"
SERVICE = pb.DESCRIPTOR.services_by_name["ExecutionService"]
Invoke = Callable[[Message], tuple[Any, grpc.StatusCode, str]]


@pytest.fixture
def invoke(world: World) -> Invoke:
    """Response, code and message of a call; its method follows from the request's type."""
    servicer = ExecutionServicer(world.deps, frozenset({"cn-north-1"}))
    server = grpc_testing.server_from_dictionary({SERVICE: servicer}, grpc_testing.strict_real_time())

    def call(request: Message) -> tuple[Any, grpc.StatusCode, str]:
        method = SERVICE.methods_by_name[request.DESCRIPTOR.name.removesuffix("Request")]
        response, _, code, details = server.invoke_unary_unary(method, (), request, None).termination()
        return response, code, details

    return call


def test_every_method_answers(world: World, invoke: Invoke) -> None:
    world.add_trigger("i-1")
    world.settle()
    name = world.execution().name
    execution, code, _ = invoke(pb.GetExecutionRequest(name=name))
    assert (execution.name, code) == (name, grpc.StatusCode.OK)
    assert invoke(pb.ListExecutionsRequest(parent=POLICY))[0] == pb.ListExecutionsResponse(executions=[execution])
    (task,) = invoke(pb.ListImageTasksRequest(parent=name))[0].image_tasks
    assert task.name == f"{name}/imageTasks/i-1"
    (verdict,) = invoke(pb.PlanRetentionRequest(parent=POLICY))[0].retention_verdicts
    assert (verdict.image, verdict.verdict) == (task.image, pb.RetentionVerdict.VERDICT_KEEP_FOREVER)
    assert invoke(pb.GetSchedulerStatusRequest())[0].HasField("last_poll_time")
    assert invoke(pb.CancelExecutionRequest(name=name))[0] == execution
    region = "regions/cn-north-1"
    assert invoke(pb.PauseRegionRequest(name=region))[0].paused
    assert invoke(pb.ResumeRegionRequest(name=region))[0] == pb.RegionStatus(name=region)


def test_a_watch_answers_until_its_reader_leaves(world: World) -> None:
    servicer = ExecutionServicer(world.deps, frozenset({"cn-north-1"}))
    server = grpc_testing.server_from_dictionary({SERVICE: servicer}, grpc_testing.strict_real_time())
    method = SERVICE.methods_by_name["WatchExecutions"]
    call = server.invoke_unary_stream(method, (), pb.WatchExecutionsRequest(parent=POLICY), None)
    assert list(call.take_response().executions) == []
    world.add_trigger()
    take_up(world.deps)
    assert [execution.name for execution in call.take_response().executions] == [world.execution().name]
    call.cancel()


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (pb.GetExecutionRequest(name=UNKNOWN), "NOT_FOUND", f"execution {UNKNOWN} does not exist"),
        (pb.CancelExecutionRequest(name=UNKNOWN), "NOT_FOUND", f"execution {UNKNOWN} does not exist"),
        (
            pb.PauseRegionRequest(name="regions/mars-1"),
            "INVALID_ARGUMENT",
            "invalid request: name: region mars-1 is not served here",
        ),
        (pb.ResumeRegionRequest(), "INVALID_ARGUMENT", "invalid request: name: is required"),
        (pb.ListImageTasksRequest(parent=UNKNOWN), "NOT_FOUND", f"execution {UNKNOWN} does not exist"),
        (pb.GetExecutionRequest(), "INVALID_ARGUMENT", "invalid request: name: is required"),
        (
            pb.PlanRetentionRequest(parent=POLICY, retention=retention_pb2.Retention(keep_last=1001)),
            "INVALID_ARGUMENT",
            "invalid request: retention.keep_last: must be from 0 to 1000, is 1001",
        ),
        (
            pb.ListExecutionsRequest(parent=POLICY, page_size=-1),
            "INVALID_ARGUMENT",
            "invalid request: page_size: must not be negative",
        ),
        (
            pb.ListExecutionsRequest(parent="accounts/a/regions/b/policies/-"),
            "INVALID_ARGUMENT",
            "invalid request: parent: region b is not served here",
        ),
    ],
)
def test_every_refusal_has_its_code_and_message(invoke: Invoke, request_: Message, code: str, message: str) -> None:
    assert invoke(request_)[1:] == (grpc.StatusCode[code], message)
