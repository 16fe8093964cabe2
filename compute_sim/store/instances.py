"""Instances and their disks."""

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.instances import SYSTEM_DEVICE, Disk, DiskKind, Instance, InstanceFilter, InstanceState
from compute_sim.domain.keys import Key, Place
from compute_sim.store import images
from compute_sim.store.keys import SHAPES, Given, among, columns, is_among, is_in, is_key, key_of
from compute_sim.store.schema import instance_disks, instances
from servicekit.paging import Page
from servicekit.timestamps import from_micros, to_micros

_COLUMNS = (
    instances.c.account,
    instances.c.region,
    instances.c.instance_id,
    instances.c.display_name,
    instances.c.state,
    instances.c.create_micros,
    instances.c.source_image_id,
)


def get(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, Instance]:
    """Those of the instances that exist, with their disks and the images that are being built of them."""
    if not keys:
        return {}
    places, given = among(keys)
    return {instance.key: instance for instance in _load(connection, _get_query(places), given)}


@functools.lru_cache(SHAPES)
def _get_query(places: int) -> sa.Select[Any]:
    return sa.select(*_COLUMNS).where(is_among(instances, "instance_id", places))


def existing(connection: sa.Connection, keys: Collection[Key]) -> set[Key]:
    """Which of the keys are taken."""
    if not keys:
        return set()
    places, given = among(keys)
    select = sa.select(instances.c.account, instances.c.region, instances.c.instance_id)
    rows = connection.execute(select.where(is_among(instances, "instance_id", places)), given)
    return {key_of(row, "instance_id") for row in rows}


def list_page(connection: sa.Connection, place: Place, filter: InstanceFilter, page: Page) -> list[Instance]:
    """The instances of a page in the order of their ids, and one more if more follow."""
    select = sa.select(*_COLUMNS).where(is_in(instances, place)).order_by(instances.c.instance_id).limit(page.size + 1)
    if page.after is not None:
        select = select.where(instances.c.instance_id > page.after[0])
    if filter.instance_ids:
        select = select.where(instances.c.instance_id.in_(filter.instance_ids))
    if filter.states:
        select = select.where(instances.c.state.in_(filter.states))
    if filter.display_name:
        select = select.where(instances.c.folded_name.contains(filter.display_name.casefold(), autoescape=True))
    if filter.system_disk_kind is not None:
        select = select.where(_has_system_disk(filter.system_disk_kind))
    return _load(connection, select)


def insert(connection: sa.Connection, new: Sequence[Instance]) -> None:
    """Adds instances with their disks. An id that is taken breaks `pk_instances`, a disk's `uq_instance_disks_…`."""
    if not new:
        return
    connection.execute(sa.insert(instances), [_row(instance) for instance in new])
    disks = [_disk_row(instance.key, disk) for instance in new for disk in instance.disks]
    if disks:
        connection.execute(sa.insert(instance_disks), disks)


def set_state(connection: sa.Connection, key: Key, state: InstanceState) -> None:
    connection.execute(sa.update(instances).where(is_key(instances, "instance_id", key)).values(state=state))


def attach(connection: sa.Connection, key: Key, disk: Disk) -> None:
    connection.execute(sa.insert(instance_disks), [_disk_row(key, disk)])


def detach(connection: sa.Connection, key: Key, device_name: str) -> None:
    is_its = is_key(instance_disks, "instance_id", key)
    connection.execute(sa.delete(instance_disks).where(is_its, instance_disks.c.device_name == device_name))


def delete(connection: sa.Connection, key: Key) -> None:
    for table in (instance_disks, instances):
        connection.execute(sa.delete(table).where(is_key(table, "instance_id", key)))


def _has_system_disk(kind: DiskKind) -> sa.ColumnElement[bool]:
    same_instance = (instance_disks.c[name] == instances.c[name] for name in ("account", "region", "instance_id"))
    is_system_disk = instance_disks.c.device_name == SYSTEM_DEVICE
    return sa.exists().where(*same_instance, is_system_disk, instance_disks.c.kind == kind)


def _load(connection: sa.Connection, select: sa.Select[Any], given: Given | None = None) -> list[Instance]:
    rows = connection.execute(select, given).all()
    if not rows:
        return []
    keys = [key_of(row, "instance_id") for row in rows]
    disks = _disks(connection, keys)
    building = images.building(connection, keys)
    return [
        Instance(
            key=key,
            display_name=row.display_name,
            state=InstanceState(row.state),
            disks=tuple(disks[key]),
            create_time=from_micros(row.create_micros),
            building_image_id=building.get(key),
            source_image_id=row.source_image_id,
        )
        for key, row in zip(keys, rows, strict=True)
    ]


def _disks(connection: sa.Connection, keys: Iterable[Key]) -> defaultdict[Key, list[Disk]]:
    places, given = among(keys)
    found: defaultdict[Key, list[Disk]] = defaultdict(list)
    for row in connection.execute(_disks_query(places), given):
        disk = Disk(row.device_name, DiskKind(row.kind), row.size_gib, row.disk_id, row.source_snapshot_id)
        found[key_of(row, "instance_id")].append(disk)
    return found


@functools.lru_cache(SHAPES)
def _disks_query(places: int) -> sa.Select[Any]:
    select = sa.select(
        instance_disks.c.account,
        instance_disks.c.region,
        instance_disks.c.instance_id,
        instance_disks.c.device_name,
        instance_disks.c.kind,
        instance_disks.c.size_gib,
        instance_disks.c.disk_id,
        instance_disks.c.source_snapshot_id,
    )
    return select.where(is_among(instance_disks, "instance_id", places)).order_by(instance_disks.c.device_name)


def _row(instance: Instance) -> dict[str, Any]:
    return {
        **columns(instance.key, "instance_id"),
        "display_name": instance.display_name,
        "folded_name": instance.display_name.casefold(),
        "state": instance.state,
        "create_micros": to_micros(instance.create_time),
        "source_image_id": instance.source_image_id,
    }


def _disk_row(key: Key, disk: Disk) -> dict[str, Any]:
    return {
        **columns(key, "instance_id"),
        "device_name": disk.device_name,
        "kind": disk.kind,
        "size_gib": disk.size_gib,
        "disk_id": disk.disk_id,
        "source_snapshot_id": disk.source_snapshot_id,
    }
