"""Series of images in the database: when retention looks at each, and who does."""

import functools
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scheduler_service.domain.retention import Series
from scheduler_service.store.executions import chunks
from scheduler_service.store.schema import image_series, kept_images
from servicekit.sql import insert_or_update, rows_in, rows_text
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros

_COLUMNS = list(image_series.columns)
_KEY = (image_series.c.policy_uid, image_series.c.instance)
_IS_KEY = sa.and_(
    image_series.c.policy_uid == sa.bindparam("key_uid"), image_series.c.instance == sa.bindparam("key_instance")
)


def ask(connection: sa.Connection, series: Iterable[Series]) -> None:
    """Has each series looked at soon: an image came. Those that are not known yet are written.

    In one statement: it waits for a look that is about to remove the row, and for whoever is just writing it.
    """
    rows = [_row(one) for one in sorted(series, key=lambda one: one.key)]
    insert_or_update(connection, image_series, rows, _ASKED_AGAIN)


_ASKED_AGAIN = {"asked": image_series.c.asked + 1, "due_product": None}


def claim(
    connection: sa.Connection,
    *,
    product: datetime,
    operating: datetime,
    lease_end: datetime,
    limit: int,
    paused: Collection[str] = (),
) -> list[Series]:
    """Takes up to `limit` due series, the longest due first, until the lease ends. Nobody else gets them before.

    None in the regions that are paused.
    """
    given = _given(product, paused) | {"operating": to_micros(operating), "limit": limit}
    found = [_series(row) for row in connection.execute(_due_query(but_some=bool(paused)), given).mappings()]
    claimed = [replace(one, fence=one.fence + 1, due_operating=lease_end) for one in found]
    if claimed:
        new_due = to_micros(lease_end)
        connection.execute(_CLAIM, [_key(one) | {"new_fence": one.fence, "new_due": new_due} for one in claimed])
    return claimed


@functools.cache
def _due_query(*, but_some: bool) -> sa.Select[Any]:
    return (
        sa.select(*_COLUMNS)
        .where(_IS_DUE, _runs(but_some), image_series.c.due_operating <= sa.bindparam("operating"))
        .order_by(image_series.c.due_product)
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )


_IS_DUE = image_series.c.due_product <= sa.bindparam("now")
_CLAIM = (
    sa.update(image_series)
    .where(_IS_KEY)
    .values(fence=sa.bindparam("new_fence"), due_operating=sa.bindparam("new_due"))
)


def still_claimed(connection: sa.Connection, series: Collection[Series]) -> set[tuple[str, str]]:
    """The keys of those series that nobody claimed since, now locked."""
    fences = {one.key: one.fence for one in series}
    found = set()
    for chunk in chunks(sorted(fences)):
        for policy_uid, instance, fence in connection.execute(_LOCK, {"keys": rows_text(chunk)}):
            if fences[policy_uid, instance] == fence:
                found.add((policy_uid, instance))
    return found


_LOCK = sa.select(*_KEY, image_series.c.fence).where(rows_in(_KEY, "keys")).order_by(*_KEY).with_for_update()


def finish(connection: sa.Connection, series: Collection[Series]) -> None:
    """Stores when each is looked at next, and forgets those without images, whose rows the transaction holds.

    Not so where another image came since the claim: that series stays, and due.
    """
    if not series:
        return
    changing = ("due_product", "due_operating", "tries", "after_time", "after_image")
    rows = [(one, _row(one)) for one in series]
    connection.execute(
        _FINISH,
        [_key(one) | {"seen_asked": one.asked} | {f"new_{name}": row[name] for name in changing} for one, row in rows],
    )
    connection.execute(_FORGET_EMPTY, [_key(one) for one in series])


