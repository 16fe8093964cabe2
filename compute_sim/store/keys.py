"""Conditions on resources of many places at once, in one statement."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.keys import Key, Place


def is_key(table: sa.Table, column: str, key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(is_in(table, key.place), table.c[column] == key.id)


def is_in(table: sa.Table, place: Place) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.account == place.account, table.c.region == place.region)


def is_among(table: sa.Table, column: str, keys: Iterable[Key]) -> sa.ColumnElement[bool]:
    """The row's key is one of these. Not a row value IN (…): SQLite would read the whole table for it."""
    ids: defaultdict[Place, list[str]] = defaultdict(list)
    for key in keys:
        ids[key.place].append(key.id)
    return sa.or_(
        sa.false(), *(sa.and_(is_in(table, place), table.c[column].in_(sorted(ids[place]))) for place in sorted(ids))
    )


def is_in_any(table: sa.Table, places: Iterable[Place]) -> sa.ColumnElement[bool]:
    """The row belongs to one of these places. See `is_among`; regions are few, so one term for each."""
    accounts: defaultdict[str, list[str]] = defaultdict(list)
    for place in places:
        accounts[place.region].append(place.account)
    return sa.or_(
        sa.false(),
        *(
            sa.and_(table.c.region == region, table.c.account.in_(sorted(accounts[region])))
            for region in sorted(accounts)
        ),
    )


def key_of(row: Any, column: str) -> Key:
    """The key in a row that holds account, region and an id."""
    return Key(row.account, row.region, getattr(row, column))


def columns(key: Key, column: str) -> dict[str, Any]:
    """The key as values to insert."""
    return {"account": key.account, "region": key.region, column: key.id}
