"""How far the sweep for associations of deleted instances is."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from policy_service.store.schema import sweep as table
from servicekit.sql import insert_missing
from servicekit.timestamps import from_micros, to_micros

_NAME = "missing-instances"


@dataclass(frozen=True)
class Position:
    """The next piece is due at `next_time`, in product time, and begins after this association."""

    after_uid: str
    next_time: datetime


def get(connection: sa.Connection) -> Position | None:
    """None before the first sweep."""
    row = connection.execute(sa.select(table).where(table.c.name == _NAME)).one_or_none()
    return None if row is None else Position(row.after_uid, from_micros(row.next_micros))


def put(connection: sa.Connection, position: Position) -> None:
    place = {"after_uid": position.after_uid, "next_micros": to_micros(position.next_time)}
    insert_missing(connection, table, [{"name": _NAME, **place}])
    connection.execute(sa.update(table).where(table.c.name == _NAME).values(place))
