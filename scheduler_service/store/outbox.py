"""Log entries that wait for delivery."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scheduler_service.domain.executions import Missed
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.tasks import LeftOut
from scheduler_service.store.schema import counters, outbox
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros

_DROPPED = "dropped_log_entries"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry in the outbox, under its number there."""

    id: int
    entry: Entry


def add(connection: sa.Connection, entries: Iterable[Entry]) -> None:
    """Puts entries up for delivery; those without a topic are passed over."""
    rows = [{"payload": _dump(entry)} for entry in entries if entry.log_topic]
    if rows:
        connection.execute(sa.insert(outbox), rows)


def oldest(connection: sa.Connection, limit: int) -> list[Waiting]:
    """The entries that wait longest. Replicas may deliver one twice: its insert id makes that harmless."""
    return [Waiting(row.id, _load(row.payload)) for row in connection.execute(_OLDEST, {"limit": limit})]


def remove(connection: sa.Connection, ids: Collection[int]) -> int:
    """Returns how many were there still. Locks in key order: replicas that delivered the same do not deadlock."""
    if not ids:
        return 0
    connection.execute(_LOCK, {"ids": list(ids)})
    return connection.execute(_REMOVE, {"ids": list(ids)}).rowcount


_OLDEST = sa.select(outbox.c.id, outbox.c.payload).order_by(outbox.c.id).limit(sa.bindparam("limit", type_=sa.Integer))
_IS_GIVEN = outbox.c.id.in_(sa.bindparam("ids", expanding=True))
_LOCK = sa.select(outbox.c.id).where(_IS_GIVEN).order_by(outbox.c.id).with_for_update()
_REMOVE = sa.delete(outbox).where(_IS_GIVEN)


def count(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()


def count_dropped(connection: sa.Connection, more: int) -> None:
    """Adds to the number of entries that were dropped since no topic takes them."""
    if more:
        statement = sa.update(counters).where(counters.c.name == _DROPPED)
        connection.execute(statement.values(value=counters.c.value + more))


def dropped(connection: sa.Connection) -> int:
    query = sa.select(counters.c.value).where(counters.c.name == _DROPPED)
    return int(connection.execute(query).scalar_one())


_FIELDS = tuple(field.name for field in fields(Entry))
_TIMES = ("event_time", "scheduled_time", "start_time", "end_time")


def _dump(entry: Entry) -> str:
    return json.dumps({name: getattr(entry, name) for name in _FIELDS}, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON has no word for. Not `asdict` for the whole entry: it copies every text of it."""
    return to_micros(value) if isinstance(value, datetime) else asdict(value)


def _load(payload: str) -> Entry:
    plain: dict[str, Any] = json.loads(payload)
    missed = plain["missed"]
    return Entry(
        **plain
        | {name: from_micros_or_none(plain[name]) for name in _TIMES}
        | {
            "included": tuple(plain["included"]),
            "left_out": tuple(LeftOut(**disk) for disk in plain["left_out"]),
            "missed": missed
            and Missed(from_micros(missed["first"]), from_micros(missed["last"]), missed["count"], missed["reason"]),
        }
    )
