"""Executions in the database."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from scheduler_service.domain.executions import Execution, ExecutionState, Kind, Missed, TaskCounts, Trigger
from scheduler_service.domain.tasks import Phase
from scheduler_service.store.schema import executions, image_tasks
from servicekit.sql import take_turns
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros, to_micros_or_none

_COLUMNS = [column for column in executions.columns if column.name != "change"]
_COUNTS = ("total", "open", "succeeded", "failed", "skipped", "cancelled")
_CHUNK = 500
T = TypeVar("T")


def known(connection: sa.Connection, uids: Collection[str]) -> set[str]:
    """Those of the uids that are written already."""
    found: set[str] = set()
    for chunk in chunks(list(uids)):
        found.update(connection.scalars(_KNOWN, {"uids": chunk}))
    return found


_IS_GIVEN = executions.c.uid.in_(sa.bindparam("uids", expanding=True))
_KNOWN = sa.select(executions.c.uid).where(_IS_GIVEN)
_BY_UID = sa.select(*_COLUMNS).where(_IS_GIVEN)


def take_turns_in(connection: sa.Connection, places: Collection[tuple[str, str]]) -> None:
    """Nobody else begins executions in these accounts and regions until the transaction ends.

    Otherwise two that begin at the same moment miss each other: executions of one trigger, tasks of one instance.
    """
    take_turns(connection, "executions", [f"{account}/{region}" for account, region in places])


def has_run(connection: sa.Connection, trigger: Trigger, scheduled: datetime) -> bool:
    """Whether there is an execution of the trigger's policy at this time that is no record of missed points."""
    query = sa.select(executions.c.uid).where(
        executions.c.account == trigger.account,
        executions.c.region == trigger.region,
        executions.c.policy_id == trigger.policy_id,
        executions.c.policy_uid == trigger.policy_uid,
        executions.c.scheduled_time == to_micros(scheduled),
        executions.c.kind != Kind.MISSED.value,
    )
    return connection.execute(query.limit(1)).first() is not None


def insert(connection: sa.Connection, new: Iterable[Execution], changes: Mapping[str, int]) -> None:
    """`changes`: the number of this change, by place."""
    rows = [_row(execution) | {"change": changes[execution.place]} for execution in new]
    if rows:
        connection.execute(sa.insert(executions), rows)


