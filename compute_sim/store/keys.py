"""Conditions on resources of many places at once, in one statement.

Statements are built once for each number of places (`is_among`) or regions (`is_in_any`), and kept for the latest
SHAPES of them: mostly there is one. `among` and `in_any` tell that number, and the values that the statement takes.
Their names are those of the condition: a statement may have one of each kind, or the same keys for several tables.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.keys import Key, Place

SHAPES = 16
Given = dict[str, Any]
"""Values of a statement's parameters."""


def is_key(table: sa.Table, column: str, key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(is_in(table, key.place), table.c[column] == key.id)


def is_in(table: sa.Table, place: Place) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.account == place.account, table.c.region == place.region)


def is_among(table: sa.Table, column: str, places: int) -> sa.ColumnElement[bool]:
    """The row's key is one of those given. Not a row value IN (…): SQLite would read the whole table for it."""
    return sa.or_(
        sa.false(),
        *(
            sa.and_(
                table.c.account == sa.bindparam(f"key_account_{number}"),
                table.c.region == sa.bindparam(f"key_region_{number}"),
                table.c[column].in_(sa.bindparam(f"key_ids_{number}", expanding=True)),
            )
            for number in range(places)
        ),
    )


def among(keys: Iterable[Key]) -> tuple[int, Given]:
    """In how many places the keys are; and they themselves, for `is_among`."""
    ids: defaultdict[Place, list[str]] = defaultdict(list)
    for key in keys:
        ids[key.place].append(key.id)
    given: Given = {}
    for number, place in enumerate(sorted(ids)):
        given |= {
            f"key_account_{number}": place.account,
            f"key_region_{number}": place.region,
            f"key_ids_{number}": sorted(ids[place]),
        }
    return len(ids), given


def is_in_any(table: sa.Table, regions: int) -> sa.ColumnElement[bool]:
    """The row belongs to one of the places given. See `is_among`; regions are few, so one term for each."""
    return sa.or_(
        sa.false(),
        *(
            sa.and_(
                table.c.region == sa.bindparam(f"any_region_{number}"),
                table.c.account.in_(sa.bindparam(f"any_accounts_{number}", expanding=True)),
            )
            for number in range(regions)
        ),
    )


def in_any(places: Iterable[Place]) -> tuple[int, Given]:
    """In how many regions the places are; and they themselves, for `is_in_any`."""
    accounts: defaultdict[str, list[str]] = defaultdict(list)
    for place in places:
        accounts[place.region].append(place.account)
    given: Given = {}
    for number, region in enumerate(sorted(accounts)):
        given |= {f"any_region_{number}": region, f"any_accounts_{number}": sorted(accounts[region])}
    return len(accounts), given


def key_of(row: Any, column: str) -> Key:
    """The key in a row that holds account, region and an id."""
    return Key(row.account, row.region, getattr(row, column))


def columns(key: Key, column: str) -> dict[str, Any]:
    """The key as values to insert."""
    return {"account": key.account, "region": key.region, column: key.id}
