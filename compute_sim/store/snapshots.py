"""Snapshots: the disks of images that have not failed, seen by themselves."""

from typing import Any

import sqlalchemy as sa

from compute_sim.domain.images import ImageState, Snapshot, SnapshotFilter, SnapshotState
from compute_sim.domain.keys import Key, Place
from compute_sim.store.keys import is_in, is_key, key_of
from compute_sim.store.schema import image_disks, images
from servicekit.paging import Page
from servicekit.timestamps import from_micros

_SAME_IMAGE = sa.and_(*(image_disks.c[name] == images.c[name] for name in ("account", "region", "image_id")))
_SELECT = (
    sa.select(
        image_disks.c.account,
        image_disks.c.region,
        image_disks.c.snapshot_id,
        image_disks.c.image_id,
        image_disks.c.disk_id,
        image_disks.c.device_name,
        image_disks.c.size_gib,
        images.c.state,
        images.c.create_micros,
    )
    .join_from(image_disks, images, _SAME_IMAGE)
    .where(image_disks.c.snapshot_id.is_not(None))
)


def get(connection: sa.Connection, key: Key) -> Snapshot | None:
    row = connection.execute(_SELECT.where(is_key(image_disks, "snapshot_id", key))).one_or_none()
    return None if row is None else _snapshot(row)


def list_page(connection: sa.Connection, place: Place, filter: SnapshotFilter, page: Page) -> list[Snapshot]:
    """The snapshots of a page in the order of their ids, and one more if more follow."""
    select = _SELECT.where(is_in(image_disks, place)).order_by(image_disks.c.snapshot_id).limit(page.size + 1)
    if page.after is not None:
        select = select.where(image_disks.c.snapshot_id > page.after[0])
    if filter.image_id:
        select = select.where(image_disks.c.image_id == filter.image_id)
    if filter.states:
        select = select.where(images.c.state.in_(filter.states))
    return [_snapshot(row) for row in connection.execute(select)]


def _snapshot(row: Any) -> Snapshot:
    is_complete = row.state == ImageState.AVAILABLE
    return Snapshot(
        key=key_of(row, "snapshot_id"),
        image_id=row.image_id,
        disk_id=row.disk_id,
        device_name=row.device_name,
        size_gib=row.size_gib,
        state=SnapshotState.AVAILABLE if is_complete else SnapshotState.CREATING,
        create_time=from_micros(row.create_micros),
    )
