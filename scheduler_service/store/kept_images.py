"""The images that tasks of ours made and that may exist: the only ones that retention knows."""

import functools
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scheduler_service.domain.retention import KeptImage, Retention
from scheduler_service.store.executions import chunks
from scheduler_service.store.schema import kept_images
from servicekit.database import Micros
from servicekit.sql import insert_missing
from servicekit.timestamps import from_micros, to_micros

_COLUMNS = list(kept_images.columns)
_AGE = sa.tuple_(kept_images.c.scheduled_time, kept_images.c.image)
_OLDEST_FIRST = (kept_images.c.scheduled_time, kept_images.c.image)
_NEWEST_FIRST = (kept_images.c.scheduled_time.desc(), kept_images.c.image.desc())
_OF_SERIES = sa.select(*_COLUMNS).where(
    kept_images.c.policy_uid == sa.bindparam("policy_uid"), kept_images.c.instance == sa.bindparam("instance")
)
_LIMIT = sa.bindparam("limit", type_=sa.Integer)
_NTH_NEWEST = _OF_SERIES.order_by(*_NEWEST_FIRST).offset(sa.bindparam("newer", type_=sa.Integer)).limit(1)


def add(connection: sa.Connection, images: Sequence[KeptImage]) -> None:
    """Takes the images into the record; those that are there already stay as they are. Their series must be there."""
    insert_missing(connection, kept_images, [_row(image) for image in images])


def newest(
    connection: sa.Connection, series: tuple[str, str], *, before: tuple[datetime, str] | None, limit: int
) -> list[KeptImage]:
    """The newest images of a series, newest first; `before` is the age key of the last one seen."""
    query = _OF_SERIES.order_by(*_NEWEST_FIRST).limit(limit)
    if before is not None:
        query = query.where(sa.tuple_(*_micros(before)) > _AGE)
    return [_image(row) for row in connection.execute(query, _given(series)).mappings()]


def over_limits(
    connection: sa.Connection,
    series: tuple[str, str],
    retention: Retention,
    now: datetime,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[KeptImage]:
    """The images of a series that reach a limit if all that are recorded exist, oldest first.

    That is: all that can go by this retention. `after` is the age key of the last one seen. However many images there
    are, no more than `limit` and `keep_last` of them are read.
    """
    reached = _reached(connection, series, retention, now)
    if reached is None:
        return []
    given = _given(series) | reached | {"limit": limit}
    if after is not None:
        given |= dict(zip(("after_time", "after_image"), _micros(after), strict=True))
    query = _over_limits_query(by_age="expired" in reached, goes_on=after is not None)
    return [_image(row) for row in connection.execute(query, given).mappings()]


@functools.cache
def _over_limits_query(*, by_age: bool, goes_on: bool) -> sa.Select[Any]:
    is_expired = kept_images.c.scheduled_time <= sa.bindparam("expired")
    query = _OF_SERIES.where(is_expired if by_age else _age_key("kept") > _AGE).order_by(*_OLDEST_FIRST).limit(_LIMIT)
    return query.where(_age_key("after") < _AGE) if goes_on else query


def _reached(
    connection: sa.Connection, series: tuple[str, str], retention: Retention, now: datetime
) -> dict[str, Any] | None:
    """Both limits say "older than": the one that says it of more is the condition, and finds its rows by the index.

    Answers its parameters.
    """
    expired = to_micros(now - retention.keep_age) if retention.keep_age else None
    kept = _last_kept(connection, series, retention.keep_last) if retention.keep_last > 0 else None
    if kept is not None and (expired is None or expired < kept[0]):
        return {"kept_time": kept[0], "kept_image": kept[1]}
    return None if expired is None else {"expired": expired}


def _last_kept(connection: sa.Connection, series: tuple[str, str], keep_last: int) -> tuple[int, str] | None:
    """The age key (in microseconds) of the oldest image that `keep_last` keeps; None if there are no older ones."""
    row = connection.execute(_NTH_NEWEST, _given(series) | {"newer": keep_last - 1}).mappings().one_or_none()
    return None if row is None else (row["scheduled_time"], row["image"])


def mark_deleting(connection: sa.Connection, names: Collection[str], *, deleting: bool) -> None:
    """Notes that a delete may reach compute, or that none did."""
    for chunk in chunks(sorted(names)):
        connection.execute(_MARK_DELETING, {"names": chunk, "is_deleting": deleting})


def remove(connection: sa.Connection, names: Collection[str]) -> None:
    """Forgets images that are gone."""
    for chunk in chunks(sorted(names)):
        connection.execute(_REMOVE, {"names": chunk})


_IS_NAMED = kept_images.c.image.in_(sa.bindparam("names", expanding=True))
_MARK_DELETING = sa.update(kept_images).where(_IS_NAMED).values(deleting=sa.bindparam("is_deleting"))
_REMOVE = sa.delete(kept_images).where(_IS_NAMED)


def _given(series: tuple[str, str]) -> dict[str, Any]:
    policy_uid, instance = series
    return {"policy_uid": policy_uid, "instance": instance}


def _age_key(name: str) -> sa.Tuple:
    return sa.tuple_(sa.bindparam(f"{name}_time", type_=Micros), sa.bindparam(f"{name}_image", type_=sa.Text))


def _micros(age_key: tuple[datetime, str]) -> tuple[int, str]:
    return to_micros(age_key[0]), age_key[1]


def _row(image: KeptImage) -> dict[str, Any]:
    return {
        "image": image.name,
        "policy_uid": image.policy_uid,
        "instance": image.instance,
        "scheduled_time": to_micros(image.scheduled_time),
        "request_id": image.request_id,
        "execution_uid": image.execution_uid,
        "deleting": image.deleting,
    }


def _image(row: sa.RowMapping) -> KeptImage:
    return KeptImage(
        name=row["image"],
        policy_uid=row["policy_uid"],
        instance=row["instance"],
        scheduled_time=from_micros(row["scheduled_time"]),
        request_id=row["request_id"],
        execution_uid=row["execution_uid"],
        deleting=row["deleting"],
    )
