"""Images and their disks."""

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.images import Image, ImageDisk, ImageFilter, ImageState, LeftOutDisk
from compute_sim.domain.keys import Key, Place
from compute_sim.store.keys import SHAPES, Given, among, columns, is_among, is_in, is_key, key_of
from compute_sim.store.schema import image_disks, images
from servicekit.paging import Page
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros, to_micros_or_none

_COLUMNS = (
    images.c.account,
    images.c.region,
    images.c.image_id,
    images.c.display_name,
    images.c.instance_id,
    images.c.labels,
    images.c.state,
    images.c.left_out_disks,
    images.c.request_id,
    images.c.create_micros,
    images.c.finish_micros,
    images.c.fails,
    images.c.revision,
    images.c.deletion_protected,
    images.c.expire_micros,
)


def get(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, Image]:
    """Those of the images that exist."""
    if not keys:
        return {}
    places, given = among(keys)
    return {image.key: image for image in _load(connection, _get_query(places), given)}


@functools.lru_cache(SHAPES)
def _get_query(places: int) -> sa.Select[Any]:
    return sa.select(*_COLUMNS).where(is_among(images, "image_id", places))


def list_page(connection: sa.Connection, place: Place, filter: ImageFilter, page: Page) -> list[Image]:
    """The images of a page in the order of their ids, and one more if more follow."""
    select = sa.select(*_COLUMNS).where(is_in(images, place)).order_by(images.c.image_id).limit(page.size + 1)
    if page.after is not None:
        select = select.where(images.c.image_id > page.after[0])
    if filter.image_ids:
        select = select.where(images.c.image_id.in_(filter.image_ids))
    if filter.states:
        select = select.where(images.c.state.in_(filter.states))
    if filter.instance_id:
        select = select.where(images.c.instance_id == filter.instance_id)
    return _load(connection, select)


def building(connection: sa.Connection, instances: Collection[Key]) -> dict[Key, str]:
    """The id of the image that is being built of each of these instances, as far as there is one."""
    places, given = among(instances)
    rows = connection.execute(_building_query(places), given)
    return {key_of(row, "instance_id"): row.image_id for row in rows}


@functools.lru_cache(SHAPES)
def _building_query(places: int) -> sa.Select[Any]:
    select = sa.select(images.c.account, images.c.region, images.c.instance_id, images.c.image_id)
    return select.where(is_among(images, "instance_id", places), images.c.building == sa.true())


def ended_by(connection: sa.Connection, moment: datetime, limit: int) -> list[Key]:
    """At most so many unprotected images whose builds should have ended by then, and have not ended well.

    Those among them that nobody has looked at since are to be settled before more can be said.
    """
    select = sa.select(images.c.account, images.c.region, images.c.image_id).where(
        images.c.state.in_((ImageState.CREATING, ImageState.ERROR)),
        images.c.deletion_protected == sa.false(),
        images.c.finish_micros <= to_micros(moment),
    )
    return [key_of(row, "image_id") for row in connection.execute(select.limit(limit))]


def insert(connection: sa.Connection, new: Sequence[Image]) -> None:
    """Adds images with their disks and snapshots. A second one under way of an instance breaks `uq_images_…`."""
    if not new:
        return
    connection.execute(sa.insert(images), [_row(image) for image in new])
    connection.execute(sa.insert(image_disks), [_disk_row(image.key, disk) for image in new for disk in image.disks])


def update(connection: sa.Connection, image: Image) -> None:
    """Stores what a client can change of the image, and its revision."""
    values = {
        "display_name": image.display_name,
        "labels": dict(image.labels),
        "deletion_protected": image.deletion_protected,
        "expire_micros": to_micros_or_none(image.expire_time),
        "revision": image.revision,
    }
    connection.execute(sa.update(images).where(is_key(images, "image_id", image.key)).values(values))


def delete(connection: sa.Connection, keys: Collection[Key]) -> None:
    """Deletes images with their snapshots."""
    places, given = among(keys)
    for table in (image_disks, images):
        connection.execute(sa.delete(table).where(is_among(table, "image_id", places)), given)


def _load(connection: sa.Connection, select: sa.Select[Any], given: Given | None = None) -> list[Image]:
    rows = connection.execute(select, given).all()
    if not rows:
        return []
    keys = [key_of(row, "image_id") for row in rows]
    disks = _disks(connection, keys)
    return [
        Image(
            key=key,
            display_name=row.display_name,
            instance_id=row.instance_id,
            labels=row.labels,
            state=ImageState(row.state),
            disks=tuple(disks[key]),
            left_out_disks=tuple(LeftOutDisk(*disk) for disk in row.left_out_disks),
            request_id=row.request_id,
            create_time=from_micros(row.create_micros),
            finish_time=from_micros(row.finish_micros),
            fails=row.fails,
            revision=row.revision,
            deletion_protected=row.deletion_protected,
            expire_time=from_micros_or_none(row.expire_micros),
        )
        for key, row in zip(keys, rows, strict=True)
    ]


def _disks(connection: sa.Connection, keys: Iterable[Key]) -> defaultdict[Key, list[ImageDisk]]:
    places, given = among(keys)
    found: defaultdict[Key, list[ImageDisk]] = defaultdict(list)
    for row in connection.execute(_disks_query(places), given):
        disk = ImageDisk(row.device_name, row.size_gib, row.disk_id, row.snapshot_id)
        found[key_of(row, "image_id")].append(disk)
    return found


@functools.lru_cache(SHAPES)
def _disks_query(places: int) -> sa.Select[Any]:
    select = sa.select(
        image_disks.c.account,
        image_disks.c.region,
        image_disks.c.image_id,
        image_disks.c.device_name,
        image_disks.c.size_gib,
        image_disks.c.disk_id,
        image_disks.c.snapshot_id,
    )
    return select.where(is_among(image_disks, "image_id", places)).order_by(image_disks.c.device_name)


def _row(image: Image) -> dict[str, Any]:
    return {
        **columns(image.key, "image_id"),
        "display_name": image.display_name,
        "instance_id": image.instance_id,
        "labels": dict(image.labels),
        "state": image.state,
        "building": True if image.state is ImageState.CREATING else None,
        "left_out_disks": [[disk.device_name, disk.reason] for disk in image.left_out_disks],
        "request_id": image.request_id,
        "create_micros": to_micros(image.create_time),
        "finish_micros": to_micros(image.finish_time),
        "fails": image.fails,
        "revision": image.revision,
        "deletion_protected": image.deletion_protected,
        "expire_micros": to_micros_or_none(image.expire_time),
    }


def _disk_row(key: Key, disk: ImageDisk) -> dict[str, Any]:
    return {
        **columns(key, "image_id"),
        "device_name": disk.device_name,
        "size_gib": disk.size_gib,
        "disk_id": disk.disk_id,
        "snapshot_id": disk.snapshot_id,
    }
