"""Executions: their identity, what a trigger asks for, and how they end."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler_service.domain.executions import (
    ExecutionState,
    Kind,
    Missed,
    TaskCounts,
    Trigger,
    TriggeredInstance,
    build_request_id,
    closing_state,
    execution_id,
    execution_key,
    execution_uid,
    executions_of,
)
from tests.support import START
from tests.support.scheduler_values import TOPIC, association, instance_name, uid

MICROSECOND = timedelta(microseconds=1)
NOW = START + timedelta(seconds=3)
RUN = uid("run")
TRIGGER = Trigger(
    uid=uid("trigger"),
    kind=Kind.SCHEDULED,
    account="acme",
    region="cn-north-1",
    policy_id="daily",
    policy_uid=uid("daily"),
    devices=("vda", "vdb"),
    log_topic=TOPIC,
    scheduled_time=START,
    run_id="",
    trigger_time=START + timedelta(seconds=1),
    instances=(TriggeredInstance(instance_name("i-1"), association("i-1")),),
)
MISSED = Missed(START - timedelta(days=3), START - timedelta(days=1), 3, "NOT_TAKEN_UP")


# Identity


@pytest.mark.rule("X1")
def test_keys_tell_points_runs_and_missed_points_apart() -> None:
    keys = [
        execution_key(Kind.SCHEDULED, START, ""),
        execution_key(Kind.SCHEDULED, START + MICROSECOND, ""),
        execution_key(Kind.RUN_NOW, START, RUN),
        execution_key(Kind.RUN_NOW, START, uid("another run")),
        execution_key(Kind.MISSED, START, ""),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.rule("X1")
def test_a_point_is_the_same_execution_on_time_and_late_and_a_run_whenever_it_is_taken_up() -> None:
    assert execution_key(Kind.SCHEDULED, START, "") == execution_key(Kind.CATCH_UP, START, "")
    assert execution_key(Kind.RUN_NOW, START, RUN) == execution_key(Kind.RUN_NOW, START + MICROSECOND, RUN)


@pytest.mark.rule("X1")
def test_the_request_id_of_a_build_never_changes() -> None:
    """Builds of all times are recognised by it: another id would be another image."""
    key = execution_key(Kind.SCHEDULED, START, "")
    assert key == "20260302T080000.000000Z"
    found = build_request_id("11111111-1111-4111-8111-111111111111", key, instance_name("i-1"))
    assert found == "66d2f8cc-c7ac-58ea-bcd6-7284fbb79ccb"
    assert uuid.UUID(found).version == 5


@pytest.mark.rule("X1")
def test_a_request_id_is_of_policy_point_and_instance() -> None:
    key, other = (execution_key(Kind.SCHEDULED, moment, "") for moment in (START, START + MICROSECOND))
    ids = {
        build_request_id(uid("daily"), key, instance_name("i-1")),
        build_request_id(uid("weekly"), key, instance_name("i-1")),
        build_request_id(uid("daily"), other, instance_name("i-1")),
        build_request_id(uid("daily"), key, instance_name("i-2")),
        execution_uid(uid("daily"), key),
    }
    assert len(ids) == 5


def test_an_execution_id_is_ten_letters_or_digits_of_its_uid() -> None:
    made = {execution_id(uid(number)) for number in range(1000)}
    assert len(made) == 1000
    for found in made:
        prefix, _, rest = found.partition("-")
        assert (prefix, len(rest)) == ("exec", 10)
        assert rest.isalnum()
        assert rest == rest.lower()
    assert execution_id("11111111-2222-4333-8444-555555555555") == "exec-yez1qvznjj", "as in every release"


# What a trigger asks for


@pytest.mark.rule("X1")
@pytest.mark.parametrize("kind", [Kind.SCHEDULED, Kind.CATCH_UP, Kind.RUN_NOW])
def test_a_trigger_becomes_a_running_execution(kind: Kind) -> None:
    trigger = replace(TRIGGER, kind=kind, run_id=RUN if kind is Kind.RUN_NOW else "")
    (execution,) = executions_of(trigger, NOW)
    assert (execution.kind, execution.state, execution.run_id) == (kind, ExecutionState.RUNNING, trigger.run_id)
    assert (execution.scheduled_time, execution.trigger_time) == (START, trigger.trigger_time)
    assert (execution.start_time, execution.end_time) == (NOW, None)
    assert (execution.policy_uid, execution.devices, execution.log_topic) == (uid("daily"), ("vda", "vdb"), TOPIC)
    assert execution.counts == TaskCounts(total=1, open=1)
    assert execution.name == f"accounts/acme/regions/cn-north-1/policies/daily/executions/{execution.execution_id}"


@pytest.mark.rule("X1")
def test_a_trigger_asks_for_the_same_executions_whenever_it_comes() -> None:
    trigger = replace(TRIGGER, missed=MISSED)
    first = [execution.uid for execution in executions_of(trigger, NOW)]
    assert [execution.uid for execution in executions_of(trigger, NOW + timedelta(hours=1))] == first


@pytest.mark.rule("X2")
def test_a_trigger_without_instances_succeeds_at_once() -> None:
    (execution,) = executions_of(replace(TRIGGER, instances=()), NOW)
    assert (execution.state, execution.end_time, execution.counts) == (ExecutionState.SUCCEEDED, NOW, TaskCounts())


@pytest.mark.rule("D4", "X2")
def test_missed_points_are_recorded_before_the_run_that_carries_them() -> None:
    missed, run = executions_of(replace(TRIGGER, kind=Kind.CATCH_UP, missed=MISSED), NOW)
    assert (missed.kind, missed.state, missed.missed) == (Kind.MISSED, ExecutionState.MISSED, MISSED)
    assert (missed.scheduled_time, missed.end_time, missed.counts) == (MISSED.first, NOW, TaskCounts())
    assert (run.kind, run.state, run.missed) == (Kind.CATCH_UP, ExecutionState.RUNNING, None)


@pytest.mark.rule("D4", "X2")
def test_a_trigger_with_missed_points_only_runs_nothing() -> None:
    (missed,) = executions_of(replace(TRIGGER, kind=Kind.MISSED, scheduled_time=None, missed=MISSED), NOW)
    assert missed.state is ExecutionState.MISSED


# Ends


@pytest.mark.rule("X2")
@pytest.mark.parametrize(
    ("counts", "state"),
    [
        (TaskCounts(total=0), "SUCCEEDED"),
        (TaskCounts(total=2, succeeded=2), "SUCCEEDED"),
        (TaskCounts(total=2, succeeded=1, failed=1), "PARTIALLY_SUCCEEDED"),
        (TaskCounts(total=4, succeeded=1, failed=1, skipped=1, cancelled=1), "PARTIALLY_SUCCEEDED"),
        (TaskCounts(total=2, succeeded=1, cancelled=1), "PARTIALLY_SUCCEEDED"),
        (TaskCounts(total=2, skipped=2), "SKIPPED"),
        (TaskCounts(total=2, cancelled=2), "CANCELLED"),
        (TaskCounts(total=2, failed=2), "FAILED"),
        (TaskCounts(total=2, failed=1, skipped=1), "FAILED"),
        (TaskCounts(total=2, failed=1, cancelled=1), "FAILED"),
        (TaskCounts(total=2, skipped=1, cancelled=1), "FAILED"),
    ],
)
def test_how_an_execution_ends(counts: TaskCounts, state: str) -> None:
    assert closing_state(counts).value == state
