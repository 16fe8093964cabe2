"""GetExecution and ListExecutions on the wire."""

from datetime import timedelta
from typing import Any

import pytest

from autoimage.scheduler.v1.execution_pb2 import Execution, TaskCounts
from autoimage.scheduler.v1.execution_service_pb2 import (
    ExecutionFilter,
    GetExecutionRequest,
    ListExecutionsRequest,
    ListExecutionsResponse,
)
from autoimage.type.v1 import missed_pb2, reason_pb2
from scheduler_service.domain import executions as domain
from scheduler_service.domain.executions import Kind, Missed
from scheduler_service.store import executions as store
from servicekit.errors import Code, FieldViolation, ResourceRef
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.scheduler import World
from tests.support.scheduler_fakes import NO_IMAGE_QUOTA
from tests.support.scheduler_values import PLACE, TOPIC, an_execution, uid

POLICY = f"{PLACE}/policies/daily"
ANY = f"{PLACE}/policies/-"
SECOND = timedelta(seconds=1)


def put(world: World, *executions: domain.Execution) -> None:
    """Executions that nobody's trigger asked for, as they might have been long ago."""
    with world.database.write() as connection:
        store.insert(connection, executions, {execution.place: 1 for execution in executions})


def over(policy: str = "daily", **changes: Any) -> domain.Execution:
    """An execution that is over and was logged nowhere."""
    ended = {"state": domain.ExecutionState.SUCCEEDED, "counts": domain.TaskCounts(), "end_time": START}
    return an_execution(policy, log_topic="", **ended | changes)


def several(number: int) -> list[domain.Execution]:
    """Newest first."""
    return [over(scheduled_time=START - index * SECOND) for index in range(number)]


def names(response: ListExecutionsResponse) -> list[str]:
    return [execution.name for execution in response.executions]


def listed(stub: Any, parent: str = POLICY, **filter: Any) -> list[str]:
    return names(stub.ListExecutions(ListExecutionsRequest(parent=parent, filter=ExecutionFilter(**filter))))


# GetExecution


def test_an_execution_is_told_whole(world: World, stub: Any) -> None:
    run = uid("run")
    world.compute.refusals["i-2"] = NO_IMAGE_QUOTA
    world.add_trigger("i-1", "i-2", kind=Kind.RUN_NOW, run_id=run, triggered=START - SECOND)
    world.settle()
    name = world.execution().name
    assert stub.GetExecution(GetExecutionRequest(name=name)) == Execution(
        name=name,
        policy_uid=uid("daily"),
        kind=Execution.KIND_RUN_NOW,
        state=Execution.STATE_PARTIALLY_SUCCEEDED,
        scheduled_time=to_proto(START),
        run_id=run,
        trigger_time=to_proto(START - SECOND),
        start_time=to_proto(START),
        end_time=to_proto(world.time.product.now()),
        task_counts=TaskCounts(total=2, succeeded=1, skipped=1),
        log_topic=TOPIC,
    )


def test_a_running_execution_has_no_end(world: World, stub: Any) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    execution = stub.GetExecution(GetExecutionRequest(name=world.execution().name))
    assert (execution.state, execution.kind) == (Execution.STATE_RUNNING, Execution.KIND_SCHEDULED)
    assert not execution.HasField("end_time")
    assert execution.task_counts == TaskCounts(total=1, open=1)


@pytest.mark.rule("D4")
def test_missed_points_are_told(world: World, stub: Any) -> None:
    world.add_trigger(kind=Kind.MISSED, missed=Missed(START - 2 * SECOND, START - SECOND, 2, "POLICY_DISABLED"))
    world.settle()
    execution = stub.GetExecution(GetExecutionRequest(name=world.execution().name))
    assert (execution.kind, execution.state) == (Execution.KIND_MISSED, Execution.STATE_MISSED)
    assert execution.scheduled_time == to_proto(START - 2 * SECOND)
    assert execution.missed == missed_pb2.MissedPoints(
        first_time=to_proto(START - 2 * SECOND),
        last_time=to_proto(START - SECOND),
        count=2,
        reason=reason_pb2.REASON_POLICY_DISABLED,
    )


def test_every_state_and_kind_has_a_word_in_the_contract(world: World, stub: Any) -> None:
    states, kinds = list(domain.ExecutionState), list(domain.Kind)
    put(
        world,
        *(
            an_execution(uid(state), policy_id="p", policy_uid=uid(state), state=state, log_topic="")
            for state in states
        ),
        *(an_execution(uid(kind), policy_id="q", policy_uid=uid(kind), kind=kind, log_topic="") for kind in kinds),
    )
    found = [stub.ListExecutions(ListExecutionsRequest(parent=f"{PLACE}/policies/{id}")).executions for id in "pq"]
    assert sorted(execution.state for execution in found[0]) == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(execution.kind for execution in found[1]) == [1, 2, 3, 4]
    with world.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM executions")  # made up: not for the world to judge


