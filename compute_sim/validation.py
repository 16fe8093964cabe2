"""The shape of requests: every violation, not the first. Whether a field must be there stands in the contract."""

import re
from collections.abc import Collection, Iterable, Mapping

import regex
from google.protobuf.duration_pb2 import Duration

from autoimage.compute.v1 import compute_pb2 as compute
from autoimage.compute.v1 import image_service_pb2 as image_service
from autoimage.compute.v1 import instance_service_pb2 as instance_service
from autoimage.compute.v1 import quota_service_pb2 as quota_service
from autoimage.compute.v1 import snapshot_service_pb2 as snapshot_service
from autoimage.simulation.v1 import simulation_pb2, simulation_service_pb2
from compute_sim.domain.instances import MAX_CLOUD_DISKS, MAX_DISKS, SYSTEM_DEVICE
from compute_sim.domain.simulation import SIMULATION
from servicekit import masks
from servicekit import validation as v
from servicekit.names import ACCOUNT_REGION, IMAGE, INSTANCE, QUOTA, SNAPSHOT
from servicekit.validation import Violations

ANY_PLACE = "accounts/-/regions/-"
"""The parent of a batch whose items are of any places."""

IMAGE_FIELDS = frozenset({"display_name", "labels", "deletion_protected", "expire_time"})
"""What can be changed of an image."""

_PROBABILITIES = (
    "snapshot_failure_probability",
    "slow_build_probability",
    "stalled_build_probability",
    "busy_instance_probability",
)
SIMULATION_FIELDS = frozenset({"seed", "build_duration", "build_duration_per_gib", "calls", *_PROBABILITIES})
"""What can be changed of the simulation."""

_MAX_BATCH = 500
_MAX_FILTER_IDS = 100
_MAX_LABELS = 64
_MAX_LABEL_BYTES = 16_384
"""So that the largest batch of images fits in a message: 500 of 16 KiB and what else they have, in 16 MiB."""
_MAX_LIMIT = 1_000_000
_MAX_SEED = 2**63 - 1
_MAX_CALLS = 50
_DEVICE_NAME = re.compile(r"vd[a-z]")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_INSTANCE_DISPLAY_NAME = regex.compile(r"[\p{Han}A-Za-z0-9_.-]{1,32}")


# Instances


def create_instance(request: instance_service.CreateInstanceRequest) -> Violations:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.resource_id("instance_id", request.instance_id)
        + v.request_id("request_id", request.request_id)
        + v.name("source_image", request.source_image, IMAGE, parent=request.parent)
        + (_instance(request.instance, from_image=bool(request.source_image)) if request.HasField("instance") else [])
    )


def batch_create_instances(request: instance_service.BatchCreateInstancesRequest) -> Violations:
    return _batch(request.parent, "requests", request.requests)


def get_instance(request: instance_service.GetInstanceRequest) -> Violations:
    return v.name("name", request.name, INSTANCE)


def batch_get_instances(request: instance_service.BatchGetInstancesRequest) -> Violations:
    return _batch(request.parent, "names", request.names)


def list_instances(request: instance_service.ListInstancesRequest) -> Violations:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.page(request)
        + _ids("filter.instance_ids", request.filter.instance_ids)
        + _states("filter.states", request.filter.states)
        + v.length("filter.display_name", request.filter.display_name, 1, 32)
    )


def delete_instance(request: instance_service.DeleteInstanceRequest) -> Violations:
    return v.name("name", request.name, INSTANCE)


def start_instance(request: instance_service.StartInstanceRequest) -> Violations:
    return v.name("name", request.name, INSTANCE)


def stop_instance(request: instance_service.StopInstanceRequest) -> Violations:
    return v.name("name", request.name, INSTANCE)


def attach_disk(request: instance_service.AttachDiskRequest) -> Violations:
    return (
        v.name("name", request.name, INSTANCE)
        + _device_name("disk.device_name", request.disk.device_name)
        + _size("disk.size_gib", request.disk)
        + v.request_id("request_id", request.request_id)
    )


def detach_disk(request: instance_service.DetachDiskRequest) -> Violations:
    return v.name("name", request.name, INSTANCE) + _device_name("device_name", request.device_name)


def _instance(instance: compute.Instance, *, from_image: bool) -> Violations:
    names = [disk.device_name for disk in instance.disks]
    found = v.count("instance.disks", instance.disks, MAX_DISKS) + v.distinct("instance.disks", names)
    if instance.display_name and not _INSTANCE_DISPLAY_NAME.fullmatch(instance.display_name):
        found += v.fail("instance.display_name", "must be 1 to 32 Han characters, A-Z, a-z, 0-9, `_`, `-` or `.`")
    if sum(disk.kind == compute.InstanceDisk.KIND_CLOUD for disk in instance.disks) > MAX_CLOUD_DISKS:
        found += v.fail("instance.disks", f"must have at most {MAX_CLOUD_DISKS} cloud disks")
    if from_image and instance.disks:
        found += v.fail("instance.disks", "must be empty: the instance gets those of its source_image")
    elif not from_image and SYSTEM_DEVICE not in names and instance.state != compute.Instance.STATE_STOPPED:
        found += v.fail("instance.disks", f"must have a system disk {SYSTEM_DEVICE}, unless the instance is stopped")
    for index, disk in enumerate(instance.disks):
        found += _device_name(f"instance.disks[{index}].device_name", disk.device_name)
        found += _size(f"instance.disks[{index}].size_gib", disk)
    return found


