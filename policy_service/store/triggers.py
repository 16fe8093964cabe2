"""Triggers that are not acknowledged yet."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from policy_service.domain.policy import PolicyKey
from policy_service.domain.schedule import SECOND, Points
from policy_service.domain.triggers import Kind, Missed, MissedReason, Trigger, TriggeredAssociation
from policy_service.store import retentions
from policy_service.store.among import among, given
from policy_service.store.both_ends import both_ends
from policy_service.store.schema import triggers as table
from servicekit.timestamps import from_micros, to_micros

_c = table.c


class Leasable(NamedTuple):
    """A trigger that nobody has leased now."""

    uid: str
    kind: Kind
    weight: int
    lease_count: int


def insert(connection: sa.Connection, added: Collection[Trigger]) -> None:
    """Adds triggers that nobody has leased."""
    if added:
        connection.execute(sa.insert(table), [_row(trigger) for trigger in added])


def any_leasable(connection: sa.Connection, now: datetime) -> bool:
    """`now` is operating time."""
    return connection.scalar(_ANY_LEASABLE, {"now": to_micros(now)}) is not None


_ANY_LEASABLE = sa.select(_c.uid).where(_c.lease_expire_micros <= sa.bindparam("now")).limit(1)


def lock_leasable(connection: sa.Connection, now: datetime, limit: int) -> list[Leasable]:
    """Triggers that nobody has leased, or not any more, oldest first; but for those that somebody is just leasing.

    Of more than `limit` the oldest, and some of the newest (see `both_ends`).
    """
    rows = both_ends(connection, _LOCK_OLDEST, _LOCK_NEWEST, {"now": to_micros(now)}, limit)
    return [Leasable(uid, Kind(kind), weight, count) for uid, kind, weight, count in rows]


_LOCK_LEASABLE = (
    sa.select(_c.uid, _c.kind, _c.weight, _c.lease_count)
    .where(_c.lease_expire_micros <= sa.bindparam("now"))
    .limit(sa.bindparam("limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_LOCK_OLDEST = _LOCK_LEASABLE.order_by(_c.scheduled_micros, _c.uid)
_LOCK_NEWEST = _LOCK_LEASABLE.order_by(_c.scheduled_micros.desc(), _c.uid.desc())


def lease(connection: sa.Connection, uids: Collection[str], expire: datetime) -> None:
    """Leases triggers, which the caller has locked, until `expire` in operating time."""
    connection.execute(_LEASE, {"uids": given(uids), "expire": to_micros(expire)})


_LEASE = (
    sa.update(table)
    .where(among(_c.uid, "uids"))
    .values(lease_expire_micros=sa.bindparam("expire"), lease_count=_c.lease_count + 1)
)


def get(connection: sa.Connection, uids: Collection[str]) -> list[Trigger]:
    """Those of the triggers that exist, oldest scheduled time first."""
    return [_trigger(row) for row in connection.execute(_GET, {"uids": given(uids)})]


_GET = sa.select(table).where(among(_c.uid, "uids")).order_by(_c.scheduled_micros, _c.uid)


def replace(connection: sa.Connection, trigger: Trigger) -> None:
    """Stores a trigger that exists and is locked, but for its leases."""
    row = _row(trigger)
    del row["lease_expire_micros"], row["lease_count"]
    connection.execute(sa.update(table).where(_c.uid == trigger.uid).values(row))


def delete(connection: sa.Connection, uids: Collection[str]) -> None:
    """Passes over those that do not exist. Locks in key order: two callers with the same triggers do not deadlock."""
    connection.execute(_LOCK, {"uids": given(uids)})
    connection.execute(_DELETE, {"uids": given(uids)})


_LOCK = sa.select(_c.uid).where(among(_c.uid, "uids")).order_by(_c.uid).with_for_update()
_DELETE = sa.delete(table).where(among(_c.uid, "uids"))


def run_now_pending(connection: sa.Connection, policy_uid: str) -> bool:
    """Whether the policy has a run-now that is not acknowledged."""
    query = sa.select(_c.uid).where(_c.policy_uid == policy_uid, _c.kind == Kind.RUN_NOW.value).limit(1)
    return connection.scalar(query) is not None


def _row(trigger: Trigger) -> dict[str, Any]:
    return {
        "uid": trigger.uid,
        "kind": trigger.kind.value,
        "policy_uid": trigger.policy_uid,
        "dedup_key": trigger.dedup_key,
        **trigger.policy._asdict(),
        "display_name": trigger.display_name,
        "devices": trigger.devices,
        "log_topic": trigger.log_topic,
        "associations": trigger.associations,
        "weight": trigger.weight,
        "scheduled_micros": to_micros(trigger.scheduled),
        "run_id": trigger.run_id,
        "trigger_micros": to_micros(trigger.trigger_time),
        **_missed_columns(trigger.missed),
        "retention": retentions.to_json(trigger.retention),
        "spread_seconds": trigger.spread // SECOND,
        "lease_expire_micros": 0,
        "lease_count": trigger.lease_count,
    }


def _missed_columns(missed: Missed | None) -> dict[str, Any]:
    return {
        "missed_first_micros": to_micros(missed.points.first) if missed else None,
        "missed_last_micros": to_micros(missed.points.last) if missed else None,
        "missed_count": missed.points.count if missed else None,
        "missed_reason": missed.reason.value if missed else None,
    }


def _trigger(row: sa.Row[Any]) -> Trigger:
    return Trigger(
        uid=row.uid,
        kind=Kind(row.kind),
        dedup_key=row.dedup_key,
        policy=PolicyKey(row.account, row.region, row.policy_id),
        policy_uid=row.policy_uid,
        display_name=row.display_name,
        devices=None if row.devices is None else tuple(row.devices),
        log_topic=row.log_topic,
        associations=tuple(TriggeredAssociation(uid, instance_id) for uid, instance_id in row.associations),
        scheduled=from_micros(row.scheduled_micros),
        run_id=row.run_id,
        trigger_time=from_micros(row.trigger_micros),
        missed=_missed(row),
        retention=retentions.from_json(row.retention),
        spread=row.spread_seconds * SECOND,
        lease_count=row.lease_count,
    )


def _missed(row: sa.Row[Any]) -> Missed | None:
    if row.missed_count is None:
        return None
    points = Points(from_micros(row.missed_first_micros), from_micros(row.missed_last_micros), row.missed_count)
    return Missed(points, MissedReason(row.missed_reason))
