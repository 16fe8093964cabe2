"""Values of the scheduler's domain, as a test wants them: everything has a default."""

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from scheduler_service.domain.executions import (
    Execution,
    ExecutionState,
    Kind,
    TaskCounts,
    build_request_id,
    execution_id,
    execution_key,
    execution_uid,
)
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.retention import KeptImage, Series
from scheduler_service.domain.tasks import Phase, Task, TaskState
from tests.support.clocks import START

PLACE = "accounts/acme/regions/cn-north-1"
TOPIC = f"{PLACE}/logSets/ls-1/logTopics/lt-1"
IMAGE = f"{PLACE}/images/img-0000000001"


def uid(*parts: object) -> str:
    """A UUID that is the same whenever the parts are."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(map(str, parts))))


def instance_name(instance_id: str, account: str = "acme") -> str:
    return f"accounts/{account}/regions/cn-north-1/instances/{instance_id}"


def association(instance_id: str, policy: str = "daily") -> str:
    """The uid of the association between an instance and a policy."""
    return uid("association", policy, instance_id)


def an_execution(policy: str = "daily", **changes: Any) -> Execution:
    """One task, running. Its identity follows from policy, kind, scheduled time and run."""
    scheduled = changes.get("scheduled_time", START)
    key = execution_key(changes.get("kind", Kind.SCHEDULED), scheduled, changes.get("run_id", ""))
    identity = execution_uid(uid(policy), key)
    base = Execution(
        uid=identity,
        account="acme",
        region="cn-north-1",
        policy_id=policy,
        execution_id=execution_id(identity),
        policy_uid=uid(policy),
        kind=Kind.SCHEDULED,
        state=ExecutionState.RUNNING,
        scheduled_time=scheduled,
        run_id="",
        trigger_time=scheduled,
        start_time=scheduled,
        end_time=None,
        devices=(),
        log_topic=TOPIC,
        counts=TaskCounts(total=1, open=1),
    )
    return replace(base, **changes)


def a_task(instance_id: str = "i-1", execution: Execution | None = None, **changes: Any) -> Task:
    """A task as it is when its execution is written: pending, and due at once."""
    of = execution or an_execution()
    key = execution_key(of.kind, of.scheduled_time, of.run_id)
    base = Task(
        execution_uid=of.uid,
        instance=instance_name(instance_id),
        policy_uid=of.policy_uid,
        association_uid=association(instance_id, of.policy_id),
        request_id=build_request_id(of.policy_uid, key, instance_name(instance_id)),
        trigger_time=of.trigger_time,
        planned_start_time=of.trigger_time,
        state=TaskState.PENDING,
        phase=Phase.SEND,
        create_time=of.start_time,
        due_product=of.trigger_time,
        due_operating=of.trigger_time,
    )
    return replace(base, **changes)


def a_sent_task(**changes: Any) -> Task:
    """A task whose create may have reached compute."""
    return a_task(**{"attempt_count": 1, "fence": 1, "in_flight": True} | changes)


def a_building_task(**changes: Any) -> Task:
    """A task whose build was accepted at START."""
    building = {
        "state": TaskState.BUILDING,
        "phase": Phase.FOLLOW,
        "in_flight": True,
        "image": IMAGE,
        "build_start_time": START,
    }
    return a_sent_task(**building | changes)


def an_entry(insert_id: str = "1", **changes: Any) -> Entry:
    base = Entry(
        log_topic=TOPIC,
        insert_id=insert_id,
        event_time=START,
        severity="INFO",
        event="EXECUTION_STARTED",
        message="execution started for 1 instance(s)",
        region="cn-north-1",
        policy=f"{PLACE}/policies/daily",
        execution=f"{PLACE}/policies/daily/executions/exec-1",
        scheduled_time=START,
    )
    return replace(base, **changes)


def a_series(instance_id: str = "i-1", policy: str = "daily", **changes: Any) -> Series:
    """A series that is due at START."""
    base = Series(
        policy_uid=uid(policy),
        instance=instance_name(instance_id),
        account="acme",
        region="cn-north-1",
        policy_id=policy,
        due_product=START,
        due_operating=START,
    )
    return replace(base, **changes)


def a_kept_image(
    image_id: str = "img-1", scheduled_time: datetime = START, series: Series | None = None, **changes: Any
) -> KeptImage:
    of = series or a_series()
    base = KeptImage(
        name=f"{PLACE}/images/{image_id}",
        policy_uid=of.policy_uid,
        instance=of.instance,
        scheduled_time=scheduled_time,
        request_id=uid("request", image_id),
        execution_uid=uid("execution", image_id),
    )
    return replace(base, **changes)