def _size(field: str, disk: compute.InstanceDisk) -> Violations:
    if not disk.size_gib:
        return []
    if disk.kind == compute.InstanceDisk.KIND_LOCAL:
        return v.within(field, disk.size_gib, 1, 16_000)
    if disk.device_name == SYSTEM_DEVICE:
        return v.within(field, disk.size_gib, 40, 500)
    return v.within(field, disk.size_gib, 20, 16_000)


def _device_name(field: str, value: str) -> Violations:
    if not value or _DEVICE_NAME.fullmatch(value):
        return []
    return v.fail(field, "must be `vda`, or `vdb` to `vdz`")


# Images


def create_image(request: image_service.CreateImageRequest) -> Violations:
    found = (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.name("image.source_instance", request.image.source_instance, INSTANCE, parent=request.parent)
        + v.length("image.display_name", request.image.display_name, 1, 128)
        + _labels("image.labels", request.image.labels)
        + _expire_time("image.expire_time", request.image)
        + (v.fail("image.etag", "is set by the server; leave it out") if request.image.etag else [])
        + v.distinct("devices", request.devices)
        + v.request_id("request_id", request.request_id)
    )
    for index, device in enumerate(request.devices):
        if not _DEVICE_NAME.fullmatch(device):
            found += v.fail(f"devices[{index}]", "must be `vda`, or `vdb` to `vdz`")
    return found


def batch_create_images(request: image_service.BatchCreateImagesRequest) -> Violations:
    return _batch(request.parent, "requests", request.requests)


def get_image(request: image_service.GetImageRequest) -> Violations:
    return v.name("name", request.name, IMAGE)


def batch_get_images(request: image_service.BatchGetImagesRequest) -> Violations:
    return _batch(request.parent, "names", request.names)


def list_images(request: image_service.ListImagesRequest) -> Violations:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.page(request)
        + _ids("filter.image_ids", request.filter.image_ids)
        + _states("filter.states", request.filter.states)
        + v.name("filter.source_instance", request.filter.source_instance, INSTANCE, parent=request.parent)
    )


def update_image(request: image_service.UpdateImageRequest) -> Violations:
    """Of what is not changed, nothing but the etag is looked at; without a mask, what is set is to be changed."""
    image, mask = request.image, request.update_mask
    fields = masks.chosen(image, mask, IMAGE_FIELDS)
    found = masks.violations(mask, IMAGE_FIELDS) + v.name("image.name", image.name, IMAGE)
    if request.HasField("image") and not image.name:
        found += _missing("image.name")
    if image.source_instance and not mask.paths:
        found += v.fail("image.source_instance", "can't be changed")
    if "display_name" in fields:
        found += v.length("image.display_name", image.display_name, 1, 128)
    if "labels" in fields:
        found += _labels("image.labels", image.labels)
    if "expire_time" in fields:
        found += _expire_time("image.expire_time", image)
    return found + v.length("image.etag", image.etag, 1, 64)


def delete_image(request: image_service.DeleteImageRequest) -> Violations:
    return v.name("name", request.name, IMAGE) + v.length("etag", request.etag, 1, 64)


def resolve_image_requests(request: image_service.ResolveImageRequestsRequest) -> Violations:
    found = v.count("requests", request.requests, _MAX_BATCH)
    for index, reference in enumerate(request.requests):
        found += v.name(f"requests[{index}].source_instance", reference.source_instance, INSTANCE)
        found += v.request_id(f"requests[{index}].request_id", reference.request_id)
    return found


def _expire_time(field: str, image: compute.Image) -> Violations:
    """`@rpc` has looked at whether it is a time at all."""
    return v.fail(field, "must not be before 1970") if image.expire_time.seconds < 0 else []


def _labels(field: str, labels: Mapping[str, str]) -> Violations:
    found = v.count(field, labels, _MAX_LABELS)
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            found += v.fail(field, "keys must be 1 to 63 lower-case letters, digits, `_` or `-`, a letter first")
        found += v.length(f'{field}["{key}"]', value, 0, 256)
    size = sum(len(text.encode()) for label in labels.items() for text in label)
    if size > _MAX_LABEL_BYTES:
        found += v.fail(field, f"keys and values must have at most {_MAX_LABEL_BYTES} bytes together, have {size}")
    return found


# Snapshots


def get_snapshot(request: snapshot_service.GetSnapshotRequest) -> Violations:
    return v.name("name", request.name, SNAPSHOT)


