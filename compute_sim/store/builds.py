"""Builds whose time has come: looked for before everything else, so that they need nobody to finish them (rule C4)."""

import functools
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.images import ImageState
from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import QuotaKey, QuotaKind
from compute_sim.store import quotas
from compute_sim.store.keys import SHAPES, among, in_any, is_among, is_in_any, key_of
from compute_sim.store.schema import image_disks, images
from servicekit.timestamps import to_micros

_CHUNK = 500


def any_due(connection: sa.Connection, places: Collection[Place], now: datetime) -> bool:
    """Whether a build in these places should have ended by now."""
    regions, given = in_any(places)
    return connection.execute(_any_due_query(regions), given | {"now": to_micros(now)}).first() is not None


def settle(connection: sa.Connection, places: Collection[Place], now: datetime) -> bool:
    """Ends the builds whose time has come, as was decided when they were accepted; whether quota was given back.

    The places' quotas must be locked.
    """
    if not any_due(connection, places, now):
        return False
    regions, given = in_any(places)
    given["now"] = to_micros(now)
    failed = [key_of(row, "image_id") for row in connection.execute(_failed_query(regions), given)]
    for start in range(0, len(failed), _CHUNK):
        _fail(connection, failed[start : start + _CHUNK])
    connection.execute(_end_well(regions), given)
    return bool(failed)


@functools.lru_cache(SHAPES)
def _any_due_query(regions: int) -> sa.Select[Any]:
    return sa.select(sa.literal(1)).where(_is_due(regions)).limit(1)


@functools.lru_cache(SHAPES)
def _failed_query(regions: int) -> sa.Select[Any]:
    return sa.select(images.c.account, images.c.region, images.c.image_id).where(_is_due(regions), images.c.fails)


@functools.lru_cache(SHAPES)
def _end_well(regions: int) -> sa.Update:
    return _end_in(ImageState.AVAILABLE).where(_is_due(regions))


def _is_due(regions: int) -> sa.ColumnElement[bool]:
    return sa.and_(
        is_in_any(images, regions), images.c.building == sa.true(), images.c.finish_micros <= sa.bindparam("now")
    )


def _end_in(state: ImageState) -> sa.Update:
    return sa.update(images).values(state=state, building=None, revision=images.c.revision + 1)


def _fail(connection: sa.Connection, keys: Collection[Key]) -> None:
    """The images lose their snapshots, and hold no quota any more."""
    held: Counter[QuotaKey] = Counter()
    for key in keys:
        held[key.place, QuotaKind.IMAGES] += 1
    places, given = among(keys)
    are_their_disks = is_among(image_disks, "image_id", places)
    disks = sa.select(image_disks.c.account, image_disks.c.region).where(are_their_disks)
    for row in connection.execute(disks, given):
        held[Place(row.account, row.region), QuotaKind.SNAPSHOTS] += 1
    connection.execute(sa.update(image_disks).where(are_their_disks).values(snapshot_id=None), given)
    connection.execute(_end_in(ImageState.ERROR).where(is_among(images, "image_id", places)), given)
    quotas.give_back(connection, held)
