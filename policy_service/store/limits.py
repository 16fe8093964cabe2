"""Limits of policies: a row for each place, made at first use, that counts its policies.

Whoever changes a policy's row in the same transaction does that first: so no two wait for each other.
"""

from typing import Any

import sqlalchemy as sa

from policy_service.domain.errors import PolicyLimitReached
from policy_service.domain.limits import DEFAULT_LIMIT, PolicyLimit
from policy_service.domain.policy import Place
from policy_service.store.schema import policy_limits as table
from servicekit.sql import insert_missing

_c = table.c
_LIMIT = sa.func.coalesce(_c.own_limit, DEFAULT_LIMIT)


def take(connection: sa.Connection, place: Place) -> None:
    """Counts a policy that comes to exist. Raises PolicyLimitReached."""
    _make_row(connection, place)
    counted = sa.update(table).where(_is(place), _c.used < _LIMIT).values(used=_c.used + 1)
    if connection.execute(counted).rowcount == 0:
        reached = get(connection, place)
        raise PolicyLimitReached(reached.name, limit=reached.limit, used=reached.used)


def give_back(connection: sa.Connection, place: Place) -> None:
    """Counts a policy that has ceased to exist."""
    connection.execute(sa.update(table).where(_is(place)).values(used=_c.used - 1))


def set_limit(connection: sa.Connection, place: Place, limit: int) -> None:
    """A limit below what exists is allowed."""
    _make_row(connection, place)
    connection.execute(sa.update(table).where(_is(place)).values(own_limit=limit))


def get(connection: sa.Connection, place: Place) -> PolicyLimit:
    row = connection.execute(sa.select(_LIMIT, _c.used).where(_is(place))).one_or_none()
    limit, used = (DEFAULT_LIMIT, 0) if row is None else row
    return PolicyLimit(place, limit, used)


def _make_row(connection: sa.Connection, place: Place) -> None:
    insert_missing(connection, table, [{**place._asdict(), "own_limit": None, "used": 0}])


def _is(place: Place) -> Any:
    return sa.and_(_c.account == place.account, _c.region == place.region)
