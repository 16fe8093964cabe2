"""ListImageTasks on the wire."""

from datetime import timedelta
from typing import Any

import pytest

from autoimage.scheduler.v1.execution_pb2 import ImageTask
from autoimage.scheduler.v1.execution_service_pb2 import (
    ImageTaskFilter,
    ListImageTasksRequest,
    ListImageTasksResponse,
)
from autoimage.type.v1 import reason_pb2
from scheduler_service.domain.tasks import BUILD_DEADLINE, LeftOut
from servicekit.errors import Code, ResourceRef
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.scheduler import World
from tests.support.scheduler_fakes import LOCAL_SYSTEM_DISK, NO_IMAGE_QUOTA, lost_answer
from tests.support.scheduler_values import PLACE, instance_name


def tasks(stub: Any, world: World, **filter: Any) -> list[ImageTask]:
    request = ListImageTasksRequest(parent=world.execution().name, filter=ImageTaskFilter(**filter))
    return list(stub.ListImageTasks(request).image_tasks)


def ids(found: list[ImageTask]) -> list[str]:
    return [task.name.rpartition("/")[2] for task in found]


def test_a_task_is_told_whole_at_each_stage(world: World, stub: Any) -> None:
    world.compute.left_out = (LeftOut("vdc", "LOCAL_DISK"), LeftOut("vdd", "NO_SUCH_DISK"))
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1")
    world.run_until_idle()
    expected = ImageTask(
        name=f"{world.execution().name}/imageTasks/i-1",
        instance=instance_name("i-1"),
        state=ImageTask.STATE_PENDING,
        reason=reason_pb2.REASON_COMPUTE_UNAVAILABLE,
        request_id=world.task().request_id,
        attempt_count=1,
        create_time=to_proto(START),
        planned_start_time=to_proto(START),
    )
    assert tasks(stub, world) == [expected]

    world.pass_time(timedelta(seconds=1))
    world.run_until_idle()
    expected.state = ImageTask.STATE_BUILDING
    expected.reason = reason_pb2.REASON_UNSPECIFIED
    expected.attempt_count = 2
    expected.image = world.compute.image_of("i-1").name
    expected.included_disks.extend(["vda", "vdb"])
    expected.left_out_disks.add(device_name="vdc", reason=reason_pb2.REASON_LOCAL_DISK)
    expected.left_out_disks.add(device_name="vdd", reason=reason_pb2.REASON_NO_SUCH_DISK)
    expected.build_start_time.CopyFrom(to_proto(START))
    assert tasks(stub, world) == [expected]

    world.settle()
    expected.state = ImageTask.STATE_SUCCEEDED
    expected.end_time.CopyFrom(to_proto(world.time.product.now()))
    assert tasks(stub, world) == [expected]


@pytest.mark.rule("X5")
def test_a_late_image_is_told(world: World, stub: Any) -> None:
    world.compute.build_time = timedelta(hours=25)
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(BUILD_DEADLINE)
    world.run_until_idle()
    world.pass_time(timedelta(hours=2))
    world.run_until_idle()
    (task,) = tasks(stub, world)
    assert (task.state, task.reason) == (ImageTask.STATE_FAILED, reason_pb2.REASON_BUILD_TIMEOUT)
    assert task.end_time == to_proto(START + BUILD_DEADLINE)
    assert task.late_image_time == to_proto(START + BUILD_DEADLINE + timedelta(hours=2))


