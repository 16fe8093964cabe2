"""Between the contract's messages and the domain's values. Requests have been validated."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from autoimage.compute.v1 import compute_pb2 as compute
from autoimage.compute.v1 import image_service_pb2 as image_service
from autoimage.compute.v1 import instance_service_pb2 as instance_service
from autoimage.compute.v1 import snapshot_service_pb2 as snapshot_service
from autoimage.simulation.v1 import simulation_pb2
from autoimage.type.v1 import disks_pb2, reason_pb2
from compute_sim.domain.images import (
    Image,
    ImageChange,
    ImageFilter,
    ImageState,
    NewImage,
    Snapshot,
    SnapshotFilter,
    SnapshotState,
)
from compute_sim.domain.instances import Disk, DiskKind, Instance, InstanceFilter, InstanceState, NewInstance
from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import Quota, QuotaKey, QuotaKind
from compute_sim.domain.requests import ImageRequestReference
from compute_sim.domain.simulation import SIMULATION, CallConduct, Simulation
from servicekit.errors import NotFound
from servicekit.names import ACCOUNT_REGION, DISK, IMAGE, INSTANCE, QUOTA, SNAPSHOT, Pattern
from servicekit.timestamps import from_proto, to_proto, to_proto_or_none

_INSTANCE_STATES = {
    compute.Instance.STATE_RUNNING: InstanceState.RUNNING,
    compute.Instance.STATE_STOPPED: InstanceState.STOPPED,
}
_DISK_KINDS = {
    compute.InstanceDisk.KIND_CLOUD: DiskKind.CLOUD,
    compute.InstanceDisk.KIND_LOCAL: DiskKind.LOCAL,
}
_IMAGE_STATES = {
    compute.Image.STATE_CREATING: ImageState.CREATING,
    compute.Image.STATE_AVAILABLE: ImageState.AVAILABLE,
    compute.Image.STATE_ERROR: ImageState.ERROR,
}
_SNAPSHOT_STATES = {
    compute.Snapshot.STATE_CREATING: SnapshotState.CREATING,
    compute.Snapshot.STATE_AVAILABLE: SnapshotState.AVAILABLE,
}
_INSTANCE_STATES_BACK = {value: key for key, value in _INSTANCE_STATES.items()}
_DISK_KINDS_BACK = {value: key for key, value in _DISK_KINDS.items()}
_IMAGE_STATES_BACK = {value: key for key, value in _IMAGE_STATES.items()}
_SNAPSHOT_STATES_BACK = {value: key for key, value in _SNAPSHOT_STATES.items()}


# Names


def place(parent: str) -> Place:
    return Place(**ACCOUNT_REGION.parse(parent))


def key(pattern: Pattern, name: str) -> Key:
    """The key in a name of account, region and one id."""
    return Key(*pattern.parse(name).values())


def quota_key(name: str) -> QuotaKey:
    """The quota of a name; NotFound if there is no such kind."""
    found = key(QUOTA, name)
    if found.id not in set(QuotaKind):
        raise NotFound("quota", name)
    return found.place, QuotaKind(found.id)


# Requests


def new_instance(request: instance_service.CreateInstanceRequest) -> NewInstance:
    asked = request.instance
    disks = (new_disk(disk) for disk in asked.disks)
    return NewInstance(
        place=place(request.parent),
        instance_id=request.instance_id,
        display_name=asked.display_name,
        state=_INSTANCE_STATES.get(asked.state, InstanceState.RUNNING),
        disks=tuple(sorted(disks, key=lambda disk: disk.device_name)),
        source_image=key(IMAGE, request.source_image) if request.source_image else None,
    )


def new_disk(disk: compute.InstanceDisk) -> Disk:
    return Disk(disk.device_name, _DISK_KINDS[disk.kind], disk.size_gib)


def instance_filter(filter: instance_service.InstanceFilter) -> InstanceFilter:
    return InstanceFilter(
        instance_ids=tuple(filter.instance_ids),
        states=tuple(_INSTANCE_STATES[state] for state in filter.states),
        display_name=filter.display_name,
        system_disk_kind=_DISK_KINDS.get(filter.system_disk_kind),
    )


def new_image(request: image_service.CreateImageRequest) -> NewImage:
    instance = key(INSTANCE, request.image.source_instance)
    return NewImage(
        place=instance.place,
        instance_id=instance.id,
        display_name=request.image.display_name,
        labels=dict(request.image.labels),
        devices=frozenset(request.devices),
        request_id=request.request_id.lower(),
        not_after=from_proto(request.not_after) if request.HasField("not_after") else None,
        deletion_protected=request.image.deletion_protected,
        expire_time=_expire_time(request.image),
    )


def image_change(image: compute.Image, fields: Collection[str]) -> ImageChange:
    """A change of these fields to what they are in the message."""
    return ImageChange(
        display_name=image.display_name if "display_name" in fields else None,
        labels=dict(image.labels) if "labels" in fields else None,
        deletion_protected=image.deletion_protected if "deletion_protected" in fields else None,
        changes_expire_time="expire_time" in fields,
        expire_time=_expire_time(image),
    )


def _expire_time(image: compute.Image) -> datetime | None:
    return from_proto(image.expire_time) if image.HasField("expire_time") else None


def image_filter(filter: image_service.ImageFilter) -> ImageFilter:
    return ImageFilter(
        image_ids=tuple(filter.image_ids),
        states=tuple(_IMAGE_STATES[state] for state in filter.states),
        instance_id=key(INSTANCE, filter.source_instance).id if filter.source_instance else "",
    )


def image_request_reference(reference: image_service.ImageRequestReference) -> ImageRequestReference:
    instance = key(INSTANCE, reference.source_instance)
    return ImageRequestReference(instance.sibling(reference.request_id.lower()), instance.id)


def snapshot_filter(filter: snapshot_service.SnapshotFilter) -> SnapshotFilter:
    return SnapshotFilter(
        image_id=key(IMAGE, filter.image).id if filter.image else "",
        states=tuple(_SNAPSHOT_STATES[state] for state in filter.states),
    )


def simulation_changes(message: simulation_pb2.Simulation, fields: Collection[str]) -> dict[str, Any]:
    """A change of these fields to what they are in the message."""
    asked = Simulation(
        build_duration=message.build_duration.ToTimedelta(),
        build_duration_per_gib=message.build_duration_per_gib.ToTimedelta(),
        snapshot_failure_probability=message.snapshot_failure_probability,
        seed=message.seed,
        slow_build_probability=message.slow_build_probability,
        stalled_build_probability=message.stalled_build_probability,
        busy_instance_probability=message.busy_instance_probability,
        calls=tuple(_call_conduct(call) for call in message.calls),
    )
    return {field: getattr(asked, field) for field in fields}


def _call_conduct(call: simulation_pb2.CallConduct) -> CallConduct:
    return CallConduct(
        method=call.method,
        latency=call.latency.ToTimedelta(),
        refusal_probability=call.refusal_probability,
        throttling_probability=call.throttling_probability,
        answer_loss_probability=call.answer_loss_probability,
    )


# Resources


def instance(instance: Instance) -> compute.Instance:
    return compute.Instance(
        name=instance.name,
        display_name=instance.display_name,
        state=_INSTANCE_STATES_BACK[instance.state],
        disks=[_instance_disk(instance.key, disk) for disk in instance.disks],
        create_time=to_proto(instance.create_time),
        building_image=_name_or_empty(IMAGE, instance.key, instance.building_image_id),
        source_image=_name_or_empty(IMAGE, instance.key, instance.source_image_id),
    )


def _instance_disk(key: Key, disk: Disk) -> compute.InstanceDisk:
    return compute.InstanceDisk(
        device_name=disk.device_name,
        kind=_DISK_KINDS_BACK[disk.kind],
        size_gib=disk.size_gib,
        disk=_name_or_empty(DISK, key, disk.disk_id),
        source_snapshot=_name_or_empty(SNAPSHOT, key, disk.source_snapshot_id),
    )


def _name_or_empty(pattern: Pattern, beside: Key, id: str | None) -> str:
    """The name of the resource with this id in the place of the other; empty if there is none."""
    return pattern.format(account=beside.account, region=beside.region, **{pattern.variables[-1]: id}) if id else ""


def image(image: Image, now: datetime) -> compute.Image:
    """As the image is seen at this product time: nothing tells beforehand when its build will end, or how."""
    account, region, _ = image.key
    is_finished = image.state is not ImageState.CREATING
    return compute.Image(
        name=image.name,
        display_name=image.display_name,
        source_instance=INSTANCE.format(account=account, region=region, instance=image.instance_id),
        labels=image.labels,
        state=_IMAGE_STATES_BACK[image.state],
        progress_percent=image.progress_percent(now),
        disks=_image_disks(image),
        left_out_disks=[
            disks_pb2.LeftOutDisk(device_name=disk.device_name, reason=reason(disk.reason))
            for disk in image.left_out_disks
        ],
        reason=reason("SNAPSHOT_FAILED" if image.state is ImageState.ERROR else "UNSPECIFIED"),
        request_id=image.request_id,
        create_time=to_proto(image.create_time),
        finish_time=to_proto(image.finish_time) if is_finished else None,
        etag=image.etag,
        deletion_protected=image.deletion_protected,
        expire_time=to_proto_or_none(image.expire_time),
    )


def _image_disks(image: Image) -> list[compute.ImageDisk]:
    return [
        compute.ImageDisk(
            device_name=disk.device_name,
            size_gib=disk.size_gib,
            snapshot=_name_or_empty(SNAPSHOT, image.key, disk.snapshot_id),
        )
        for disk in image.disks
    ]


def reason(name: str) -> reason_pb2.Reason.ValueType:
    """The contract's value for a reason of the domain."""
    return reason_pb2.Reason.Value(f"REASON_{name}")


