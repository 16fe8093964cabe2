"""Request ids of images, and what became of them."""

import functools
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.keys import Key
from compute_sim.domain.requests import ImageRequest, RequestFate
from compute_sim.store.keys import SHAPES, among, columns, is_among, key_of
from compute_sim.store.schema import image_requests
from servicekit.timestamps import to_micros


def get(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, ImageRequest]:
    """What is known of these request ids."""
    if not keys:
        return {}
    places, given = among(keys)
    found = (
        ImageRequest(key_of(row, "request_id"), row.instance_id, RequestFate(row.fate), row.image_id)
        for row in connection.execute(_get_query(places), given)
    )
    return {request.key: request for request in found}


@functools.lru_cache(SHAPES)
def _get_query(places: int) -> sa.Select[Any]:
    return sa.select(
        image_requests.c.account,
        image_requests.c.region,
        image_requests.c.request_id,
        image_requests.c.instance_id,
        image_requests.c.fate,
        image_requests.c.image_id,
    ).where(is_among(image_requests, "request_id", places))


def insert(connection: sa.Connection, new: Sequence[ImageRequest], now: datetime) -> None:
    if not new:
        return
    rows = [
        {
            **columns(request.key, "request_id"),
            "instance_id": request.instance_id,
            "fate": request.fate,
            "image_id": request.image_id,
            "since_micros": to_micros(now),
        }
        for request in new
    ]
    connection.execute(sa.insert(image_requests), rows)


def mark_deleted(connection: sa.Connection, images: Collection[Key], now: datetime) -> None:
    """The images' request ids will never build another one."""
    places, given = among(images)
    are_theirs = is_among(image_requests, "image_id", places)
    values = {"fate": RequestFate.DELETED, "since_micros": to_micros(now)}
    connection.execute(sa.update(image_requests).where(are_theirs).values(values), given)


def purge(connection: sa.Connection, before: datetime, limit: int) -> int:
    """Deletes at most `limit` of the marks that were made by then; how many."""
    old = (
        sa.select(image_requests.c.account, image_requests.c.region, image_requests.c.request_id)
        .where(
            image_requests.c.fate.in_((RequestFate.DELETED, RequestFate.RESOLVED)),
            image_requests.c.since_micros <= to_micros(before),
        )
        .limit(limit)
        .with_for_update(skip_locked=True)  # a replica that purges too takes others
    )
    keys = [key_of(row, "request_id") for row in connection.execute(old)]
    if not keys:
        return 0
    places, given = among(keys)
    statement = sa.delete(image_requests).where(is_among(image_requests, "request_id", places))
    return connection.execute(statement, given).rowcount