@pytest.mark.parametrize("place", [PLACE, "accounts/other/regions/cn-north-1", "accounts/acme/regions/cn-south-1"])
def test_an_execution_that_does_not_exist_there_is_not_found(world: World, stub: Any, place: str) -> None:
    put(world, over())
    known = world.execution().execution_id
    name = f"{place}/policies/daily/executions/{'exec-unknown000' if place == PLACE else known}"
    error = error_of(stub.GetExecution, GetExecutionRequest(name=name))
    assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": name})
    assert error.resource == ResourceRef("execution", name)


# ListExecutions


def test_executions_are_listed_newest_scheduled_time_first(world: World, stub: Any) -> None:
    made = several(3)
    put(world, *made[1:], made[0])
    response = stub.ListExecutions(ListExecutionsRequest(parent=POLICY))
    assert names(response) == [execution.name for execution in made]
    assert response.next_page_token == ""
    assert response.executions[0] == stub.GetExecution(GetExecutionRequest(name=made[0].name))


def test_a_place_without_executions_has_an_empty_page(world: World, stub: Any) -> None:
    assert stub.ListExecutions(ListExecutionsRequest(parent=ANY)) == ListExecutionsResponse()


@pytest.mark.rule("P15")
def test_a_dash_lists_the_executions_of_all_policies_of_the_place_deleted_ones_too(world: World, stub: Any) -> None:
    daily, weekly = over("daily"), over("weekly", scheduled_time=START - SECOND)
    foreign = over("foreign", account="other")
    elsewhere = over("elsewhere", region="cn-south-1")
    put(world, daily, weekly, foreign, elsewhere)
    assert listed(stub, ANY) == [daily.name, weekly.name]
    assert listed(stub, f"{PLACE}/policies/weekly") == [weekly.name]
    assert listed(stub, "accounts/other/regions/cn-north-1/policies/-") == [foreign.name]
    assert listed(stub, f"{PLACE}/policies/never-was") == []


@pytest.mark.rule("P16")
@pytest.mark.parametrize(("size", "sizes"), [(0, [20, 20, 20, 20, 20, 5]), (50, [50, 50, 5]), (101, [100, 5])])
def test_pages_neither_repeat_nor_leave_out(world: World, stub: Any, size: int, sizes: list[int]) -> None:
    made = several(105)
    put(world, *made)
    token = ""
    seen: list[str] = []
    pages: list[int] = []
    while token or not pages:
        response = stub.ListExecutions(ListExecutionsRequest(parent=POLICY, page_size=size, page_token=token))
        pages.append(len(response.executions))
        seen += names(response)
        token = response.next_page_token
    assert pages == sizes
    assert seen == [execution.name for execution in made]


@pytest.mark.rule("P16")
def test_a_full_last_page_has_no_token(world: World, stub: Any) -> None:
    put(world, *several(20))
    response = stub.ListExecutions(ListExecutionsRequest(parent=POLICY))
    assert (len(response.executions), response.next_page_token) == (20, "")


@pytest.mark.rule("P16")
def test_a_page_token_belongs_to_its_query(world: World, stub: Any) -> None:
    put(world, *several(3))
    token = stub.ListExecutions(ListExecutionsRequest(parent=POLICY, page_size=1)).next_page_token
    others = [
        ListExecutionsRequest(parent=ANY, page_token=token),
        ListExecutionsRequest(
            parent=POLICY, page_token=token, filter=ExecutionFilter(states=[Execution.STATE_SUCCEEDED])
        ),
        ListExecutionsRequest(parent=POLICY, page_token=token[:-2]),
        ListExecutionsRequest(parent=POLICY, page_token="nonsense"),
    ]
    for request in others:
        error = error_of(stub.ListExecutions, request)
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
        assert [violation.field for violation in error.violations] == ["page_token"]
    assert len(stub.ListExecutions(ListExecutionsRequest(parent=POLICY, page_token=token)).executions) == 2


def test_executions_are_chosen_by_state_time_and_run(world: World, stub: Any) -> None:
    run = over(kind=Kind.RUN_NOW, run_id=uid("run"))
    failed = over(
        scheduled_time=START - SECOND,
        state=domain.ExecutionState.FAILED,
        counts=domain.TaskCounts(),
    )
    oldest = over(scheduled_time=START - 2 * SECOND)
    put(world, run, failed, oldest)
    assert listed(stub, states=[Execution.STATE_FAILED]) == [failed.name]
    assert listed(stub, states=[Execution.STATE_FAILED, Execution.STATE_SUCCEEDED]) == [
        run.name,
        failed.name,
        oldest.name,
    ]
    assert listed(stub, run_id=uid("run")) == [run.name]
    assert listed(stub, run_id=uid("no run")) == []
    assert listed(stub, start_time=to_proto(START - SECOND)) == [run.name, failed.name]
    assert listed(stub, end_time=to_proto(START - SECOND)) == [oldest.name]
    assert listed(stub, start_time=to_proto(START - SECOND), end_time=to_proto(START)) == [failed.name]
    assert listed(stub, start_time=to_proto(START), states=[Execution.STATE_FAILED]) == []
    with world.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM executions WHERE state = 'FAILED'")


def test_a_negative_page_size_is_refused(stub: Any) -> None:
    error = error_of(stub.ListExecutions, ListExecutionsRequest(parent=POLICY, page_size=-1))
    assert error.violations == (FieldViolation("page_size", "must not be negative"),)
