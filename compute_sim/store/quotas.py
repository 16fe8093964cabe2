"""Quotas: limits and counters, one row for each kind in each place."""

import functools
import itertools
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.keys import Place
from compute_sim.domain.quotas import DEFAULT_LIMITS, Quota, QuotaKey, QuotaKind
from compute_sim.store.keys import SHAPES, Given, in_any, is_in, is_in_any
from compute_sim.store.schema import quotas

_COLUMNS = (quotas.c.account, quotas.c.region, quotas.c.kind, quotas.c.own_limit, quotas.c.used)


def lock(connection: sa.Connection, places: Collection[Place]) -> dict[QuotaKey, Quota]:
    """All quotas of these places, locked until the transaction ends; in key order, so that no two wait for each other.

    Two that make the rows of a place at once break `pk_quotas`; the later one has to begin anew.
    """
    regions, given = in_any(places)
    found = _by_key(connection, _lock_query(regions), given)
    missing = [_new_row(*key) for key in itertools.product(sorted(places), QuotaKind) if key not in found]
    if missing:
        connection.execute(sa.insert(quotas), missing)
        found = _by_key(connection, _lock_query(regions), given)
    return found


@functools.lru_cache(SHAPES)
def _lock_query(regions: int) -> sa.Select[Any]:
    select = sa.select(*_COLUMNS).where(is_in_any(quotas, regions))
    return select.order_by(quotas.c.account, quotas.c.region, quotas.c.kind).with_for_update()


def read(connection: sa.Connection, place: Place) -> dict[QuotaKind, Quota]:
    """All quotas of a place, those that have no row yet too, in the order of their ids."""
    stored = _by_key(connection, sa.select(*_COLUMNS).where(is_in(quotas, place)))
    return {
        kind: stored.get((place, kind)) or Quota(place, kind, DEFAULT_LIMITS[kind], 0) for kind in sorted(QuotaKind)
    }


def take(connection: sa.Connection, amounts: Mapping[QuotaKey, int]) -> None:
    """Counts what comes to exist. Beyond a limit this raises AssertionError, whatever the caller has read."""
    _add(connection, {key: amount for key, amount in amounts.items() if amount}, _TAKE)


def give_back(connection: sa.Connection, amounts: Mapping[QuotaKey, int]) -> None:
    """Counts what has ceased to exist."""
    _add(connection, {key: -amount for key, amount in amounts.items() if amount}, _GIVE_BACK)


_GIVE_BACK = (
    sa.update(quotas)
    .where(
        quotas.c.account == sa.bindparam("of_account"),
        quotas.c.region == sa.bindparam("of_region"),
        quotas.c.kind == sa.bindparam("of_kind"),
    )
    .values(used=quotas.c.used + sa.bindparam("amount"))
)
_TAKE = _GIVE_BACK.where(
    quotas.c.used + sa.bindparam("amount") <= sa.func.coalesce(quotas.c.own_limit, sa.bindparam("default_limit"))
)


def _add(connection: sa.Connection, amounts: Mapping[QuotaKey, int], update: sa.Update) -> None:
    if not amounts:
        return
    rows = [
        {
            "of_account": place.account,
            "of_region": place.region,
            "of_kind": kind.value,
            "amount": amount,
            "default_limit": DEFAULT_LIMITS[kind],
        }
        for (place, kind), amount in sorted(amounts.items())
    ]
    changed = connection.execute(update, rows).rowcount
    if changed != len(rows):
        raise AssertionError(f"{len(rows) - changed} of {len(rows)} quota counters could not be changed")


def set_limit(connection: sa.Connection, place: Place, kind: QuotaKind, limit: int) -> None:
    """Changes the limit of a quota that is locked."""
    is_quota = sa.and_(is_in(quotas, place), quotas.c.kind == kind.value)
    connection.execute(sa.update(quotas).where(is_quota).values(own_limit=limit))


def _new_row(place: Place, kind: QuotaKind) -> dict[str, Any]:
    return {"account": place.account, "region": place.region, "kind": kind.value, "own_limit": None, "used": 0}


def _by_key(connection: sa.Connection, select: sa.Select[Any], given: Given | None = None) -> dict[QuotaKey, Quota]:
    found: dict[QuotaKey, Quota] = {}
    for row in connection.execute(select, given):
        place, kind = Place(row.account, row.region), QuotaKind(row.kind)
        limit = DEFAULT_LIMITS[kind] if row.own_limit is None else row.own_limit
        found[place, kind] = Quota(place, kind, limit, row.used)
    return found
