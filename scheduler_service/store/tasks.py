"""Image tasks in the database."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scheduler_service.domain.tasks import LeftOut, Phase, Task, TaskState
from scheduler_service.store.executions import chunks
from scheduler_service.store.schema import executions, image_tasks
from servicekit.sql import rows_in
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros, to_micros_or_none

_COLUMNS = list(image_tasks.columns)
_OPEN = (Phase.SEND.value, Phase.FOLLOW.value, Phase.RESOLVE.value)
_FIXED = {
    "execution_uid",
    "instance_id",
    "instance",
    "policy_uid",
    "association_uid",
    "request_id",
    "trigger_time",
    "create_time",
    "image_delete_time",
}
"""What a step does not change of a task that it claimed; when an image is deleted, its task is nobody's any more."""
_CHANGING = [column.name for column in _COLUMNS if column.name not in _FIXED]


def insert(connection: sa.Connection, new: Iterable[Task]) -> None:
    rows = [_row(task) for task in new]
    if rows:
        connection.execute(sa.insert(image_tasks), rows)


def claim(
    connection: sa.Connection,
    phases: Collection[Phase],
    *,
    product: datetime,
    operating: datetime,
    lease_end: datetime,
    limit: int,
) -> list[Task]:
    """Takes up to `limit` due tasks, the longest due first, until the lease ends. Nobody else gets them before."""
    query = (
        sa.select(*_COLUMNS)
        .where(_due(phases, product), image_tasks.c.due_operating <= to_micros(operating))
        .order_by(image_tasks.c.due_product)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [_task(row) for row in connection.execute(query).mappings()]
    claimed = [replace(task, fence=task.fence + 1, due_operating=lease_end) for task in found]
    update(connection, claimed)
    return claimed


def still_claimed(connection: sa.Connection, tasks: Collection[Task]) -> set[tuple[str, str]]:
    """The keys (execution uid, instance id) of those tasks that nobody claimed since, now locked."""
    fences = {(task.execution_uid, task.instance_id): task.fence for task in tasks}
    found = set()
    for chunk in chunks(sorted(fences)):
        query = (
            sa.select(image_tasks.c.execution_uid, image_tasks.c.instance_id, image_tasks.c.fence)
            .where(rows_in([image_tasks.c.execution_uid, image_tasks.c.instance_id], chunk))
            .order_by(image_tasks.c.execution_uid, image_tasks.c.instance_id)
            .with_for_update()
        )
        for uid, instance_id, fence in connection.execute(query):
            if fences[uid, instance_id] == fence:
                found.add((uid, instance_id))
    return found


def update(connection: sa.Connection, tasks: Iterable[Task]) -> None:
    """Stores all that can change of tasks whose rows the transaction holds."""
    statement = (
        sa.update(image_tasks)
        .where(
            image_tasks.c.execution_uid == sa.bindparam("key_uid"), image_tasks.c.instance_id == sa.bindparam("key_id")
        )
        .values({name: sa.bindparam(f"new_{name}") for name in _CHANGING})
    )
    rows = [
        {"key_uid": task.execution_uid, "key_id": task.instance_id}
        | {f"new_{name}": value for name, value in _changing(task).items()}
        for task in tasks
    ]
    if rows:
        connection.execute(statement, rows)


def mark_images_deleted(connection: sa.Connection, keys: Iterable[tuple[str, str]], at: datetime) -> None:
    """Notes of these tasks (execution uid, instance id) that retention deleted their image; some may be forgotten."""
    statement = (
        sa.update(image_tasks)
        .where(
            image_tasks.c.execution_uid == sa.bindparam("key_uid"), image_tasks.c.instance_id == sa.bindparam("key_id")
        )
        .values(image_delete_time=to_micros(at))
    )
    rows = [{"key_uid": uid, "key_id": instance_id} for uid, instance_id in sorted(keys)]
    if rows:
        connection.execute(statement, rows)


def open_of_instances(connection: sa.Connection, instances: Collection[str]) -> dict[str, list[Task]]:
    """The tasks of these instances (full names) that have not ended, oldest first, now locked."""
    found: dict[str, list[Task]] = {}
    for chunk in chunks(sorted(instances)):
        query = (
            sa.select(*_COLUMNS)
            .where(image_tasks.c.instance.in_(chunk), image_tasks.c.phase.in_(_OPEN))
            .order_by(image_tasks.c.trigger_time, image_tasks.c.execution_uid)
            .with_for_update()
        )
        for row in connection.execute(query).mappings():
            found.setdefault(row["instance"], []).append(_task(row))
    return found


def next_due(
    connection: sa.Connection, phases: Collection[Phase], product: datetime
) -> tuple[datetime | None, datetime | None]:
    """When there is something to do: in product time among what is not due yet, in operating time among what is."""
    later = sa.select(sa.func.min(image_tasks.c.due_product)).where(
        image_tasks.c.phase.in_([phase.value for phase in phases]), image_tasks.c.due_product > to_micros(product)
    )
    due = sa.select(sa.func.min(image_tasks.c.due_operating)).where(_due(phases, product))
    return (
        from_micros_or_none(connection.execute(later).scalar()),
        from_micros_or_none(connection.execute(due).scalar()),
    )


def page(
    connection: sa.Connection, execution_uid: str, *, states: Collection[str], after: Sequence[Any] | None, limit: int
) -> list[Task]:
    """In the order of the instances' ids; `after` is (instance id,) of the last one seen."""
    query = sa.select(*_COLUMNS).where(image_tasks.c.execution_uid == execution_uid)
    if states:
        query = query.where(image_tasks.c.state.in_(states))
    if after is not None:
        query = query.where(image_tasks.c.instance_id > after[0])
    query = query.order_by(image_tasks.c.instance_id).limit(limit)
    return [_task(row) for row in connection.execute(query).mappings()]


def count_open(connection: sa.Connection) -> dict[TaskState, int]:
    """How many tasks are pending and building."""
    query = (
        sa.select(image_tasks.c.state, sa.func.count())
        .where(image_tasks.c.phase.in_(_OPEN))
        .group_by(image_tasks.c.state)
    )
    return {TaskState(state): count for state, count in connection.execute(query)}


def oldest_pending(connection: sa.Connection) -> datetime | None:
    """The oldest scheduled time of a task that waits for its build to be accepted."""
    query = (
        sa.select(sa.func.min(executions.c.scheduled_time))
        .join(image_tasks, image_tasks.c.execution_uid == executions.c.uid)
        .where(image_tasks.c.phase == Phase.SEND.value)
    )
    return from_micros_or_none(connection.execute(query).scalar())


def _due(phases: Collection[Phase], product: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        image_tasks.c.phase.in_([phase.value for phase in phases]), image_tasks.c.due_product <= to_micros(product)
    )


def _row(task: Task) -> dict[str, Any]:
    return {
        "execution_uid": task.execution_uid,
        "instance_id": task.instance_id,
        "instance": task.instance,
        "policy_uid": task.policy_uid,
        "association_uid": task.association_uid,
        "request_id": task.request_id,
        "trigger_time": to_micros(task.trigger_time),
        "create_time": to_micros(task.create_time),
        "image_delete_time": to_micros_or_none(task.image_delete_time),
    } | _changing(task)


def _changing(task: Task) -> dict[str, Any]:
    return {
        "state": task.state.value,
        "phase": task.phase.value,
        "due_product": to_micros_or_none(task.due_product),
        "due_operating": to_micros(task.due_operating),
        "fence": task.fence,
        "tries": task.tries,
        "attempt_count": task.attempt_count,
        "sent": task.sent,
        "reason": task.reason,
        "end_state": task.end_state.value if task.end_state else None,
        "end_reason": task.end_reason,
        "image": task.image,
        "included": json.dumps(task.included),
        "left_out": json.dumps([[disk.device, disk.reason] for disk in task.left_out]),
        "build_start_time": to_micros_or_none(task.build_start_time),
        "end_time": to_micros_or_none(task.end_time),
        "late_image_time": to_micros_or_none(task.late_image_time),
    }


def _task(row: sa.RowMapping) -> Task:
    return Task(
        execution_uid=row["execution_uid"],
        instance=row["instance"],
        policy_uid=row["policy_uid"],
        association_uid=row["association_uid"],
        request_id=row["request_id"],
        trigger_time=from_micros(row["trigger_time"]),
        state=TaskState(row["state"]),
        phase=Phase(row["phase"]),
        create_time=from_micros(row["create_time"]),
        due_product=from_micros_or_none(row["due_product"]),
        due_operating=from_micros(row["due_operating"]),
        fence=row["fence"],
        tries=row["tries"],
        attempt_count=row["attempt_count"],
        sent=row["sent"],
        reason=row["reason"],
        end_state=TaskState(row["end_state"]) if row["end_state"] else None,
        end_reason=row["end_reason"],
        image=row["image"],
        included=tuple(json.loads(row["included"])),
        left_out=tuple(LeftOut(device, reason) for device, reason in json.loads(row["left_out"])),
        build_start_time=from_micros_or_none(row["build_start_time"]),
        end_time=from_micros_or_none(row["end_time"]),
        late_image_time=from_micros_or_none(row["late_image_time"]),
        image_delete_time=from_micros_or_none(row["image_delete_time"]),
    )
