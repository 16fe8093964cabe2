"""How far each sweep is."""

import enum
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from policy_service.store.schema import sweep as table
from servicekit.sql import insert_missing, take_turns
from servicekit.timestamps import from_micros, to_micros


class Sweep(enum.StrEnum):
    """What is looked for: associations of deleted instances, by uid; deleted log topics, by name; history by number."""

    MISSING_INSTANCES = "missing-instances"
    MISSING_LOG_TOPICS = "missing-log-topics"
    OLD_HISTORY = "old-history"


@dataclass(frozen=True)
class Position:
    """The next piece is due at `next_time`, in product time, and begins after this key."""

    after: str
    next_time: datetime


def get(connection: sa.Connection, of: Sweep) -> Position | None:
    """None before the first piece. In a transaction that writes, whoever is at the same sweep is waited for."""
    take_turns(connection, table.name, [of.value])
    row = connection.execute(sa.select(table).where(table.c.name == of.value)).one_or_none()
    return None if row is None else Position(row.after_uid, from_micros(row.next_micros))


def put(connection: sa.Connection, of: Sweep, position: Position) -> None:
    place = {"after_uid": position.after, "next_micros": to_micros(position.next_time)}
    insert_missing(connection, table, [{"name": of.value, **place}])
    connection.execute(sa.update(table).where(table.c.name == of.value).values(place))
