"""Series of images in the database: when retention looks at each, and who does."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scheduler_service.domain.retention import Series
from scheduler_service.store.executions import chunks
from scheduler_service.store.schema import image_series, kept_images
from servicekit.sql import insert_or_update, rows_in
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros

_COLUMNS = list(image_series.columns)
_IS_KEY = sa.and_(
    image_series.c.policy_uid == sa.bindparam("key_uid"), image_series.c.instance == sa.bindparam("key_instance")
)


def ask(connection: sa.Connection, series: Iterable[Series]) -> None:
    """Has each series looked at soon: an image came. Those that are not known yet are written.

    In one statement: it waits for a look that is about to remove the row, and for whoever is just writing it.
    """
    rows = [_row(one) for one in sorted(series, key=lambda one: one.key)]
    insert_or_update(connection, image_series, rows, {"asked": image_series.c.asked + 1, "due_product": None})


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
    query = (
        sa.select(*_COLUMNS)
        .where(_due(product), _runs(paused), image_series.c.due_operating <= to_micros(operating))
        .order_by(image_series.c.due_product)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [_series(row) for row in connection.execute(query).mappings()]
    claimed = [replace(one, fence=one.fence + 1, due_operating=lease_end) for one in found]
    if claimed:
        statement = sa.update(image_series).where(_IS_KEY)
        values = statement.values(fence=sa.bindparam("new_fence"), due_operating=to_micros(lease_end))
        connection.execute(values, [_key(one) | {"new_fence": one.fence} for one in claimed])
    return claimed


def still_claimed(connection: sa.Connection, series: Collection[Series]) -> set[tuple[str, str]]:
    """The keys of those series that nobody claimed since, now locked."""
    fences = {one.key: one.fence for one in series}
    found = set()
    for chunk in chunks(sorted(fences)):
        query = (
            sa.select(image_series.c.policy_uid, image_series.c.instance, image_series.c.fence)
            .where(rows_in([image_series.c.policy_uid, image_series.c.instance], chunk))
            .order_by(image_series.c.policy_uid, image_series.c.instance)
            .with_for_update()
        )
        for policy_uid, instance, fence in connection.execute(query):
            if fences[policy_uid, instance] == fence:
                found.add((policy_uid, instance))
    return found


def finish(connection: sa.Connection, series: Collection[Series]) -> None:
    """Stores when each is looked at next, and forgets those without images, whose rows the transaction holds.

    Not so where another image came since the claim: that series stays, and due.
    """
    if not series:
        return
    is_unasked = image_series.c.asked == sa.bindparam("seen_asked")
    statement = (
        sa.update(image_series)
        .where(_IS_KEY)
        .values(
            due_product=sa.case((is_unasked, sa.bindparam("new_due_product")), else_=image_series.c.due_product),
            due_operating=sa.bindparam("new_due_operating"),
            tries=sa.bindparam("new_tries"),
            after_time=sa.bindparam("new_after_time"),
            after_image=sa.bindparam("new_after_image"),
        )
    )
    changing = ("due_product", "due_operating", "tries", "after_time", "after_image")
    rows = [(one, _row(one)) for one in series]
    connection.execute(
        statement,
        [_key(one) | {"seen_asked": one.asked} | {f"new_{name}": row[name] for name in changing} for one, row in rows],
    )
    has_images = sa.exists().where(
        kept_images.c.policy_uid == image_series.c.policy_uid, kept_images.c.instance == image_series.c.instance
    )
    connection.execute(sa.delete(image_series).where(_IS_KEY, ~has_images), [_key(one) for one in series])


def next_due(
    connection: sa.Connection, product: datetime, *, paused: Collection[str] = ()
) -> tuple[datetime | None, datetime | None]:
    """When there is something to do: in product time among what is not due yet, in operating time among what is.

    What is in the regions that are paused is nothing to do.
    """
    later = sa.select(sa.func.min(image_series.c.due_product)).where(
        image_series.c.due_product > to_micros(product), _runs(paused)
    )
    due = sa.select(sa.func.min(image_series.c.due_operating)).where(_due(product), _runs(paused))
    return (
        from_micros_or_none(connection.execute(later).scalar()),
        from_micros_or_none(connection.execute(due).scalar()),
    )


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


def _due(product: datetime) -> sa.ColumnElement[bool]:
    return image_series.c.due_product <= to_micros(product)


def _runs(paused: Collection[str]) -> sa.ColumnElement[bool]:
    return image_series.c.region.not_in(paused) if paused else sa.true()


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
