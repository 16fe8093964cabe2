"""The schedule ledger: rows are added, never changed."""

import functools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from policy_service.domain.ledger import OF_USERS, DisabledReason, Event, LedgerEntry, LedgerFilter
from policy_service.domain.policy import Place, PolicyKey
from policy_service.domain.schedule import Points
from policy_service.domain.triggers import MissedReason
from policy_service.store import schedules
from policy_service.store.among import among, given
from policy_service.store.schema import policies
from policy_service.store.schema import schedule_ledger as table
from servicekit.paging import Page
from servicekit.sql import rows_in
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros, to_micros_or_none

_c = table.c


def append(connection: sa.Connection, entries: Iterable[LedgerEntry]) -> None:
    rows = [_row(entry) for entry in entries]
    if rows:
        connection.execute(sa.insert(table), rows)


def page(
    connection: sa.Connection, place: Place, policy_id: str | None, filter: LedgerFilter, page: Page
) -> list[tuple[int, LedgerEntry]]:
    """The lines of a policy's name, or of a place, that fit: by time, then by number, which each comes with.

    One more than the page's size, if there are that many. The key of a page is a line's time and number.
    """
    query = sa.select(table).where(_c.account == place.account, _c.region == place.region, *_conditions(filter))
    if policy_id is not None:
        query = query.where(_c.policy_id == policy_id)
    if page.after is not None:
        micros, number = page.after
        query = query.where(_c.micros >= micros, sa.or_(_c.micros > micros, _c.id > number))
    rows = connection.execute(query.order_by(_c.micros, _c.id).limit(page.size + 1))
    return [(row.id, _entry(row)) for row in rows]


def late_points(connection: sa.Connection, policy_uids: Collection[str]) -> dict[str, int]:
    """How many points of each of these policies came after the last one that was triggered on time."""
    rows = connection.execute(_late_points_query(), {"uids": given(policy_uids)})
    return {uid: int(count or 0) for uid, count in rows}


@functools.cache
def _late_points_query() -> sa.Select[Any]:
    on_time = sa.select(sa.func.max(_c.id)).where(_c.policy_uid == policies.c.uid, _c.event == Event.SCHEDULED.value)
    late = sa.select(sa.func.sum(_c.point_count)).where(
        _c.policy_uid == policies.c.uid,
        _c.event.in_([Event.CATCH_UP.value, Event.MISSED.value]),
        _c.id > sa.func.coalesce(on_time.correlate(policies).scalar_subquery(), 0),
    )
    query = sa.select(policies.c.uid, late.correlate(policies).scalar_subquery())
    return query.where(among(policies.c.uid, "uids"))


def after(connection: sa.Connection, number: int, limit: int) -> list[tuple[int, datetime]]:
    """The number and time of lines, in the order of their numbers, from the one after `number`."""
    rows = connection.execute(sa.select(_c.id, _c.micros).where(_c.id > number).order_by(_c.id).limit(limit))
    return [(id, from_micros(micros)) for id, micros in rows]


def forget(connection: sa.Connection, numbers: Collection[int]) -> None:
    """Deletes lines, but for the last one of each policy that tells what a user did, while the policy exists."""
    of_users = [event.value for event in OF_USERS]
    later = table.alias()
    last = sa.select(sa.func.max(later.c.id)).where(later.c.policy_uid == _c.policy_uid, later.c.event.in_(of_users))
    is_needed = sa.and_(
        _c.event.in_(of_users),
        sa.exists().where(policies.c.uid == _c.policy_uid),
        _c.id == last.scalar_subquery(),
    )
    is_given = rows_in([_c.id], [(number,) for number in numbers])
    connection.execute(sa.delete(table).where(is_given, sa.not_(is_needed)))


def _conditions(filter: LedgerFilter) -> Iterator[sa.ColumnElement[bool]]:
    if filter.start is not None:
        yield _c.micros >= to_micros(filter.start)
    if filter.end is not None:
        yield _c.micros < to_micros(filter.end)
    if filter.events:
        yield among(_c.event, [event.value for event in filter.events])


def _row(entry: LedgerEntry) -> dict[str, Any]:
    return {
        **entry.policy._asdict(),
        "policy_uid": entry.policy_uid,
        "event": entry.event.value,
        "first_micros": to_micros(entry.points.first) if entry.points else None,
        "last_micros": to_micros(entry.points.last) if entry.points else None,
        "point_count": entry.points.count if entry.points else None,
        "reason": entry.reason.value if entry.reason else None,
        "micros": to_micros(entry.time),
        "run_id": entry.run_id or None,
        "schedule": schedules.to_columns(entry.schedule) if entry.schedule else None,
        "next_execution_micros": to_micros_or_none(entry.next_execution),
        "next_local_time": entry.next_local_time or None,
    }


def _entry(row: sa.Row[Any]) -> LedgerEntry:
    event = Event(row.event)
    return LedgerEntry(
        policy=PolicyKey(row.account, row.region, row.policy_id),
        policy_uid=row.policy_uid,
        event=event,
        points=_points(row),
        reason=_reason(event, row.reason),
        time=from_micros(row.micros),
        run_id=row.run_id or "",
        schedule=schedules.from_columns(row.schedule) if row.schedule else None,
        next_execution=from_micros_or_none(row.next_execution_micros),
        next_local_time=row.next_local_time or "",
    )


def _points(row: sa.Row[Any]) -> Points | None:
    if row.point_count is None:
        return None
    return Points(from_micros(row.first_micros), from_micros(row.last_micros), row.point_count)


def _reason(event: Event, text: str | None) -> MissedReason | DisabledReason | None:
    if text is None:
        return None
    return MissedReason(text) if event is Event.MISSED else DisabledReason(text)