def snapshot(snapshot: Snapshot) -> compute.Snapshot:
    account, region, snapshot_id = snapshot.key
    return compute.Snapshot(
        name=SNAPSHOT.format(account=account, region=region, snapshot=snapshot_id),
        image=IMAGE.format(account=account, region=region, image=snapshot.image_id),
        source_disk=DISK.format(account=account, region=region, disk=snapshot.disk_id),
        device_name=snapshot.device_name,
        size_gib=snapshot.size_gib,
        state=_SNAPSHOT_STATES_BACK[snapshot.state],
        create_time=to_proto(snapshot.create_time),
    )


def quota(quota: Quota) -> compute.Quota:
    return compute.Quota(name=quota.name, limit=quota.limit, used=quota.used)


def simulation(simulation: Simulation) -> simulation_pb2.Simulation:
    return simulation_pb2.Simulation(
        name=SIMULATION,
        seed=simulation.seed,
        build_duration=_duration(simulation.build_duration),
        build_duration_per_gib=_duration(simulation.build_duration_per_gib),
        snapshot_failure_probability=simulation.snapshot_failure_probability,
        slow_build_probability=simulation.slow_build_probability,
        stalled_build_probability=simulation.stalled_build_probability,
        busy_instance_probability=simulation.busy_instance_probability,
        calls=[_call_conduct_message(conduct) for conduct in simulation.calls],
        etag=simulation.etag,
    )


def _call_conduct_message(conduct: CallConduct) -> simulation_pb2.CallConduct:
    return simulation_pb2.CallConduct(
        method=conduct.method,
        latency=_duration(conduct.latency),
        refusal_probability=conduct.refusal_probability,
        throttling_probability=conduct.throttling_probability,
        answer_loss_probability=conduct.answer_loss_probability,
    )


def _duration(value: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(value)
    return message
