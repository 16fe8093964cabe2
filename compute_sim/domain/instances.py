"""Instances and their disks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from compute_sim.domain.errors import DiskConflict, InstanceBusy, InstanceRunning, NoSystemDisk
from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import QuotaKind
from servicekit.names import IMAGE, INSTANCE

SYSTEM_DEVICE = "vda"
MAX_CLOUD_DISKS = 8
MAX_DISKS = 25


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
    source_snapshot_id: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A virtual machine, its disks in the order of their device names, and the image being built of it, if any."""

    key: Key
    display_name: str
    state: InstanceState
    disks: tuple[Disk, ...]
    create_time: datetime
    building_image_id: str | None = None
    source_image_id: str | None = None

    @property
    def name(self) -> str:
        return INSTANCE.format(account=self.key.account, region=self.key.region, instance=self.key.id)

    @property
    def system_disk(self) -> Disk | None:
        return self.disk(SYSTEM_DEVICE)

    def disk(self, device_name: str) -> Disk | None:
        return next((disk for disk in self.disks if disk.device_name == device_name), None)

    def check_idle(self) -> None:
        """Raises InstanceBusy while an image of the instance is being built."""
        if self.building_image_id is not None:
            account, region, _ = self.key
            raise InstanceBusy(self.name, IMAGE.format(account=account, region=region, image=self.building_image_id))

    def started(self) -> "Instance":
        """Running: it may be that already. Needs a system disk of any kind."""
        if self.system_disk is None:
            raise NoSystemDisk(self.name)
        return replace(self, state=InstanceState.RUNNING)

    def stopped(self) -> "Instance":
        """Stopped: it may be that already."""
        return replace(self, state=InstanceState.STOPPED)

    def with_disk(self, disk: Disk) -> "Instance":
        """With another disk, under a device name that is free."""
        self._check_changeable(disk.device_name)
        if self.disk(disk.device_name) is not None:
            raise DiskConflict(self.name, f"has a disk {disk.device_name} already")
        disks = tuple(sorted((*self.disks, disk), key=lambda each: each.device_name))
        if disk.kind is DiskKind.CLOUD and cloud_disks(disks) > MAX_CLOUD_DISKS:
            raise DiskConflict(self.name, f"has {MAX_CLOUD_DISKS} cloud disks, the most that it may have")
        if len(disks) > MAX_DISKS:
            raise DiskConflict(self.name, f"has {MAX_DISKS} disks, the most that it may have")
        return replace(self, disks=disks)

    def without_disk(self, device_name: str) -> "Instance":
        """Without the disk of that name; itself if there is none."""
        if self.disk(device_name) is None:
            return self
        self._check_changeable(device_name)
        return replace(self, disks=tuple(disk for disk in self.disks if disk.device_name != device_name))

    def _check_changeable(self, device_name: str) -> None:
        self.check_idle()
        if device_name == SYSTEM_DEVICE and self.state is not InstanceState.STOPPED:
            raise InstanceRunning(self.name)


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What a client asks for: these disks, or an image's. An empty id or display name is the server's to make."""

    place: Place
    instance_id: str
    display_name: str
    state: InstanceState
    disks: tuple[Disk, ...]
    source_image: Key | None = None


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Chooses instances; what is empty or None chooses all. The display name contains the text, whatever the case."""

    instance_ids: tuple[str, ...] = ()
    states: tuple[InstanceState, ...] = ()
    display_name: str = ""
    system_disk_kind: DiskKind | None = None


def quota_of(disks: tuple[Disk, ...]) -> Mapping[QuotaKind, int]:
    """What an instance with these disks takes: local disks are free."""
    return {QuotaKind.INSTANCES: 1, QuotaKind.DISKS: cloud_disks(disks)}


def quota_of_disk(disk: Disk) -> Mapping[QuotaKind, int]:
    """What one more disk takes."""
    return {QuotaKind.DISKS: cloud_disks((disk,))}


def cloud_disks(disks: tuple[Disk, ...]) -> int:
    return sum(disk.kind is DiskKind.CLOUD for disk in disks)
