"""Images: what one holds, and how far it is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from compute_sim.domain.errors import ImageNotAvailable, ImageProtected
from compute_sim.domain.instances import SYSTEM_DEVICE, Disk, DiskKind
from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import QuotaKind
from servicekit.errors import StaleEtag
from servicekit.names import IMAGE

FAILED_KEPT = timedelta(days=7)
"""How long the record of a failed image stays, in product time, from when its build ended (rule X10)."""


class ImageState(StrEnum):
    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    ERROR = "ERROR"


class SnapshotState(StrEnum):
    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"


@dataclass(frozen=True, slots=True)
class ImageDisk:
    """A disk that an image holds; its snapshot is gone when the image failed."""

    device_name: str
    size_gib: int
    disk_id: str
    snapshot_id: str | None


@dataclass(frozen=True, slots=True)
class LeftOutDisk:
    """A disk that was asked for and is not in the image; the reason is LOCAL_DISK or NO_SUCH_DISK."""

    device_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image as it is stored. How its build ends is decided when it is accepted, and secret until `finish_time`."""

    key: Key
    display_name: str
    instance_id: str
    labels: Mapping[str, str]
    state: ImageState
    disks: tuple[ImageDisk, ...]
    left_out_disks: tuple[LeftOutDisk, ...]
    request_id: str
    create_time: datetime
    finish_time: datetime
    fails: bool
    revision: int
    deletion_protected: bool = False
    expire_time: datetime | None = None

    @property
    def name(self) -> str:
        return IMAGE.format(account=self.key.account, region=self.key.region, image=self.key.id)

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'

    def progress_percent(self, now: datetime) -> int:
        """The share of the build's time that has passed; 100 only for an image that is complete."""
        if self.state is not ImageState.CREATING:
            return 100 if self.state is ImageState.AVAILABLE else 99
        whole = self.finish_time - self.create_time
        share = 100 * (now - self.create_time) // whole if whole else 0
        return min(max(share, 0), 99)

    def check_deletable(self, etag: str) -> None:
        """Raises why a client may not delete the image that it knows by this etag (empty: by any)."""
        self.check_etag(etag)
        if self.deletion_protected:
            raise ImageProtected(self.name)

    def is_forgettable(self, now: datetime) -> bool:
        """Whether it is nothing but the record of a failure, unprotected, and has been there long enough."""
        failed = self.state is ImageState.ERROR and not self.deletion_protected
        return failed and now - self.finish_time >= FAILED_KEPT

    def check_etag(self, etag: str) -> None:
        if etag and etag != self.etag:
            raise StaleEtag("image", self.name)

    def disks_to_make(self) -> tuple[Disk, ...]:
        """The disks of an instance that is made from the image (C6). Raises ImageNotAvailable."""
        if self.state is not ImageState.AVAILABLE:
            raise ImageNotAvailable(self.name, self.state)
        return tuple(
            Disk(disk.device_name, DiskKind.CLOUD, disk.size_gib, source_snapshot_id=disk.snapshot_id)
            for disk in self.disks
        )

    def quota(self) -> Mapping[QuotaKind, int]:
        """What the image holds of each quota: nothing once it failed."""
        if self.state is ImageState.ERROR:
            return {}
        return quota_of(len(self.disks))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A disk of an image, seen by itself."""

    key: Key
    image_id: str
    disk_id: str
    device_name: str
    size_gib: int
    state: SnapshotState
    create_time: datetime


@dataclass(frozen=True, slots=True)
class NewImage:
    """What a client asks for. No devices mean all, no display name means the image's id; request ids are lower case."""

    place: Place
    instance_id: str
    display_name: str = ""
    labels: Mapping[str, str] | None = None
    devices: frozenset[str] = frozenset()
    request_id: str = ""
    not_after: datetime | None = None
    deletion_protected: bool = False
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What a client changes of an image. None stays as it is; but `changes_expire_time` tells of the expire time.

    An empty display name means the image's id.
    """

    display_name: str | None = None
    labels: Mapping[str, str] | None = None
    deletion_protected: bool | None = None
    changes_expire_time: bool = False
    expire_time: datetime | None = None

    def applied(self, image: Image) -> Image:
        """The image with the change; of the next revision, unless it is as it was."""
        name, labels, protected = self.display_name, self.labels, self.deletion_protected
        changed = replace(
            image,
            display_name=image.display_name if name is None else name or image.key.id,
            labels=image.labels if labels is None else labels,
            deletion_protected=image.deletion_protected if protected is None else protected,
            expire_time=self.expire_time if self.changes_expire_time else image.expire_time,
        )
        return image if changed == image else replace(changed, revision=image.revision + 1)


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Chooses images; what is empty chooses all."""

    image_ids: tuple[str, ...] = ()
    states: tuple[ImageState, ...] = ()
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Chooses snapshots; what is empty chooses all."""

    image_id: str = ""
    states: tuple[SnapshotState, ...] = ()


def quota_of(disks: int) -> Mapping[QuotaKind, int]:
    """What an image of so many disks takes. Images come first: their quota is the one told when neither suffices."""
    return {QuotaKind.IMAGES: 1, QuotaKind.SNAPSHOTS: disks}


def select_disks(disks: tuple[Disk, ...], devices: Collection[str]) -> tuple[list[Disk], tuple[LeftOutDisk, ...]]:
    """The disks that an image holds when it is asked for `devices` (none: all), and those it leaves out (rule C1).

    The system disk is always asked for. Both in the order of device names.
    """
    asked = {*devices, SYSTEM_DEVICE} if devices else {disk.device_name for disk in disks}
    by_name = {disk.device_name: disk for disk in disks}
    included, left_out = [], []
    for name in sorted(asked):
        disk = by_name.get(name)
        if disk is None:
            left_out.append(LeftOutDisk(name, "NO_SUCH_DISK"))
        elif disk.kind is DiskKind.LOCAL:
            left_out.append(LeftOutDisk(name, "LOCAL_DISK"))
        else:
            included.append(disk)
    return included, tuple(left_out)
