"""An execution: what becomes of a policy at a scheduled time or of a run-now; or the record of missed points."""

import enum
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler_service.domain.retention import KEEP_FOREVER, Retention

_NAMESPACE = uuid.UUID("6f0a3c1e-8f5b-5c52-9d0e-0d6a7f3f2b11")
"""Never changes: build requests of all times are recognised by ids derived from it."""
KEPT = timedelta(days=400)
"""How long an execution that has ended can be read (X10); product time."""


class Kind(enum.StrEnum):
    """What brought an execution about."""

    SCHEDULED = "SCHEDULED"
    CATCH_UP = "CATCH_UP"
    RUN_NOW = "RUN_NOW"
    MISSED = "MISSED"


class ExecutionState(enum.StrEnum):
    """How far an execution is; all but RUNNING are final."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    PARTIALLY_SUCCEEDED = "PARTIALLY_SUCCEEDED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Missed:
    """Points of a schedule at which nothing was run: the first, the last, how many (at least 1), and why."""

    first: datetime
    last: datetime
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """An execution's image tasks, altogether and by state; `open` are those that have not ended."""

    total: int = 0
    open: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as it is stored.

    `devices` empty means all disks; `log_topic` empty means that nothing is logged. `image_expire_time` is None if its
    images were to be kept however old they are, when it was triggered.
    """

    uid: str
    account: str
    region: str
    policy_id: str
    execution_id: str
    policy_uid: str
    kind: Kind
    state: ExecutionState
    scheduled_time: datetime
    run_id: str
    trigger_time: datetime
    start_time: datetime
    end_time: datetime | None
    devices: tuple[str, ...]
    log_topic: str
    counts: TaskCounts
    missed: Missed | None = None
    image_expire_time: datetime | None = None

    @property
    def place(self) -> str:
        """Its account and region: `accounts/{account}/regions/{region}`."""
        return place_name(self.account, self.region)

    @property
    def policy(self) -> str:
        """The policy's full name."""
        return f"{self.place}/policies/{self.policy_id}"

    @property
    def name(self) -> str:
        """The execution's full name."""
        return f"{self.policy}/executions/{self.execution_id}"


@dataclass(frozen=True, slots=True)
class TriggeredInstance:
    """An instance that was associated at the moment of triggering: its full name, and the association's uid."""

    name: str
    association_uid: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """What the policy service leased to us: something to run, points to record as missed, or both.

    `spread` is over how much time the builds of the run are to begin.
    """

    uid: str
    kind: Kind
    account: str
    region: str
    policy_id: str
    policy_uid: str
    devices: tuple[str, ...]
    log_topic: str
    scheduled_time: datetime | None
    run_id: str
    trigger_time: datetime
    instances: tuple[TriggeredInstance, ...] = field(default=())
    missed: Missed | None = None
    retention: Retention = KEEP_FOREVER
    spread: timedelta = timedelta(0)

    @property
    def place(self) -> str:
        """Its account and region: `accounts/{account}/regions/{region}`."""
        return place_name(self.account, self.region)


def place_name(account: str, region: str) -> str:
    """An account and region, as places are named: `accounts/{account}/regions/{region}`."""
    return f"accounts/{account}/regions/{region}"


def execution_key(kind: Kind, scheduled_time: datetime, run_id: str) -> str:
    """What tells the executions of a policy apart: the scheduled time, the run-now's id, or the first point missed."""
    if kind is Kind.RUN_NOW:
        return f"run-{run_id}"
    point = scheduled_time.strftime("%Y%m%dT%H%M%S.%fZ")
    return f"missed-{point}" if kind is Kind.MISSED else point


def execution_uid(policy_uid: str, key: str) -> str:
    """The identity of an execution (X1): the same trigger gives the same uid, however often it is taken up."""
    return str(uuid.uuid5(_NAMESPACE, f"{policy_uid}/{key}"))


def execution_id(uid: str) -> str:
    """`exec-` and ten lower-case letters or digits, derived from the uid.

    Unique within a policy for all practical purposes; the store's constraint refuses the rest.
    """
    number = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8])
    digits = ""
    for _ in range(10):
        number, digit = divmod(number, 36)
        digits += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
    return f"exec-{digits}"


