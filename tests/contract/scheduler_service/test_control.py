"""CancelExecution, PauseRegion and ResumeRegion on the wire."""

from datetime import timedelta
from typing import Any

import pytest

from autoimage.scheduler.v1.execution_pb2 import Execution, ImageTask, TaskCounts
from autoimage.scheduler.v1.execution_service_pb2 import (
    CancelExecutionRequest,
    GetExecutionRequest,
    GetSchedulerStatusRequest,
    ListImageTasksRequest,
    PauseRegionRequest,
    RegionStatus,
    ResumeRegionRequest,
)
from autoimage.type.v1 import reason_pb2
from scheduler_service.steps.take_up import take_up
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.scheduler import World
from tests.support.scheduler_values import PLACE

UNKNOWN = f"{PLACE}/policies/daily/executions/exec-0"
NORTH, SOUTH = "regions/cn-north-1", "regions/cn-south-1"


@pytest.mark.rule("X6")
def test_a_cancelled_execution_is_over_when_compute_has_settled_what_was_not_begun(world: World, stub: Any) -> None:
    world.add_trigger("i-1", "i-2")
    take_up(world.deps)
    name = world.execution().name
    cancelled = stub.CancelExecution(CancelExecutionRequest(name=name))
    assert (cancelled.state, cancelled.task_counts) == (Execution.STATE_RUNNING, TaskCounts(total=2, open=2))
    assert in_states(stub, name) == {(ImageTask.STATE_PENDING, reason_pb2.REASON_EXECUTION_CANCELLED)}
    world.run_until_idle()
    over = stub.GetExecution(GetExecutionRequest(name=name))
    assert (over.state, over.task_counts) == (Execution.STATE_CANCELLED, TaskCounts(total=2, cancelled=2))
    assert stub.CancelExecution(CancelExecutionRequest(name=name)) == over
    assert in_states(stub, name) == {(ImageTask.STATE_CANCELLED, reason_pb2.REASON_EXECUTION_CANCELLED)}


def in_states(stub: Any, execution: str) -> set[tuple[int, int]]:
    """The states of its image tasks, with their reasons."""
    tasks = stub.ListImageTasks(ListImageTasksRequest(parent=execution)).image_tasks
    return {(task.state, task.reason) for task in tasks}


def test_an_unknown_execution_cannot_be_cancelled(stub: Any) -> None:
    error = error_of(stub.CancelExecution, CancelExecutionRequest(name=UNKNOWN))
    assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": UNKNOWN})


def paused(stub: Any) -> list[RegionStatus]:
    return list(stub.GetSchedulerStatus(GetSchedulerStatusRequest()).paused_regions)


def test_a_region_is_paused_until_it_is_resumed_however_often_it_is_asked(world: World, stub: Any) -> None:
    north = RegionStatus(name=NORTH, paused=True, pause_time=to_proto(START))
    assert stub.PauseRegion(PauseRegionRequest(name=NORTH)) == north
    world.pass_time(timedelta(hours=1))
    south = stub.PauseRegion(PauseRegionRequest(name=SOUTH))
    assert south == RegionStatus(name=SOUTH, paused=True, pause_time=to_proto(START + timedelta(hours=1)))
    assert stub.PauseRegion(PauseRegionRequest(name=NORTH)) == north
    assert paused(stub) == [north, south]
    for _ in range(2):
        assert stub.ResumeRegion(ResumeRegionRequest(name=NORTH)) == RegionStatus(name=NORTH)
        assert paused(stub) == [south]


@pytest.mark.rule("X7")
def test_what_waits_in_a_paused_region_is_begun_when_it_is_resumed(world: World, stub: Any) -> None:
    stub.PauseRegion(PauseRegionRequest(name=NORTH))
    world.add_trigger("i-1")
    world.run_until_idle()
    assert world.compute.creates == []
    due = stub.GetSchedulerStatus(GetSchedulerStatusRequest()).next_due_time
    assert due == to_proto(START + timedelta(hours=1, microseconds=1)), "what waits is nothing to do now"
    stub.ResumeRegion(ResumeRegionRequest(name=NORTH))
    world.run_until_idle()
    assert world.outcomes() == [("i-1", "BUILDING", "")]