def list_snapshots(request: snapshot_service.ListSnapshotsRequest) -> Violations:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.page(request)
        + v.name("filter.image", request.filter.image, IMAGE, parent=request.parent)
        + _states("filter.states", request.filter.states)
    )


def delete_snapshot(request: snapshot_service.DeleteSnapshotRequest) -> Violations:
    return v.name("name", request.name, SNAPSHOT)


# Quotas


def get_quota(request: quota_service.GetQuotaRequest) -> Violations:
    return v.name("name", request.name, QUOTA)


def list_quotas(request: quota_service.ListQuotasRequest) -> Violations:
    return v.name("parent", request.parent, ACCOUNT_REGION) + v.page(request)


def update_quota(request: quota_service.UpdateQuotaRequest) -> Violations:
    found = v.within("quota.limit", request.quota.limit, 0, _MAX_LIMIT)
    found += v.name("quota.name", request.quota.name, QUOTA)
    if request.HasField("quota") and not request.quota.name:
        found += _missing("quota.name")
    return found + masks.violations(request.update_mask, {"limit"})


# The simulation


def get_simulation(request: simulation_service_pb2.GetSimulationRequest) -> Violations:
    return _simulation_name("name", request.name)


def update_simulation(request: simulation_service_pb2.UpdateSimulationRequest) -> Violations:
    """Of what is not changed, nothing but the etag is looked at; without a mask, what is set is to be changed."""
    simulation, mask = request.simulation, request.update_mask
    fields = masks.chosen(simulation, mask, SIMULATION_FIELDS)
    found = masks.violations(mask, SIMULATION_FIELDS) + _simulation_name("simulation.name", simulation.name)
    if request.HasField("simulation") and not simulation.name:
        found += _missing("simulation.name")
    if "seed" in fields:
        found += v.within("simulation.seed", simulation.seed, 0, _MAX_SEED)
    if "build_duration" in fields:
        found += _duration("simulation.build_duration", simulation.build_duration, 86_400)
    if "build_duration_per_gib" in fields:
        found += _duration("simulation.build_duration_per_gib", simulation.build_duration_per_gib, 3600)
    for field in (field for field in _PROBABILITIES if field in fields):
        found += _probability(f"simulation.{field}", getattr(simulation, field))
    if "calls" in fields:
        found += _calls("simulation.calls", simulation.calls)
    return found + v.length("simulation.etag", simulation.etag, 1, 64)


def reset_simulation(request: simulation_service_pb2.ResetSimulationRequest) -> Violations:
    return _simulation_name("name", request.name) + v.length("etag", request.etag, 1, 64)


def _simulation_name(field: str, name: str) -> Violations:
    return v.fail(field, f"must be {SIMULATION}") if name not in ("", SIMULATION) else []


def _calls(field: str, calls: Collection[simulation_pb2.CallConduct]) -> Violations:
    found = v.count(field, calls, _MAX_CALLS)
    for index, call in enumerate(calls):
        path = f"{field}[{index}]."
        if call.method and call.method not in _METHODS:
            found += v.fail(f"{path}method", "must be a method such as ImageService/CreateImage, ImageService/* or *")
        found += _duration(f"{path}latency", call.latency, 10)
        for name in ("refusal_probability", "throttling_probability", "answer_loss_probability"):
            found += _probability(f"{path}{name}", getattr(call, name))
    return found


def _methods() -> Iterable[str]:
    yield "*"
    for module in (instance_service, image_service, snapshot_service, quota_service):
        for service in module.DESCRIPTOR.services_by_name.values():
            yield f"{service.name}/*"
            yield from (f"{service.name}/{method.name}" for method in service.methods)


_METHODS = frozenset(_methods())


def _duration(field: str, value: Duration, maximum_seconds: int) -> Violations:
    """`@rpc` has looked at whether it is a duration at all."""
    if 0 <= value.seconds * 10**9 + value.nanos <= maximum_seconds * 10**9:
        return []
    return v.fail(field, f"must be from 0 to {maximum_seconds} seconds")


def _probability(field: str, value: float) -> Violations:
    return [] if 0 <= value <= 1 else v.fail(field, "must be from 0 to 1")


# What several have in common


def _missing(field: str) -> Violations:
    return v.fail(field, "is required")


def _batch(parent: str, field: str, items: Collection[object]) -> Violations:
    """The envelope of a batch. What is wrong with an item is that item's result."""
    found = [] if parent == ANY_PLACE else v.name("parent", parent, ACCOUNT_REGION)
    return found + v.count(field, items, _MAX_BATCH)


def _ids(field: str, ids: Collection[str]) -> Violations:
    found = v.count(field, ids, _MAX_FILTER_IDS)
    for index, id in enumerate(ids):
        found += v.resource_id(f"{field}[{index}]", id) if id else _missing(f"{field}[{index}]")
    return found


def _states(field: str, states: Iterable[int]) -> Violations:
    return [
        violation
        for index, state in enumerate(states)
        if state == 0
        for violation in v.fail(f"{field}[{index}]", "must be a state")
    ]
