"""Image tasks in the database."""

import functools
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from scheduler_service.domain.claims import Admission
from scheduler_service.domain.tasks import START_WINDOW, LeftOut, Phase, Task, TaskState
from scheduler_service.store.executions import chunks
from scheduler_service.store.schema import executions, image_tasks
from servicekit.sql import rows_in, rows_text
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
    "planned_start_time",
    "place",
    "create_time",
    "image_delete_time",
}
"""What a step does not change of a task that it claimed; when an image is deleted, its task is nobody's any more."""
_CHANGING = [column.name for column in _COLUMNS if column.name not in _FIXED]
_KEY = (image_tasks.c.execution_uid, image_tasks.c.instance_id)
_IS_KEY = sa.and_(
    image_tasks.c.execution_uid == sa.bindparam("key_uid"), image_tasks.c.instance_id == sa.bindparam("key_id")
)


def insert(connection: sa.Connection, new: Iterable[Task]) -> None:
    rows = [_row(task) for task in new]
    if rows:
        connection.execute(sa.insert(image_tasks), rows)


def queues(connection: sa.Connection, phase: Phase) -> list[str]:
    """The places that have tasks in this phase, in order. Reads one index entry of each, however many tasks it has."""
    return list(connection.scalars(_queues_query(phase)))


@functools.cache
def _queues_query(phase: Phase) -> sa.Select[Any]:
    queue = _queues(phase)
    return sa.select(queue.c.place).where(queue.c.place.is_not(None))


@functools.cache
def _next_due_query(phase: Phase, *, but_some: bool) -> sa.Select[Any]:
    queue = _queues(phase)
    of_queue, now = _of(phase, queue.c.place), sa.bindparam("now", type_=sa.BigInteger)
    later = sa.select(sa.func.min(image_tasks.c.due_product)).where(of_queue, image_tasks.c.due_product > now)
    due = sa.select(sa.func.min(image_tasks.c.due_operating)).where(of_queue, image_tasks.c.due_product <= now)
    query = sa.select(sa.func.min(later.scalar_subquery()), sa.func.min(due.scalar_subquery())).select_from(queue)
    return query.where(queue.c.place.not_in(sa.bindparam("but", expanding=True))) if but_some else query


def _queues(phase: Phase) -> sa.CTE:
    """From each place to the next one; the last row is null."""
    first = sa.select(sa.func.min(image_tasks.c.place).label("place")).where(image_tasks.c.phase == phase.value)
    queue = first.cte("queue", recursive=True)
    following = (
        sa.select(sa.func.min(image_tasks.c.place))
        .where(image_tasks.c.phase == phase.value, image_tasks.c.place > queue.c.place)
        .scalar_subquery()
    )
    return queue.union_all(sa.select(following).where(queue.c.place.is_not(None)))


def due(
    connection: sa.Connection,
    phase: Phase,
    place: str,
    admission: Admission,
    *,
    product: datetime,
    operating: datetime,
    limit: int,
) -> list[Task]:
    """Up to `limit` tasks of a place that are due, the longest due first, now locked; not those locked by others."""
    given = {
        "phase": phase.value,
        "place": place,
        "product": to_micros(product),
        "operating": to_micros(operating),
        "expired": to_micros(product - START_WINDOW),
        "limit": limit,
    }
    return [_task(row) for row in connection.execute(_due_query(admission), given).mappings()]


@functools.cache
def _due_query(admission: Admission) -> sa.Select[Any]:
    return (
        sa.select(*_COLUMNS)
        .where(
            image_tasks.c.phase == sa.bindparam("phase"),
            image_tasks.c.place == sa.bindparam("place"),
            image_tasks.c.due_product <= sa.bindparam("product", type_=sa.BigInteger),
            image_tasks.c.due_operating <= sa.bindparam("operating", type_=sa.BigInteger),
            _admitted(admission, sa.bindparam("expired", type_=sa.BigInteger)),
        )
        .order_by(image_tasks.c.due_product)
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )


