"""Instances and their disks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import QuotaKind

SYSTEM_DEVICE = "vda"


class InstanceState(StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class DiskKind(StrEnum):
    CLOUD = "CLOUD"
    LOCAL = "LOCAL"


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of an instance. A cloud disk has an id of its own once the instance exists, a local disk never has."""

    device_name: str
    kind: DiskKind
    size_gib: int
    disk_id: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A virtual machine, its disks in the order of their device names, and the image being built of it, if any."""

    key: Key
    display_name: str
    state: InstanceState
    disks: tuple[Disk, ...]
    create_time: datetime
    building_image_id: str | None = None

    @property
    def system_disk(self) -> Disk | None:
        return next((disk for disk in self.disks if disk.device_name == SYSTEM_DEVICE), None)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What a client asks for. An empty id or display name is the server's to make."""

    place: Place
    instance_id: str
    display_name: str
    state: InstanceState
    disks: tuple[Disk, ...]


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Chooses instances; what is empty or None chooses all. The display name contains the text, whatever the case."""

    instance_ids: tuple[str, ...] = ()
    states: tuple[InstanceState, ...] = ()
    display_name: str = ""
    system_disk_kind: DiskKind | None = None


def quota_of(disks: tuple[Disk, ...]) -> Mapping[QuotaKind, int]:
    """What an instance with these disks takes: local disks are free."""
    return {QuotaKind.INSTANCES: 1, QuotaKind.DISKS: sum(disk.kind is DiskKind.CLOUD for disk in disks)}