_IS_UNASKED = image_series.c.asked == sa.bindparam("seen_asked")
_FINISH = (
    sa.update(image_series)
    .where(_IS_KEY)
    .values(
        due_product=sa.case((_IS_UNASKED, sa.bindparam("new_due_product")), else_=image_series.c.due_product),
        due_operating=sa.bindparam("new_due_operating"),
        tries=sa.bindparam("new_tries"),
        after_time=sa.bindparam("new_after_time"),
        after_image=sa.bindparam("new_after_image"),
    )
)
_HAS_IMAGES = sa.exists().where(
    kept_images.c.policy_uid == image_series.c.policy_uid, kept_images.c.instance == image_series.c.instance
)
_FORGET_EMPTY = sa.delete(image_series).where(_IS_KEY, ~_HAS_IMAGES)


def next_due(
    connection: sa.Connection, product: datetime, *, paused: Collection[str] = ()
) -> tuple[datetime | None, datetime | None]:
    """When there is something to do: in product time among what is not due yet, in operating time among what is.

    What is in the regions that are paused is nothing to do.
    """
    query = _next_due_query(but_some=bool(paused))
    first_later, first_due = connection.execute(query, _given(product, paused)).one()
    return from_micros_or_none(first_later), from_micros_or_none(first_due)


@functools.cache
def _next_due_query(*, but_some: bool) -> sa.Select[Any]:
    is_later = image_series.c.due_product > sa.bindparam("now")
    later = sa.select(sa.func.min(image_series.c.due_product)).where(is_later, _runs(but_some))
    due = sa.select(sa.func.min(image_series.c.due_operating)).where(_IS_DUE, _runs(but_some))
    return sa.select(later.scalar_subquery(), due.scalar_subquery())


def of_policy(
    connection: sa.Connection, account: str, region: str, policy_id: str, *, start: tuple[str, str], limit: int
) -> list[tuple[str, str]]:
    """The keys of the series that were made under a policy's name, by instance, then policy uid.

    `start` is the first one that is wanted, as (instance, policy uid).
    """
    query = (
        sa.select(image_series.c.policy_uid, image_series.c.instance)
        .where(
            image_series.c.account == account,
            image_series.c.region == region,
            image_series.c.policy_id == policy_id,
            sa.tuple_(image_series.c.instance, image_series.c.policy_uid) >= sa.tuple_(*start),
        )
        .order_by(image_series.c.instance, image_series.c.policy_uid)
        .limit(limit)
    )
    return [(policy_uid, instance) for policy_uid, instance in connection.execute(query)]


def _runs(but_some: bool) -> sa.ColumnElement[bool]:
    return image_series.c.region.not_in(sa.bindparam("paused", expanding=True)) if but_some else sa.true()


def _given(product: datetime, paused: Collection[str]) -> dict[str, Any]:
    return {"now": to_micros(product)} | ({"paused": list(paused)} if paused else {})


def _key(series: Series) -> dict[str, Any]:
    return {"key_uid": series.policy_uid, "key_instance": series.instance}


def _row(series: Series) -> dict[str, Any]:
    return {
        "policy_uid": series.policy_uid,
        "instance": series.instance,
        "account": series.account,
        "region": series.region,
        "policy_id": series.policy_id,
        "due_product": to_micros(series.due_product),
        "due_operating": to_micros(series.due_operating),
        "fence": series.fence,
        "tries": series.tries,
        "asked": series.asked,
        "after_time": to_micros(series.after[0]) if series.after else None,
        "after_image": series.after[1] if series.after else "",
    }


def _series(row: sa.RowMapping) -> Series:
    return Series(
        policy_uid=row["policy_uid"],
        instance=row["instance"],
        account=row["account"],
        region=row["region"],
        policy_id=row["policy_id"],
        due_product=from_micros(row["due_product"]),
        due_operating=from_micros(row["due_operating"]),
        fence=row["fence"],
        tries=row["tries"],
        asked=row["asked"],
        after=None if row["after_time"] is None else (from_micros(row["after_time"]), row["after_image"]),
    )
