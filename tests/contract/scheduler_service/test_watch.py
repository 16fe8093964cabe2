"""WatchExecutions: what it tells, in what order, where it goes on, how it ends."""

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from autoimage.scheduler.v1.execution_pb2 import Execution
from autoimage.scheduler.v1.execution_service_pb2 import (
    CancelExecutionRequest,
    GetExecutionRequest,
    ListExecutionsRequest,
    WatchExecutionsRequest,
    WatchExecutionsResponse,
)
from scheduler_service.commands import watch_executions as command
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Kind, Missed
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.take_up import take_up
from servicekit.errors import Code
from tests.contract.scheduler_service.conftest import served
from tests.support import START, error_of
from tests.support.scheduler import World
from tests.support.scheduler_values import PLACE, uid

TIMEOUT = 60
POLICY = f"{PLACE}/policies/daily"
ANY = f"{PLACE}/policies/-"
HOUR = timedelta(hours=1)


def watch(stub: Any, parent: str = ANY, resume_token: str = "") -> Any:
    return stub.WatchExecutions(WatchExecutionsRequest(parent=parent, resume_token=resume_token), timeout=TIMEOUT)


def begun(stub: Any, parent: str = ANY, resume_token: str = "") -> tuple[Any, str]:
    """A watch whose first response has come, and its token."""
    call = watch(stub, parent, resume_token)
    first = next(call)
    assert list(first.executions) == []
    return call, first.resume_token


def told(call: Iterator[WatchExecutionsResponse], count: int) -> list[Execution]:
    """The next executions, exactly so many."""
    found: list[Execution] = []
    while len(found) < count:
        found += next(call).executions
    assert len(found) == count
    return found


def triggered(world: World, count: int, policy: str = "daily", deps: Dependencies | None = None) -> None:
    """So many executions, written in one transaction."""
    for number in range(count):
        world.add_trigger(policy=policy, kind=Kind.RUN_NOW, run_id=uid("run", policy, number))
    take_up(deps or world.deps)


def test_an_execution_is_told_when_it_begins_when_it_changes_and_when_it_ends(world: World, stub: Any) -> None:
    triggered(world, 1, "before")
    call, _ = begun(stub)
    world.compute.build_time = HOUR
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    (running,) = told(call, 1)
    assert (running.state, running.task_counts.open) == (Execution.STATE_RUNNING, 2)
    world.compute.finish_at(world.compute.image_of("i-1"), START)
    world.pass_time(timedelta(minutes=1))
    world.run_until_idle()
    (changed,) = told(call, 1)
    assert (changed.task_counts.open, changed.task_counts.succeeded) == (1, 1)
    world.settle()
    (ended,) = told(call, 1)
    assert ended == stub.GetExecution(GetExecutionRequest(name=world.executions()[-1].name))
    assert ended.state == Execution.STATE_SUCCEEDED


def test_what_another_replica_writes_is_told_within_a_second_or_so(world: World, stub: Any) -> None:
    """Nobody tells this process of it: it looks once a second. A watch may go on at the other replica."""
    call, token = begun(stub)
    other = world.replica("scheduler-2")
    triggered(world, 2, deps=other)
    seen = told(call, 2)
    with served(other) as others:
        resumed = watch(others, resume_token=token)
        assert [list(next(resumed).executions), told(resumed, 2)] == [[], seen]


def test_missed_points_and_cancelled_executions_are_told(world: World, stub: Any) -> None:
    call, _ = begun(stub)
    world.add_trigger(kind=Kind.MISSED, missed=Missed(START, START, 1, "NOT_TAKEN_UP"))
    take_up(world.deps)
    assert [execution.state for execution in told(call, 1)] == [Execution.STATE_MISSED]
    world.add_trigger("i-1", policy="weekly")
    take_up(world.deps)
    (running,) = told(call, 1)
    stub.CancelExecution(CancelExecutionRequest(name=running.name))
    resolve(world.deps)
    assert [execution.state for execution in told(call, 1)] == [Execution.STATE_CANCELLED]
    world.settle()


def test_of_one_policy_only_its_executions_are_told(world: World, stub: Any) -> None:
    call, _ = begun(stub, POLICY)
    triggered(world, 3, "weekly")
    triggered(world, 1)
    triggered(world, 3, "monthly")
    assert [execution.policy_uid for execution in told(call, 1)] == [uid("daily")]


def test_executions_of_other_accounts_are_not_told(world: World, stub: Any) -> None:
    call, _ = begun(stub)
    world.add_trigger(policy="theirs", account="other")
    take_up(world.deps)
    triggered(world, 1)
    assert [execution.name.rpartition("/executions/")[0] for execution in told(call, 1)] == [POLICY]


def test_changes_that_were_not_looked_at_come_as_one(world: World, stub: Any) -> None:
    call, token = begun(stub)
    call.cancel()
    world.add_trigger("i-1")
    world.settle()
    call, _ = begun(stub, ANY, token)
    assert [execution.state for execution in told(call, 1)] == [Execution.STATE_SUCCEEDED]


def test_a_response_has_at_most_100_executions(world: World, stub: Any) -> None:
    call, token = begun(stub)
    call.cancel()
    triggered(world, 250)
    call, _ = begun(stub, ANY, token)
    assert [len(response.executions) for response in itertools.islice(call, 3)] == [100, 100, 50]


def test_few_executions_of_a_policy_among_many_are_found(
    world: World, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "WINDOW", 7)
    call, token = begun(stub, POLICY)
    call.cancel()
    triggered(world, 40, "weekly")
    triggered(world, 2)
    triggered(world, 40, "monthly")
    call, _ = begun(stub, POLICY, token)
    assert len(told(call, 2)) == 2


def test_a_watch_that_is_resumed_again_and_again_misses_nothing(world: World, stub: Any) -> None:
    """While executions are written at the same time, many under one change."""

    def write() -> None:
        for number in range(12):
            triggered(world, 1 + number, f"policy-{number}")

    seen: list[str] = []
    call, token = begun(stub)
    writing = threading.Thread(target=write)
    writing.start()
    while len(seen) < 78:
        response = next(call)
        seen += [execution.name for execution in response.executions]
        call.cancel()
        call, token = begun(stub, ANY, response.resume_token)
    writing.join()
    call.cancel()
    listed = [stub.ListExecutions(ListExecutionsRequest(parent=ANY, page_size=100))]
    assert sorted(seen) == sorted(execution.name for page in listed for execution in page.executions)
    assert token


def test_a_token_of_another_parent_or_of_a_list_is_refused(world: World, stub: Any) -> None:
    triggered(world, 2)
    _, token = begun(stub)
    page = stub.ListExecutions(ListExecutionsRequest(parent=ANY, page_size=1)).next_page_token
    for parent, wrong in ((POLICY, token), (ANY, page), (ANY, "nonsense")):
        error = error_of(lambda parent=parent, wrong=wrong: list(watch(stub, parent, wrong)))
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
        assert [violation.field for violation in error.violations] == ["resume_token"]