def get(connection: sa.Connection, account: str, region: str, policy_id: str, execution_id: str) -> Execution | None:
    query = sa.select(*_COLUMNS).where(
        executions.c.account == account,
        executions.c.region == region,
        executions.c.policy_id == policy_id,
        executions.c.execution_id == execution_id,
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _execution(row)


def by_uid(connection: sa.Connection, uids: Collection[str]) -> dict[str, Execution]:
    found: dict[str, Execution] = {}
    for chunk in chunks(sorted(uids)):
        rows = connection.execute(_BY_UID, {"uids": chunk}).mappings()
        found.update({row["uid"]: _execution(row) for row in rows})
    return found


def page(
    connection: sa.Connection,
    account: str,
    region: str,
    policy_id: str | None,
    *,
    states: Collection[str],
    not_before: datetime | None,
    before: datetime | None,
    run_id: str,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Execution]:
    """Newest scheduled time first. `policy_id` None: all policies; `after`: (scheduled micros, uid) of the last one."""
    query = sa.select(*_COLUMNS).where(executions.c.account == account, executions.c.region == region)
    if policy_id is not None:
        query = query.where(executions.c.policy_id == policy_id)
    if states:
        query = query.where(executions.c.state.in_(states))
    if not_before is not None:
        query = query.where(executions.c.scheduled_time >= to_micros(not_before))
    if before is not None:
        query = query.where(executions.c.scheduled_time < to_micros(before))
    if run_id:
        query = query.where(executions.c.run_id == run_id)
    if after is not None:
        query = query.where(sa.tuple_(executions.c.scheduled_time, executions.c.uid) < sa.tuple_(*after))
    query = query.order_by(executions.c.scheduled_time.desc(), executions.c.uid.desc()).limit(limit)
    return [_execution(row) for row in connection.execute(query).mappings()]


def changed_after(
    connection: sa.Connection, account: str, region: str, after: tuple[int, str], limit: int
) -> list[tuple[int, str, str]]:
    """(number of the change, uid, policy id) of the next executions that changed, in the order of their changes."""
    query = (
        sa.select(executions.c.change, executions.c.uid, executions.c.policy_id)
        .where(
            executions.c.account == account,
            executions.c.region == region,
            sa.tuple_(executions.c.change, executions.c.uid) > sa.tuple_(*after),
        )
        .order_by(executions.c.change, executions.c.uid)
        .limit(limit)
    )
    return [(row.change, row.uid, row.policy_id) for row in connection.execute(query)]


def count_ended(connection: sa.Connection, ended: Mapping[str, Mapping[str, int]], changes: Mapping[str, int]) -> None:
    """Moves counts from `open` to the states in which tasks ended. Both by execution uid; `changes`: its number.

    Rows are locked in key order.
    """
    rows = [
        {"key": uid, "all_ended": sum(counts.values()), "number": changes[uid]}
        | {f"more_{name}": counts.get(name, 0) for name in _COUNTS[2:]}
        for uid, counts in sorted(ended.items())
    ]
    connection.execute(_COUNT_ENDED, rows)


_COUNT_ENDED = (
    sa.update(executions)
    .where(executions.c.uid == sa.bindparam("key"))
    .values(
        {"open": executions.c.open - sa.bindparam("all_ended"), "change": sa.bindparam("number")}
        | {name: executions.c[name] + sa.bindparam(f"more_{name}") for name in _COUNTS[2:]}
    )
)


def close(connection: sa.Connection, closed: Iterable[Execution]) -> None:
    """Stores the final state and end time of executions."""
    rows = [
        {"key": execution.uid, "final": execution.state.value, "ended": to_micros_or_none(execution.end_time)}
        for execution in closed
    ]
    if rows:
        connection.execute(_CLOSE, rows)


_CLOSE = (
    sa.update(executions)
    .where(executions.c.uid == sa.bindparam("key"))
    .values(state=sa.bindparam("final"), end_time=sa.bindparam("ended"))
)


def count_running(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).where(executions.c.state == ExecutionState.RUNNING.value)
    return connection.execute(query).scalar_one()


def lateness(connection: sa.Connection, latest: int) -> timedelta | None:
    """How long the latest executions waited until they were taken up, at most; None when there are none.

    From their scheduled time; what is late or asked for by a user waits from the moment of triggering only.
    """
    newest = (
        sa.select(executions.c.kind, executions.c.scheduled_time, executions.c.trigger_time, executions.c.start_time)
        .where(executions.c.kind != Kind.MISSED.value)
        .order_by(executions.c.start_time.desc())
        .limit(latest)
        .subquery()
    )
    since = sa.case((newest.c.kind == Kind.SCHEDULED.value, newest.c.scheduled_time), else_=newest.c.trigger_time)
    micros = connection.execute(sa.select(sa.func.max(newest.c.start_time - since))).scalar()
    return None if micros is None else timedelta(microseconds=max(0, int(micros)))


def ended_before(connection: sa.Connection, before: datetime, limit: int) -> list[str]:
    """The uids of the executions that ended first, if before that, and of which no image is waited for, now locked."""
    waits = sa.exists().where(image_tasks.c.execution_uid == executions.c.uid, image_tasks.c.phase != Phase.DONE.value)
    query = (
        sa.select(executions.c.uid)
        .where(executions.c.end_time < to_micros(before), ~waits)
        .order_by(executions.c.end_time)
        .limit(limit)
        .with_for_update(skip_locked=True, of=executions)
    )
    return list(connection.scalars(query))


def delete(connection: sa.Connection, uids: Collection[str]) -> None:
    """Deletes at most 500 executions and their tasks, which are locked in key order before."""
    in_order = (image_tasks.c.execution_uid, image_tasks.c.instance_id)
    theirs = sa.select(image_tasks.c.fence).where(image_tasks.c.execution_uid.in_(uids))
    connection.execute(theirs.order_by(*in_order).with_for_update())
    connection.execute(sa.delete(image_tasks).where(image_tasks.c.execution_uid.in_(uids)))
    connection.execute(sa.delete(executions).where(executions.c.uid.in_(uids)))


def chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    """Pieces small enough for one IN list."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def _row(execution: Execution) -> dict[str, Any]:
    missed = execution.missed
    counts = execution.counts
    return {
        "uid": execution.uid,
        "account": execution.account,
        "region": execution.region,
        "policy_id": execution.policy_id,
        "execution_id": execution.execution_id,
        "policy_uid": execution.policy_uid,
        "kind": execution.kind.value,
        "state": execution.state.value,
        "scheduled_time": to_micros(execution.scheduled_time),
        "run_id": execution.run_id,
        "trigger_time": to_micros(execution.trigger_time),
        "start_time": to_micros(execution.start_time),
        "end_time": to_micros_or_none(execution.end_time),
        "devices": json.dumps(execution.devices),
        "log_topic": execution.log_topic,
        "missed": json.dumps([to_micros(missed.first), to_micros(missed.last), missed.count, missed.reason])
        if missed
        else None,
        "image_expire_time": to_micros_or_none(execution.image_expire_time),
    } | {name: getattr(counts, name) for name in _COUNTS}


def _execution(row: sa.RowMapping) -> Execution:
    return Execution(
        uid=row["uid"],
        account=row["account"],
        region=row["region"],
        policy_id=row["policy_id"],
        execution_id=row["execution_id"],
        policy_uid=row["policy_uid"],
        kind=Kind(row["kind"]),
        state=ExecutionState(row["state"]),
        scheduled_time=from_micros(row["scheduled_time"]),
        run_id=row["run_id"],
        trigger_time=from_micros(row["trigger_time"]),
        start_time=from_micros(row["start_time"]),
        end_time=from_micros_or_none(row["end_time"]),
        devices=tuple(json.loads(row["devices"])),
        log_topic=row["log_topic"],
        counts=TaskCounts(*(row[name] for name in _COUNTS)),
        missed=_missed(row["missed"]),
        image_expire_time=from_micros_or_none(row["image_expire_time"]),
    )


def _missed(text: str | None) -> Missed | None:
    if text is None:
        return None
    first, last, count, reason = json.loads(text)
    return Missed(from_micros(first), from_micros(last), count, reason)