@pytest.mark.rule("X2")
def test_tasks_in_every_state_are_told_and_chosen(world: World, stub: Any) -> None:
    world.compute.build_time = timedelta(seconds=1)
    world.compute.refusals |= {"i-skipped": NO_IMAGE_QUOTA, "i-failed": LOCAL_SYSTEM_DISK}
    instances = ["i-building", "i-cancelled", "i-failed", "i-skipped", "i-succeeded"]
    world.add_trigger(*instances)
    world.disassociate("i-cancelled")
    world.run_until_idle()
    world.compute.finish_at(world.compute.image_of("i-building"), START + timedelta(hours=1))
    world.live(timedelta(seconds=3))
    assert ids(tasks(stub, world)) == instances
    state = ImageTask.State
    assert [task.state for task in tasks(stub, world)] == [
        state.STATE_BUILDING,
        state.STATE_CANCELLED,
        state.STATE_FAILED,
        state.STATE_SKIPPED,
        state.STATE_SUCCEEDED,
    ]
    assert [task.reason for task in tasks(stub, world)] == [
        reason_pb2.REASON_UNSPECIFIED,
        reason_pb2.REASON_DISASSOCIATED,
        reason_pb2.REASON_LOCAL_SYSTEM_DISK,
        reason_pb2.REASON_IMAGE_QUOTA_EXCEEDED,
        reason_pb2.REASON_UNSPECIFIED,
    ]
    assert ids(tasks(stub, world, states=[state.STATE_FAILED])) == ["i-failed"]
    assert ids(tasks(stub, world, states=[state.STATE_SKIPPED, state.STATE_BUILDING])) == ["i-building", "i-skipped"]
    assert tasks(stub, world, states=[state.STATE_PENDING]) == []


def test_a_task_without_a_build_tells_of_no_image(world: World, stub: Any) -> None:
    world.compute.refusals["i-1"] = NO_IMAGE_QUOTA
    world.add_trigger("i-1")
    world.settle()
    (task,) = tasks(stub, world)
    assert (task.image, list(task.included_disks), list(task.left_out_disks)) == ("", [], [])
    assert not task.HasField("build_start_time")
    assert not task.HasField("late_image_time")
    assert task.end_time == to_proto(START)


@pytest.mark.rule("P16")
@pytest.mark.parametrize(("size", "sizes"), [(0, [20, 20, 20, 20, 20]), (40, [40, 40, 20]), (1000, [100])])
def test_pages_neither_repeat_nor_leave_out(world: World, stub: Any, size: int, sizes: list[int]) -> None:
    world.add_trigger(*(f"i-{number}" for number in range(100)))
    world.run_until_idle()
    parent, token = world.execution().name, ""
    seen: list[str] = []
    pages: list[int] = []
    while token or not pages:
        response = stub.ListImageTasks(ListImageTasksRequest(parent=parent, page_size=size, page_token=token))
        pages.append(len(response.image_tasks))
        seen += ids(list(response.image_tasks))
        token = response.next_page_token
    assert pages == sizes
    assert seen == sorted(f"i-{number}" for number in range(100))


@pytest.mark.rule("P16")
def test_a_page_token_belongs_to_its_query(world: World, stub: Any) -> None:
    world.add_trigger("i-1", "i-2")
    world.add_trigger("i-1", "i-2", policy="weekly")
    world.run_until_idle()
    first, second = (execution.name for execution in world.executions())
    token = stub.ListImageTasks(ListImageTasksRequest(parent=first, page_size=1)).next_page_token
    for request in (
        ListImageTasksRequest(parent=second, page_token=token),
        ListImageTasksRequest(parent=first, page_token=token, filter=ImageTaskFilter(states=[ImageTask.STATE_PENDING])),
        ListImageTasksRequest(parent=first, page_token="nonsense"),
    ):
        error = error_of(stub.ListImageTasks, request)
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def test_an_execution_without_tasks_has_an_empty_page(world: World, stub: Any) -> None:
    world.add_trigger()
    world.settle()
    request = ListImageTasksRequest(parent=world.execution().name)
    assert stub.ListImageTasks(request) == ListImageTasksResponse()


def test_tasks_of_an_execution_that_does_not_exist_are_not_found(stub: Any) -> None:
    name = f"{PLACE}/policies/daily/executions/exec-unknown000"
    error = error_of(stub.ListImageTasks, ListImageTasksRequest(parent=name))
    assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": name})
    assert error.resource == ResourceRef("execution", name)