def build_request_id(policy_uid: str, key: str, instance: str) -> str:
    """The request id of a build (X1): the UUIDv5 of exactly policy, scheduled time or run-now, and instance."""
    return str(uuid.uuid5(_NAMESPACE, f"{policy_uid}/{key}/{instance}"))


def planned_start(execution: Execution, instance: str, spread: timedelta) -> datetime:
    """When the build of an instance is to begin (D6): when it is due, but not before the moment of triggering."""
    return max(due_time(execution, instance, spread), execution.trigger_time)


def due_time(execution: Execution, instance: str, spread: timedelta) -> datetime:
    """What a task's turn goes by (X7): the execution's time, and the instance's own offset.

    What is late or asked for by a user counts from the moment of triggering; a user's run is not spread.
    """
    if execution.kind is Kind.SCHEDULED:
        return execution.scheduled_time + spread_offset(execution.policy_uid, instance, spread)
    if execution.kind is Kind.CATCH_UP:
        return execution.trigger_time + spread_offset(execution.policy_uid, instance, spread)
    return execution.trigger_time


def spread_offset(policy_uid: str, instance: str, spread: timedelta) -> timedelta:
    """From 0 to below `spread`, evenly over the instances, and always the same for a policy and an instance (D6)."""
    drawn = int.from_bytes(hashlib.sha256(f"{policy_uid}/{instance}".encode()).digest()[:8])
    micros = spread // timedelta(microseconds=1)
    return timedelta(microseconds=drawn * micros >> 64)


def closing_state(counts: TaskCounts) -> ExecutionState:
    """The final state of an execution whose tasks have all ended (X2)."""
    if counts.succeeded == counts.total:
        return ExecutionState.SUCCEEDED
    if counts.succeeded:
        return ExecutionState.PARTIALLY_SUCCEEDED
    if counts.skipped == counts.total:
        return ExecutionState.SKIPPED
    if counts.cancelled == counts.total:
        return ExecutionState.CANCELLED
    return ExecutionState.FAILED


def poisoned_record_uid(trigger: Trigger) -> str | None:
    """The uid of the record that the trigger's points were missed, if it should become one (D3); None: nothing to run.

    A trigger whose acknowledgements are lost again and again is given up by the policy service as POISONED although its
    execution is written; or its execution is about to be written by a slow replica when the record is there already.
    """
    if trigger.kind is Kind.MISSED or trigger.scheduled_time is None:
        return None
    first = trigger.missed.first if trigger.missed else trigger.scheduled_time
    return execution_uid(trigger.policy_uid, execution_key(Kind.MISSED, first, ""))


def executions_of(trigger: Trigger, now: datetime) -> Sequence[Execution]:
    """The executions that a trigger asks for: the record of missed points, if any, then the run, if any."""
    found = []
    if trigger.missed:
        found.append(_execution(trigger, Kind.MISSED, trigger.missed.first, now, trigger.missed))
    if trigger.kind is not Kind.MISSED and trigger.scheduled_time is not None:
        found.append(_execution(trigger, trigger.kind, trigger.scheduled_time, now, None))
    return found


def _execution(trigger: Trigger, kind: Kind, scheduled: datetime, now: datetime, missed: Missed | None) -> Execution:
    uid = execution_uid(trigger.policy_uid, execution_key(kind, scheduled, trigger.run_id))
    total = 0 if missed else len(trigger.instances)
    state = ExecutionState.MISSED if missed else ExecutionState.RUNNING if total else ExecutionState.SUCCEEDED
    return Execution(
        uid=uid,
        account=trigger.account,
        region=trigger.region,
        policy_id=trigger.policy_id,
        execution_id=execution_id(uid),
        policy_uid=trigger.policy_uid,
        kind=kind,
        state=state,
        scheduled_time=scheduled,
        run_id=trigger.run_id if kind is Kind.RUN_NOW else "",
        trigger_time=trigger.trigger_time,
        start_time=now,
        end_time=None if total else now,
        devices=trigger.devices,
        log_topic=trigger.log_topic,
        counts=TaskCounts(total=total, open=total),
        missed=missed,
        image_expire_time=None if missed else trigger.retention.expire_time(scheduled),
    )
