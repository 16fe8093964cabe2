"""Everything that only looks."""

from collections.abc import Collection

from compute_sim.commands.transactions import reading
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import Image, ImageFilter, Snapshot, SnapshotFilter
from compute_sim.domain.instances import Instance, InstanceFilter
from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import Quota, QuotaKind
from compute_sim.domain.simulation import Simulation
from compute_sim.store import images, instances, quotas, simulations, snapshots
from servicekit.errors import NotFound
from servicekit.names import SNAPSHOT
from servicekit.paging import Page


def get_instances(deps: Dependencies, keys: Collection[Key]) -> dict[Key, Instance]:
    """Those of the instances that exist."""
    with reading(deps, {key.place for key in keys}) as connection:
        return instances.get(connection, keys)


def list_instances(deps: Dependencies, place: Place, filter: InstanceFilter, page: Page) -> list[Instance]:
    """A page, and one more if more follow."""
    with reading(deps, {place}) as connection:
        return instances.list_page(connection, place, filter, page)


def get_images(deps: Dependencies, keys: Collection[Key]) -> dict[Key, Image]:
    """Those of the images that exist."""
    with reading(deps, {key.place for key in keys}) as connection:
        return images.get(connection, keys)


def list_images(deps: Dependencies, place: Place, filter: ImageFilter, page: Page) -> list[Image]:
    """A page, and one more if more follow."""
    with reading(deps, {place}) as connection:
        return images.list_page(connection, place, filter, page)


def get_snapshot(deps: Dependencies, key: Key) -> Snapshot:
    with reading(deps, {key.place}) as connection:
        snapshot = snapshots.get(connection, key)
    if snapshot is None:
        raise NotFound("snapshot", SNAPSHOT.format(account=key.account, region=key.region, snapshot=key.id))
    return snapshot


def list_snapshots(deps: Dependencies, place: Place, filter: SnapshotFilter, page: Page) -> list[Snapshot]:
    """A page, and one more if more follow."""
    with reading(deps, {place}) as connection:
        return snapshots.list_page(connection, place, filter, page)


def get_quotas(deps: Dependencies, place: Place) -> dict[QuotaKind, Quota]:
    """All quotas of the place, in the order of their ids."""
    with reading(deps, {place}) as connection:
        return quotas.read(connection, place)


def get_simulation(deps: Dependencies) -> Simulation:
    with deps.database.read() as connection:
        return simulations.get(connection, deps.simulation)