def _of(phase: Phase, place: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return sa.and_(image_tasks.c.phase == phase.value, image_tasks.c.place == place)


def _admitted(admission: Admission, expired: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """`expired`: what was to begin before that is past its start window."""
    is_expired = image_tasks.c.planned_start_time < expired
    match admission:
        case Admission.ALL:
            return sa.true()
        case Admission.EXPIRED:
            return is_expired
        case Admission.HELD:
            return sa.or_(image_tasks.c.in_flight, is_expired)
        case Admission.NEW:
            return sa.not_(sa.or_(image_tasks.c.in_flight, is_expired))


def still_claimed(connection: sa.Connection, tasks: Collection[Task]) -> set[tuple[str, str]]:
    """The keys (execution uid, instance id) of those tasks that nobody claimed since, now locked."""
    fences = {(task.execution_uid, task.instance_id): task.fence for task in tasks}
    found = set()
    for chunk in chunks(sorted(fences)):
        for uid, instance_id, fence in connection.execute(_LOCK, {"keys": rows_text(chunk)}):
            if fences[uid, instance_id] == fence:
                found.add((uid, instance_id))
    return found


_LOCK = sa.select(*_KEY, image_tasks.c.fence).where(rows_in(_KEY, "keys")).order_by(*_KEY).with_for_update()


def update(connection: sa.Connection, tasks: Iterable[Task]) -> None:
    """Stores all that can change of tasks whose rows the transaction holds."""
    rows = [
        {"key_uid": task.execution_uid, "key_id": task.instance_id}
        | {f"new_{name}": value for name, value in _changing(task).items()}
        for task in tasks
    ]
    if rows:
        connection.execute(_UPDATE, rows)


_UPDATE = sa.update(image_tasks).where(_IS_KEY).values({name: sa.bindparam(f"new_{name}") for name in _CHANGING})


def lock(connection: sa.Connection, keys: Collection[tuple[str, str]]) -> None:
    """Locks these tasks (execution uid, instance id), in key order; some may be forgotten."""
    for chunk in chunks(sorted(keys)):
        connection.execute(_LOCK, {"keys": rows_text(chunk)})


def mark_images_deleted(connection: sa.Connection, keys: Iterable[tuple[str, str]], at: datetime) -> None:
    """Notes of these tasks (execution uid, instance id) that retention deleted their image; some may be forgotten."""
    rows = [{"key_uid": uid, "key_id": instance_id, "at": to_micros(at)} for uid, instance_id in sorted(keys)]
    if rows:
        connection.execute(_MARK_IMAGE_DELETED, rows)


_MARK_IMAGE_DELETED = sa.update(image_tasks).where(_IS_KEY).values(image_delete_time=sa.bindparam("at"))


def open_of_instances(connection: sa.Connection, instances: Collection[str]) -> dict[str, list[Task]]:
    """The tasks of these instances (full names) that have not ended, now locked, in key order."""
    found: dict[str, list[Task]] = {}
    given = {"instances": rows_text([(name,) for name in instances])}
    for row in connection.execute(_OPEN_OF_INSTANCES, given).mappings():
        task = _task(row)
        found.setdefault(task.instance, []).append(task)
    return found


def pending_of_execution(connection: sa.Connection, execution_uid: str) -> list[Task]:
    """The tasks of an execution of which no build is known to be accepted, and that go for one still, now locked."""
    rows = connection.execute(_PENDING_OF_EXECUTION, {"execution_uid": execution_uid}).mappings()
    return [_task(row) for row in rows]


_LOCKED = sa.select(*_COLUMNS).order_by(*_KEY).with_for_update()
_OPEN_OF_INSTANCES = _LOCKED.where(rows_in([image_tasks.c.instance], "instances"), image_tasks.c.phase.in_(_OPEN))
_PENDING_OF_EXECUTION = _LOCKED.where(
    image_tasks.c.execution_uid == sa.bindparam("execution_uid"), image_tasks.c.phase == Phase.SEND.value
)


def next_due(
    connection: sa.Connection, phase: Phase, product: datetime, *, but: Collection[str] = ()
) -> tuple[datetime | None, datetime | None]:
    """When there is something to do: in product time among what is not due yet, in operating time among what is.

    The places `but` are passed over.
    """
    given: dict[str, Any] = {"now": to_micros(product)} | ({"but": list(but)} if but else {})
    first_later, first_due = connection.execute(_next_due_query(phase, but_some=bool(but)), given).one()
    return from_micros_or_none(first_later), from_micros_or_none(first_due)


def next_admitted(
    connection: sa.Connection, place: str, admission: Admission, product: datetime
) -> tuple[datetime | None, datetime | None]:
    """As `next_due`, of the tasks to be sent in one place where not all are admitted.

    What is not admitted comes when it is past its start window.
    """
    expired = {"place": place, "expired": to_micros(product - START_WINDOW)}
    planned = from_micros_or_none(connection.scalar(_NEXT_TO_EXPIRE, expired))
    later = None if planned is None else planned + START_WINDOW + timedelta(microseconds=1)
    due = connection.scalar(_next_admitted_query(admission), expired | {"now": to_micros(product)})
    return later, from_micros_or_none(due)


_EXPIRED = sa.bindparam("expired", type_=sa.BigInteger)
_TO_BE_SENT = _of(Phase.SEND, sa.bindparam("place"))
_NEXT_TO_EXPIRE = sa.select(sa.func.min(image_tasks.c.planned_start_time)).where(
    _TO_BE_SENT, image_tasks.c.planned_start_time >= _EXPIRED
)


@functools.cache
def _next_admitted_query(admission: Admission) -> sa.Select[Any]:
    is_due = image_tasks.c.due_product <= sa.bindparam("now", type_=sa.BigInteger)
    return sa.select(sa.func.min(image_tasks.c.due_operating)).where(
        _TO_BE_SENT, is_due, _admitted(admission, _EXPIRED)
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


def count_open(connection: sa.Connection, product: datetime) -> dict[TaskState, int]:
    """How many tasks are pending and building; what is not to begin yet is not pending."""
    query = (
        sa.select(image_tasks.c.state, sa.func.count())
        .where(image_tasks.c.phase.in_(_OPEN), image_tasks.c.planned_start_time <= to_micros(product))
        .group_by(image_tasks.c.state)
    )
    return {TaskState(state): count for state, count in connection.execute(query)}


def oldest_pending(connection: sa.Connection, product: datetime) -> datetime | None:
    """The oldest scheduled time of a task that waits for its build to be accepted, and whose time to begin has come."""
    query = (
        sa.select(sa.func.min(executions.c.scheduled_time))
        .join(image_tasks, image_tasks.c.execution_uid == executions.c.uid)
        .where(image_tasks.c.phase == Phase.SEND.value, image_tasks.c.planned_start_time <= to_micros(product))
    )
    return from_micros_or_none(connection.execute(query).scalar())


def _row(task: Task) -> dict[str, Any]:
    return {
        "execution_uid": task.execution_uid,
        "instance_id": task.instance_id,
        "instance": task.instance,
        "policy_uid": task.policy_uid,
        "association_uid": task.association_uid,
        "request_id": task.request_id,
        "trigger_time": to_micros(task.trigger_time),
        "planned_start_time": to_micros(task.planned_start_time),
        "place": task.place,
        "create_time": to_micros(task.create_time),
        "image_delete_time": to_micros_or_none(task.image_delete_time),
    } | _changing(task)


def _changing(task: Task) -> dict[str, Any]:
    return {
        "state": task.state.value,
        "phase": task.phase.value,
        "due_product": to_micros_or_none(task.due_product),
        "due_operating": to_micros(task.due_operating),
        "in_flight": task.in_flight,
        "fence": task.fence,
        "tries": task.tries,
        "attempt_count": task.attempt_count,
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
        planned_start_time=from_micros(row["planned_start_time"]),
        state=TaskState(row["state"]),
        phase=Phase(row["phase"]),
        create_time=from_micros(row["create_time"]),
        due_product=from_micros_or_none(row["due_product"]),
        due_operating=from_micros(row["due_operating"]),
        in_flight=row["in_flight"],
        fence=row["fence"],
        tries=row["tries"],
        attempt_count=row["attempt_count"],
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
