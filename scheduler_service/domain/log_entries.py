"""What is logged of executions and image tasks (L2), worked out from what changed. Insert ids make it unique (L3)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from scheduler_service.domain.executions import Execution, ExecutionState, Missed
from scheduler_service.domain.tasks import LeftOut, Task, TaskState


@dataclass(frozen=True, slots=True)
class Entry:
    """A log entry for a topic. Event and severity are values of the log contract without their prefixes."""

    log_topic: str
    insert_id: str
    event_time: datetime
    severity: str
    event: str
    message: str
    region: str
    policy: str
    execution: str
    scheduled_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    instance_count: int = 0
    task_state: str = ""
    reason: str = ""
    instance: str = ""
    image: str = ""
    included: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    missed: Missed | None = None


_SEVERITY_OF_EXECUTION = {
    ExecutionState.SUCCEEDED: "INFO",
    ExecutionState.PARTIALLY_SUCCEEDED: "WARNING",
    ExecutionState.SKIPPED: "WARNING",
    ExecutionState.CANCELLED: "WARNING",
    ExecutionState.FAILED: "ERROR",
}
_SEVERITY_OF_TASK = {
    TaskState.SUCCEEDED: "INFO",
    TaskState.FAILED: "ERROR",
    TaskState.SKIPPED: "WARNING",
    TaskState.CANCELLED: "WARNING",
}


def of_new_execution(execution: Execution) -> Iterator[Entry]:
    """The entries of an execution when it is written: missed, or started; without tasks it has ended as well."""
    if execution.missed:
        missed = execution.missed
        text = f"{missed.count} scheduled time(s) missed from {missed.first} to {missed.last}: {missed.reason}"
        yield _of_execution(
            execution, "missed", execution.start_time, "EXECUTION_MISSED", severity="ERROR", message=text
        )
        return
    started = replace(execution, state=ExecutionState.RUNNING, end_time=None)
    text = f"execution started for {execution.counts.total} instance(s)"
    yield _of_execution(started, "started", execution.start_time, "EXECUTION_STARTED", severity="INFO", message=text)
    if execution.end_time:
        yield of_closed_execution(execution, execution.end_time)


def of_closed_execution(execution: Execution, at: datetime) -> Entry:
    """The entry of an execution whose last task has ended."""
    counts = execution.counts
    text = (
        f"execution {_words(execution.state)}: {counts.succeeded} of {counts.total} succeeded, {counts.failed} failed, "
        f"{counts.skipped} skipped, {counts.cancelled} cancelled"
    )
    return _of_execution(
        execution, "ended", at, "EXECUTION_ENDED", severity=_SEVERITY_OF_EXECUTION[execution.state], message=text
    )


def of_change(before: Task, after: Task, execution: Execution) -> Iterator[Entry]:
    """The entries of a change of a task: build started, ended (also without a build), late image; often none."""
    if before.build_start_time is None and after.build_start_time is not None:
        begun = replace(after, state=TaskState.BUILDING, reason="", end_time=None)  # it may be over already
        text = f"building image {_id(after.image)} of {after.instance_id}"
        yield _of_task(
            begun, execution, "started", after.build_start_time, "IMAGE_TASK_STARTED", severity="INFO", message=text
        )
    if not before.state.ended and after.state.ended and after.end_time:
        text = f"image of {after.instance_id} {after.state.lower()}" + (f": {after.reason}" if after.reason else "")
        severity = (
            "WARNING" if after.left_out and after.state is TaskState.SUCCEEDED else _SEVERITY_OF_TASK[after.state]
        )
        yield _of_task(after, execution, "ended", after.end_time, "IMAGE_TASK_ENDED", severity=severity, message=text)
    if after.late_image_time is not None and before.late_image_time is None:
        text = f"image {_id(after.image)} of {after.instance_id} became available after its task had timed out"
        yield _of_task(after, execution, "late", after.late_image_time, "LATE_IMAGE", severity="WARNING", message=text)


def _of_execution(execution: Execution, insert: str, at: datetime, event: str, *, severity: str, message: str) -> Entry:
    return Entry(
        log_topic=execution.log_topic,
        insert_id=f"{execution.uid}/{insert}",
        event_time=at,
        severity=severity,
        event=event,
        message=message,
        region=execution.region,
        policy=execution.policy,
        execution=execution.name,
        scheduled_time=execution.scheduled_time,
        start_time=execution.start_time,
        end_time=execution.end_time,
        instance_count=execution.counts.total,
        task_state=execution.state,
        missed=execution.missed,
    )


def _of_task(
    task: Task, execution: Execution, insert: str, at: datetime, event: str, *, severity: str, message: str
) -> Entry:
    of_execution = _of_execution(
        execution, f"{task.instance_id}/{insert}", at, event, severity=severity, message=message
    )
    return replace(
        of_execution,
        start_time=task.build_start_time,
        end_time=task.end_time,
        task_state=task.state,
        reason=task.reason,
        instance=task.instance,
        image=task.image,
        included=task.included,
        left_out=task.left_out,
    )


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _words(state: str) -> str:
    return state.lower().replace("_", " ")
