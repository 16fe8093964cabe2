"""Which requests for images are accepted (rules C1, C2, C3, C5, Q1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from compute_sim.domain.errors import (
    InstanceBusy,
    InstanceInTransition,
    InstanceNotFound,
    LocalSystemDisk,
    NoSystemDisk,
    RequestTooLate,
)
from compute_sim.domain.images import Image, ImageDisk, ImageState, NewImage, quota_of, select_disks
from compute_sim.domain.instances import Disk, DiskKind, Instance
from compute_sim.domain.keys import Key
from compute_sim.domain.quotas import Budget
from compute_sim.domain.requests import ImageRequest, RequestFate
from compute_sim.domain.simulation import Simulation
from servicekit.ids import Ids
from servicekit.names import IMAGE, INSTANCE


@dataclass(slots=True)
class Admission:
    """Decides requests one after another, on what the transaction has read and locked, and on what it decided before.

    `now` is product time, when builds start; `operating_now` is what `not_after` is held against.
    """

    requests: dict[Key, ImageRequest]
    instances: Mapping[Key, Instance]
    budget: Budget
    simulation: Simulation
    ids: Ids
    now: datetime
    operating_now: datetime
    accepted: list[Image] = field(default_factory=list)
    accepted_requests: list[ImageRequest] = field(default_factory=list)
    _building: dict[Key, str] = field(default_factory=dict)

    def admit(self, new: NewImage) -> Key:
        """The image of the request: begun for it before, or a new one in `accepted`. Raises why there is none."""
        known = self.requests.get(new.place.key(new.request_id)) if new.request_id else None
        if known is not None:
            return known.repeated(new.instance_id)
        instance = self._imageable_instance(new)
        disks, left_out = select_disks(instance.disks, new.devices)
        self.budget.take(new.place, quota_of(len(disks)))
        image_id = self.ids.new("img")
        course = self.simulation.course(self.now, disks, new.request_id or image_id)
        image = Image(
            key=new.place.key(image_id),
            display_name=new.display_name or image_id,
            instance_id=new.instance_id,
            labels=new.labels or {},
            state=ImageState.CREATING,
            disks=tuple(self._image_disk(disk) for disk in disks),
            left_out_disks=left_out,
            request_id=new.request_id,
            create_time=self.now,
            finish_time=course.finish_time,
            fails=course.fails,
            revision=1,
            deletion_protected=new.deletion_protected,
            expire_time=new.expire_time,
        )
        self._accept(image, instance.key)
        return image.key

    def _imageable_instance(self, new: NewImage) -> Instance:
        name = INSTANCE.format(account=new.place.account, region=new.place.region, instance=new.instance_id)
        if new.not_after is not None and self.operating_now > new.not_after:
            raise RequestTooLate(name, new.not_after)
        instance = self.instances.get(new.place.key(new.instance_id))
        if instance is None:
            raise InstanceNotFound(name)
        building = instance.building_image_id or self._building.get(instance.key)
        if building is not None:
            account, region = new.place
            raise InstanceBusy(name, IMAGE.format(account=account, region=region, image=building))
        if self.simulation.is_in_transition(instance.key, self.now):
            raise InstanceInTransition(name)
        if instance.system_disk is None:
            raise NoSystemDisk(name)
        if instance.system_disk.kind is DiskKind.LOCAL:
            raise LocalSystemDisk(name)
        return instance

    def _image_disk(self, disk: Disk) -> ImageDisk:
        assert disk.disk_id is not None, "cloud disks have ids"
        return ImageDisk(disk.device_name, disk.size_gib, disk.disk_id, self.ids.new("snapshot"))

    def _accept(self, image: Image, instance: Key) -> None:
        self.accepted.append(image)
        self._building[instance] = image.key.id
        if image.request_id:
            key = image.key.sibling(image.request_id)
            request = ImageRequest(key, image.instance_id, RequestFate.ACCEPTED, image.key.id)
            self.requests[key] = request
            self.accepted_requests.append(request)
