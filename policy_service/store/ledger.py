"""The schedule ledger: rows are added, never changed."""

from collections.abc import Iterable

import sqlalchemy as sa

from policy_service.domain.ledger import LedgerEntry
from policy_service.domain.policy import PolicyKey
from policy_service.domain.schedule import Points
from policy_service.domain.triggers import Kind, MissedReason
from policy_service.store.schema import schedule_ledger as table
from servicekit.timestamps import from_micros, to_micros


def append(connection: sa.Connection, entries: Iterable[LedgerEntry]) -> None:
    rows = [
        {
            **entry.policy._asdict(),
            "policy_uid": entry.policy_uid,
            "event": entry.event.value,
            "first_micros": to_micros(entry.points.first),
            "last_micros": to_micros(entry.points.last),
            "point_count": entry.points.count,
            "reason": entry.reason.value if entry.reason else None,
            "micros": to_micros(entry.time),
        }
        for entry in entries
    ]
    if rows:
        connection.execute(sa.insert(table), rows)


def of_policy(connection: sa.Connection, policy_uid: str) -> list[LedgerEntry]:
    """The whole history of a policy, oldest first."""
    query = sa.select(table).where(table.c.policy_uid == policy_uid).order_by(table.c.id)
    return [
        LedgerEntry(
            policy=PolicyKey(row.account, row.region, row.policy_id),
            policy_uid=row.policy_uid,
            event=Kind(row.event),
            points=Points(from_micros(row.first_micros), from_micros(row.last_micros), row.point_count),
            reason=MissedReason(row.reason) if row.reason else None,
            time=from_micros(row.micros),
        )
        for row in connection.execute(query)
    ]
