"""Each field of each request, wrong in each way: what the refusal says, and that nothing was written."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from autoimage.compute.v1.compute_pb2 import Image, ImageDisk, Instance, InstanceDisk, Quota
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
    BatchGetImagesRequest,
    CreateImageRequest,
    DeleteImageRequest,
    GetImageRequest,
    ImageFilter,
    ImageRequestReference,
    ListImagesRequest,
    ResolveImageRequestsRequest,
    UpdateImageRequest,
)
from autoimage.compute.v1.instance_service_pb2 import (
    AttachDiskRequest,
    BatchCreateInstancesRequest,
    BatchGetInstancesRequest,
    CreateInstanceRequest,
    DeleteInstanceRequest,
    DetachDiskRequest,
    GetInstanceRequest,
    InstanceFilter,
    ListInstancesRequest,
    StartInstanceRequest,
    StopInstanceRequest,
)
from autoimage.compute.v1.quota_service_pb2 import GetQuotaRequest, ListQuotasRequest, UpdateQuotaRequest
from autoimage.compute.v1.snapshot_service_pb2 import (
    DeleteSnapshotRequest,
    GetSnapshotRequest,
    ListSnapshotsRequest,
    SnapshotFilter,
)
from autoimage.simulation.v1.simulation_pb2 import CallConduct, Simulation
from autoimage.simulation.v1.simulation_service_pb2 import (
    GetSimulationRequest,
    ResetSimulationRequest,
    UpdateSimulationRequest,
)
from autoimage.type.v1.disks_pb2 import LeftOutDisk
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.compute_sim import (
    BULKY,
    INSTANCE,
    PLACE,
    REQUEST_ID,
    Compute,
    cloud,
    facts,
    image_request,
    instance,
    local,
)

FOREIGN = "accounts/globex/regions/cn-north-1"
ELSEWHERE = "accounts/acme/regions/cn-south-1"
UNSERVED = "accounts/acme/regions/mars"
EVERYWHERE = "accounts/-/regions/-"
NOT_A_UUID = "123e4567-e89b-42d3-a456-42661417400"
IMAGE = f"{PLACE}/images/img-1"
BAD_IDS = ("A", "1a", "-a", "a-", "a_b", "a" * 64, "a/b", "ä")
BAD_TIME = Timestamp(seconds=253_402_300_800)
NO_TIMES = (BAD_TIME, Timestamp(seconds=-62_135_596_801), Timestamp(nanos=-1), Timestamp(nanos=1_000_000_000))
BEFORE_1970 = Timestamp(seconds=-1, nanos=999_999_999)
Case = tuple[Message, set[str]]


def names_wrong(kind: type[Message], field: str, good: str) -> Iterator[Case]:
    """Requests whose name or parent is missing, malformed, of another kind, of any account."""
    for wrong in ("", "nonsense", good + "/", good.upper(), "\x00" + good, "accounts/acme", f"{EVERYWHERE}/disks/a"):
        yield kind(**{field: wrong}), {field}


def lists_wrong(kind: type[Message]) -> Iterator[Case]:
    yield from names_wrong(kind, "parent", PLACE)
    yield kind(parent=EVERYWHERE), {"parent"}
    yield kind(parent=PLACE, page_size=-1), {"page_size"}


def batches_wrong(kind: type[Message], field: str, item: object) -> Iterator[Case]:
    """Envelopes of batches: without parent or items, with a malformed or half-open parent, with too many items."""
    for parent in ("", "nonsense", "accounts/acme/regions/-", "accounts/-/regions/cn-north-1", INSTANCE):
        yield kind(**{"parent": parent, field: [item]}), {"parent"}
    yield kind(parent=PLACE), {field}
    for number in (501, 1000):
        yield kind(**{"parent": PLACE, field: [item] * number}), {field}


def new_instance(**fields: Any) -> CreateInstanceRequest:
    return CreateInstanceRequest(**{"parent": PLACE, "instance": instance(), **fields})


def with_disks(*disks: InstanceDisk, **fields: Any) -> CreateInstanceRequest:
    return new_instance(instance=Instance(disks=disks, **fields))


INSTANCES: list[Case] = [
    *names_wrong(GetInstanceRequest, "name", INSTANCE),
    *names_wrong(DeleteInstanceRequest, "name", INSTANCE),
    *lists_wrong(ListInstancesRequest),
    *batches_wrong(BatchCreateInstancesRequest, "requests", new_instance()),
    *batches_wrong(BatchGetInstancesRequest, "names", INSTANCE),
    *((new_instance(parent=wrong), {"parent"}) for wrong in ("", "nonsense", INSTANCE, EVERYWHERE)),
    *((new_instance(instance_id=wrong), {"instance_id"}) for wrong in BAD_IDS),
    (new_instance(request_id=NOT_A_UUID), {"request_id"}),
    (CreateInstanceRequest(parent=PLACE), {"instance"}),
    (new_instance(instance=instance(name=INSTANCE)), {"instance.name"}),
    (new_instance(instance=instance(create_time=to_proto(START))), {"instance.create_time"}),
    (new_instance(instance=instance(building_image=IMAGE)), {"instance.building_image"}),
    (new_instance(instance=instance(state=99)), {"instance.state"}),
    *(
        (new_instance(instance=instance(display_name=wrong)), {"instance.display_name"})
        for wrong in ("x" * 33, "a b", "a\n", "é", "a/b", "a\x00")
    ),
    (with_disks(), {"instance.disks"}),
    (with_disks(cloud("vdb")), {"instance.disks"}),
    (
        with_disks(InstanceDisk()),
        {"instance.disks", *(f"instance.disks[0].{field}" for field in ("device_name", "kind", "size_gib"))},
    ),
    *(
        (with_disks(cloud(), cloud(wrong)), {"instance.disks[1].device_name"})
        for wrong in ("vd", "vd1", "vdaa", "sda", "VDB", "vdb\n")
    ),
    (with_disks(cloud(), cloud()), {"instance.disks[1]"}),
    (with_disks(cloud(), InstanceDisk(device_name="vdb", size_gib=20)), {"instance.disks[1].kind"}),
    (with_disks(cloud(), InstanceDisk(device_name="vdb", kind=9, size_gib=20)), {"instance.disks[1].kind"}),  # type: ignore[arg-type]
    (with_disks(cloud(), cloud("vdb", 0)), {"instance.disks[1].size_gib"}),
    *((with_disks(cloud("vda", wrong)), {"instance.disks[0].size_gib"}) for wrong in (-1, 39, 501)),
    *((with_disks(cloud(), cloud("vdb", wrong)), {"instance.disks[1].size_gib"}) for wrong in (19, 16_001)),
    *((with_disks(cloud(), local("vdb", wrong)), {"instance.disks[1].size_gib"}) for wrong in (-1, 16_001)),
    (
        with_disks(cloud(), InstanceDisk(device_name="vdb", kind=InstanceDisk.KIND_LOCAL, size_gib=1, disk="x")),
        {"instance.disks[1].disk"},
    ),
    (with_disks(*(cloud(f"vd{letter}") for letter in "abcdefghi")), {"instance.disks"}),
    (with_disks(*(local(f"vd{letter}") for letter in "abcdefghijklmnopqrstuvwxyz")), {"instance.disks"}),
    (ListInstancesRequest(parent=PLACE, filter=InstanceFilter(instance_ids=["a"] * 101)), {"filter.instance_ids"}),
    (
        ListInstancesRequest(parent=PLACE, filter=InstanceFilter(instance_ids=["A", ""])),
        {"filter.instance_ids[0]", "filter.instance_ids[1]"},
    ),
    (
        ListInstancesRequest(parent=PLACE, filter=InstanceFilter(states=[0, 99])),  # type: ignore[list-item]
        {"filter.states[0]", "filter.states[1]"},
    ),
    (ListInstancesRequest(parent=PLACE, filter=InstanceFilter(display_name="x" * 33)), {"filter.display_name"}),
    (
        ListInstancesRequest(parent=PLACE, filter=InstanceFilter(system_disk_kind=9)),  # type: ignore[arg-type]
        {"filter.system_disk_kind"},
    ),
    (
        CreateInstanceRequest(instance_id="A", instance=Instance(name="x", display_name="a b"), request_id="y"),
        {"parent", "instance_id", "instance.name", "instance.display_name", "instance.disks", "request_id"},
    ),
]


def from_image(source: str = IMAGE, **fields: Any) -> CreateInstanceRequest:
    return CreateInstanceRequest(**{"parent": PLACE, "instance": Instance(), "source_image": source, **fields})


def attached(disk: InstanceDisk | None = None, **fields: Any) -> AttachDiskRequest:
    return AttachDiskRequest(**{"name": INSTANCE, "disk": disk or cloud("vdz"), **fields})


CHANGES: list[Case] = [
    *(
        (from_image(wrong), {"source_image"})
        for wrong in ("x", INSTANCE, f"{FOREIGN}/images/a", f"{ELSEWHERE}/images/a")
    ),
    (from_image(instance=instance()), {"instance.disks"}),
    (from_image(instance=instance(disks=[local("vdb")])), {"instance.disks"}),
    (from_image(instance=Instance(source_image=IMAGE)), {"instance.source_image"}),
    (CreateInstanceRequest(parent=PLACE, source_image=IMAGE), {"instance"}),
    *names_wrong(StartInstanceRequest, "name", INSTANCE),
    *names_wrong(StopInstanceRequest, "name", INSTANCE),
    *((attached(name=wrong), {"name"}) for wrong in ("", "nonsense", IMAGE, f"{EVERYWHERE}/instances/web")),
    (AttachDiskRequest(name=INSTANCE), {"disk"}),
    (attached(InstanceDisk(), name=INSTANCE), {"disk.device_name", "disk.kind", "disk.size_gib"}),
    *((attached(cloud(wrong)), {"disk.device_name"}) for wrong in ("vd", "vd1", "vdaa", "sda", "VDB", "vdb\n")),
    *((attached(cloud("vda", wrong)), {"disk.size_gib"}) for wrong in (-1, 39, 501)),
    *((attached(cloud("vdb", wrong)), {"disk.size_gib"}) for wrong in (19, 16_001)),
    *((attached(local("vdb", wrong)), {"disk.size_gib"}) for wrong in (-1, 16_001)),
    (attached(InstanceDisk(device_name="vdb", kind=9, size_gib=20)), {"disk.kind"}),  # type: ignore[arg-type]
    (
        attached(InstanceDisk(device_name="vdb", kind=1, size_gib=20, disk="x", source_snapshot="y")),  # type: ignore[arg-type]
        {"disk.disk", "disk.source_snapshot"},
    ),
    *((DetachDiskRequest(name=wrong, device_name="vdb"), {"name"}) for wrong in ("", "nonsense", IMAGE)),
    *((DetachDiskRequest(name=INSTANCE, device_name=wrong), {"device_name"}) for wrong in ("", "vd", "VDB", "vdaa")),
    (DetachDiskRequest(), {"name", "device_name"}),
    (attached(request_id=NOT_A_UUID), {"request_id"}),
]


def with_image(**fields: Any) -> CreateImageRequest:
    return image_request(image=Image(**{"source_instance": INSTANCE, **fields}))


def updated(**fields: Any) -> UpdateImageRequest:
    return UpdateImageRequest(image=Image(**{"name": IMAGE, **fields}))


OUTPUT_ONLY = {
    "state": Image.STATE_AVAILABLE,
    "progress_percent": 1,
    "disks": [ImageDisk()],
    "left_out_disks": [LeftOutDisk()],
    "reason": 1,
    "request_id": REQUEST_ID,
    "create_time": to_proto(START),
    "finish_time": to_proto(START),
}


def filtered(**fields: Any) -> ListImagesRequest:
    return ListImagesRequest(parent=PLACE, filter=ImageFilter(**fields))


def reference(**fields: Any) -> ResolveImageRequestsRequest:
    asked = ImageRequestReference(**{"source_instance": INSTANCE, "request_id": REQUEST_ID, **fields})
    return ResolveImageRequestsRequest(requests=[asked])


IMAGES: list[Case] = [
    *names_wrong(GetImageRequest, "name", IMAGE),
    *names_wrong(DeleteImageRequest, "name", IMAGE),
    *lists_wrong(ListImagesRequest),
    *batches_wrong(BatchCreateImagesRequest, "requests", image_request()),
    *batches_wrong(BatchGetImagesRequest, "names", IMAGE),
    (image_request(parent=""), {"parent"}),
    (CreateImageRequest(parent=PLACE), {"image"}),
    *(
        (with_image(source_instance=wrong), {"image.source_instance"})
        for wrong in ("", "nonsense", IMAGE, f"{FOREIGN}/instances/web", f"{ELSEWHERE}/instances/web")
    ),
    (with_image(name=IMAGE), {"image.name"}),
    (with_image(display_name="x" * 129), {"image.display_name"}),
    (with_image(display_name="a\x00"), {"image.display_name"}),
    (with_image(state=Image.STATE_AVAILABLE), {"image.state"}),
    (with_image(progress_percent=1), {"image.progress_percent"}),
    (with_image(request_id=REQUEST_ID), {"image.request_id"}),
    (with_image(reason=1), {"image.reason"}),
    (with_image(create_time=to_proto(START)), {"image.create_time"}),
    (with_image(finish_time=to_proto(START)), {"image.finish_time"}),
    (with_image(etag="x"), {"image.etag"}),
    *((with_image(labels={wrong: ""}), {"image.labels"}) for wrong in ("", "A", "1a", "a.b", "a" * 64, "ä")),
    (with_image(labels={"a": "x" * 257}), {'image.labels["a"]'}),
    (with_image(labels={"a": "\x00"}), {'image.labels["a"]'}),
    (with_image(labels={f"a{number}": "" for number in range(65)}), {"image.labels"}),
    (with_image(labels={**BULKY, "a00": BULKY["a00"] + "x"}), {"image.labels"}),
    *((image_request(devices=["vda", wrong]), {"devices[1]"}) for wrong in ("", "vd", "sda", "vdb1", "vda")),
    (image_request(request_id=NOT_A_UUID), {"request_id"}),
    (image_request(request_id="00000000-0000-0000-0000-000000000000"), {"request_id"}),
    *((image_request(not_after=wrong), {"not_after"}) for wrong in NO_TIMES),
    (filtered(image_ids=["a"] * 101), {"filter.image_ids"}),
    (filtered(image_ids=["A"]), {"filter.image_ids[0]"}),
    (filtered(states=[0, 99]), {"filter.states[0]", "filter.states[1]"}),
    *(
        (filtered(source_instance=wrong), {"filter.source_instance"})
        for wrong in ("nonsense", f"{FOREIGN}/instances/web", f"{ELSEWHERE}/instances/web")
    ),
    (DeleteImageRequest(name=IMAGE, etag="x" * 65), {"etag"}),
    *((with_image(expire_time=wrong), {"image.expire_time"}) for wrong in (*NO_TIMES, BEFORE_1970)),
    (UpdateImageRequest(), {"image"}),
    *((updated(name=wrong), {"image.name"}) for wrong in ("", "nonsense", INSTANCE, f"{EVERYWHERE}/images/img-1")),
    (updated(display_name="x" * 129), {"image.display_name"}),
    (updated(display_name="a\x00"), {"image.display_name"}),
    (updated(labels={"A": ""}), {"image.labels"}),
    (updated(labels={f"a{number}": "" for number in range(65)}), {"image.labels"}),
    (updated(labels={**BULKY, "a00": BULKY["a00"] + "x"}), {"image.labels"}),
    (updated(etag="x" * 65), {"image.etag"}),
    (updated(source_instance=INSTANCE), {"image.source_instance"}),
    *((updated(expire_time=wrong), {"image.expire_time"}) for wrong in (*NO_TIMES, BEFORE_1970)),
    *((updated(**{field: value}), {f"image.{field}"}) for field, value in OUTPUT_ONLY.items()),
    (ResolveImageRequestsRequest(), {"requests"}),
    *(
        (ResolveImageRequestsRequest(requests=list(reference().requests) * number), {"requests"})
        for number in (501, 1000)
    ),
    (reference(source_instance=""), {"requests[0].source_instance"}),
    (reference(source_instance=f"{EVERYWHERE}/instances/web"), {"requests[0].source_instance"}),
    (reference(request_id=""), {"requests[0].request_id"}),
    (reference(request_id=NOT_A_UUID), {"requests[0].request_id"}),
    (
        CreateImageRequest(
            parent="x", image=Image(labels={"A": ""}), devices=["a"], request_id="y", not_after=BAD_TIME
        ),
        {"parent", "image.source_instance", "image.labels", "devices[0]", "request_id", "not_after"},
    ),
]


def quota(**fields: Any) -> UpdateQuotaRequest:
    return UpdateQuotaRequest(quota=Quota(**{"name": f"{PLACE}/quotas/images", **fields}))


OTHERS: list[Case] = [
    *names_wrong(GetSnapshotRequest, "name", f"{PLACE}/snapshots/snapshot-1"),
    *lists_wrong(ListSnapshotsRequest),
    (ListSnapshotsRequest(parent=PLACE, filter=SnapshotFilter(image="nonsense")), {"filter.image"}),
    (ListSnapshotsRequest(parent=PLACE, filter=SnapshotFilter(image=f"{FOREIGN}/images/img-1")), {"filter.image"}),
    (
        ListSnapshotsRequest(parent=PLACE, filter=SnapshotFilter(states=[0, 99])),  # type: ignore[list-item]
        {"filter.states[0]", "filter.states[1]"},
    ),
    *names_wrong(GetQuotaRequest, "name", f"{PLACE}/quotas/images"),
    *lists_wrong(ListQuotasRequest),
    (UpdateQuotaRequest(), {"quota"}),
    *((quota(name=wrong), {"quota.name"}) for wrong in ("", "nonsense", PLACE, f"{EVERYWHERE}/quotas/images")),
    (quota(limit=-1), {"quota.limit"}),
    (quota(limit=1_000_001), {"quota.limit"}),
    (quota(used=1), {"quota.used"}),
    (
        UpdateQuotaRequest(quota=Quota(limit=-1), update_mask=FieldMask(paths=["used", "limit", "x"])),
        {"quota.name", "quota.limit", "update_mask"},
    ),
    *names_wrong(DeleteSnapshotRequest, "name", f"{PLACE}/snapshots/snapshot-1"),
]


def simulated(**fields: Any) -> UpdateSimulationRequest:
    return UpdateSimulationRequest(simulation=Simulation(**{"name": "simulation", **fields}))


def conduct(**fields: Any) -> UpdateSimulationRequest:
    return simulated(calls=[CallConduct(method="*"), CallConduct(**{"method": "*", **fields})])


BAD_PROBABILITIES = (-0.001, 1.001, float("nan"), float("inf"))
PROBABILITIES = (
    "snapshot_failure_probability",
    "slow_build_probability",
    "stalled_build_probability",
    "busy_instance_probability",
)
CALL_PROBABILITIES = ("refusal_probability", "throttling_probability", "answer_loss_probability")
SIMULATIONS: list[Case] = [
    *(
        (kind(name=wrong), {"name"})
        for kind in (GetSimulationRequest, ResetSimulationRequest)
        for wrong in ("", "a", PLACE)
    ),
    (ResetSimulationRequest(name="simulation", etag="x" * 65), {"etag"}),
    (UpdateSimulationRequest(), {"simulation"}),
    *((simulated(name=wrong, seed=1), {"simulation.name"}) for wrong in ("", "a", "Simulation", PLACE)),
    (simulated(seed=-1), {"simulation.seed"}),
    (simulated(etag="x" * 65), {"simulation.etag"}),
    *(
        (simulated(build_duration=wrong), {"simulation.build_duration"})
        for wrong in (Duration(nanos=-1), Duration(seconds=86_400, nanos=1), Duration(seconds=1, nanos=-1))
    ),
    *(
        (simulated(build_duration_per_gib=wrong), {"simulation.build_duration_per_gib"})
        for wrong in (Duration(seconds=-1), Duration(seconds=3600, nanos=1), Duration(seconds=2**62))
    ),
    *((simulated(**{field: wrong}), {f"simulation.{field}"}) for field in PROBABILITIES for wrong in BAD_PROBABILITIES),
    (simulated(calls=[CallConduct(method="*")] * 51), {"simulation.calls"}),
    *(
        (conduct(method=wrong), {"simulation.calls[1].method"})
        for wrong in ("", "**", "ImageService", "ImageService/", "ImageService/CreateInstance", "SimulationService/*")
    ),
    *(
        (conduct(latency=wrong), {"simulation.calls[1].latency"})
        for wrong in (Duration(nanos=-1), Duration(seconds=10, nanos=1))
    ),
    *(
        (conduct(**{field: wrong}), {f"simulation.calls[1].{field}"})
        for field in CALL_PROBABILITIES
        for wrong in BAD_PROBABILITIES
    ),
    (
        UpdateSimulationRequest(
            simulation=Simulation(seed=-1, slow_build_probability=2, calls=[CallConduct(refusal_probability=2)]),
            update_mask=FieldMask(paths=["seed", "name"]),
        ),
        {"simulation.name", "simulation.seed", "update_mask", "simulation.calls[0].method"},
    ),
]

ALLOWED_SIMULATIONS: list[Message] = [
    simulated(seed=2**63 - 1),
    simulated(build_duration=Duration(seconds=86_400), build_duration_per_gib=Duration(seconds=3600)),
    *(simulated(**{field: 1.0}) for field in PROBABILITIES),
    conduct(latency=Duration(seconds=10), **dict.fromkeys(CALL_PROBABILITIES, 1.0)),
    simulated(calls=[CallConduct(method="QuotaService/ListQuotas")] * 50),
]


@pytest.mark.parametrize("request_message", ALLOWED_SIMULATIONS, ids=lambda each: None)
def test_a_simulation_on_the_edge_of_what_is_allowed_is_taken(compute: Compute, request_message: Message) -> None:
    assert compute.call(request_message).name == "simulation"


@pytest.mark.parametrize(("request_message", "fields"), SIMULATIONS, ids=lambda each: None)
def test_a_wrong_simulation_is_refused_with_every_wrong_field_and_changes_nothing(
    compute: Compute, request_message: Message, fields: set[str]
) -> None:
    before = compute.call(GetSimulationRequest(name="simulation"))
    error = error_of(compute.call, request_message)
    assert facts(error) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert {violation.field for violation in error.violations} == fields
    assert compute.call(GetSimulationRequest(name="simulation")) == before


@pytest.mark.parametrize(
    "paths", [["used"], ["name"], ["*", "limit"], ["nonsense"], [""], ["limit.x"], ["limit", "etag"]]
)
@pytest.mark.parametrize(
    "update",
    [
        UpdateQuotaRequest(quota=Quota(name=f"{PLACE}/quotas/images", limit=1)),
        UpdateImageRequest(image=Image(name=IMAGE, display_name="x")),
        UpdateSimulationRequest(simulation=Simulation(name="simulation", seed=5)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_mask_of_what_cannot_be_changed_is_refused(compute: Compute, update: Any, paths: list[str]) -> None:
    update = type(update).FromString(update.SerializeToString())
    update.update_mask.paths.extend(paths)
    error = error_of(compute.call, update)
    assert facts(error) == (Code.INVALID_ARGUMENT, "UPDATE_MASK_INVALID")
    assert {violation.field for violation in error.violations} == {"update_mask"}
    assert compute.limits()["images"] == 5


@pytest.mark.parametrize(("request_message", "fields"), [*INSTANCES, *CHANGES, *IMAGES, *OTHERS], ids=lambda each: None)
def test_a_wrong_request_is_refused_with_every_wrong_field(
    compute: Compute, request_message: Message, fields: set[str]
) -> None:
    error = error_of(compute.call, request_message)
    assert facts(error) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert {violation.field for violation in error.violations if violation.field} == fields
    assert compute.exists() == compute.used() == {"disks": 0, "images": 0, "instances": 0, "snapshots": 0}
    assert compute.limits() == {"disks": 40, "images": 5, "instances": 20, "snapshots": 15}


@pytest.mark.parametrize(
    "request_message",
    [
        new_instance(parent=UNSERVED),
        GetInstanceRequest(name=f"{UNSERVED}/instances/web"),
        DeleteInstanceRequest(name=f"{UNSERVED}/instances/web"),
        StartInstanceRequest(name=f"{UNSERVED}/instances/web"),
        StopInstanceRequest(name=f"{UNSERVED}/instances/web"),
        attached(name=f"{UNSERVED}/instances/web"),
        DetachDiskRequest(name=f"{UNSERVED}/instances/web", device_name="vdb"),
        from_image(f"{UNSERVED}/images/img-1", parent=UNSERVED),
        updated(name=f"{UNSERVED}/images/img-1"),
        DeleteSnapshotRequest(name=f"{UNSERVED}/snapshots/snapshot-1"),
        ListInstancesRequest(parent=UNSERVED),
        BatchGetInstancesRequest(parent=UNSERVED, names=[INSTANCE]),
        BatchCreateInstancesRequest(parent=UNSERVED, requests=[new_instance()]),
        image_request(f"{UNSERVED}/instances/web"),
        GetImageRequest(name=f"{UNSERVED}/images/img-1"),
        DeleteImageRequest(name=f"{UNSERVED}/images/img-1"),
        ListImagesRequest(parent=UNSERVED),
        BatchGetImagesRequest(parent=UNSERVED, names=[IMAGE]),
        BatchCreateImagesRequest(parent=UNSERVED, requests=[image_request()]),
        reference(source_instance=f"{UNSERVED}/instances/web"),
        GetSnapshotRequest(name=f"{UNSERVED}/snapshots/snapshot-1"),
        ListSnapshotsRequest(parent=UNSERVED),
        GetQuotaRequest(name=f"{UNSERVED}/quotas/images"),
        ListQuotasRequest(parent=UNSERVED),
        quota(name=f"{UNSERVED}/quotas/images"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_region_that_is_not_served_is_refused(compute: Compute, request_message: Message) -> None:
    error = error_of(compute.call, request_message)
    assert facts(error) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")
    assert error.metadata == {"regions": "cn-north-1,cn-south-1"}


@pytest.mark.parametrize("not_after", [BEFORE_1970, Timestamp(seconds=-62_135_596_800)])
def test_a_not_after_of_long_ago_has_passed(compute: Compute, not_after: Timestamp) -> None:
    compute.create_instance()
    error = error_of(compute.call, image_request(not_after=not_after))
    assert facts(error) == (Code.FAILED_PRECONDITION, "REQUEST_TOO_LATE")
    assert compute.list_images() == []


LISTS: list[Any] = [
    ListInstancesRequest(parent=PLACE),
    filtered(),
    ListSnapshotsRequest(parent=PLACE),
    ListQuotasRequest(parent=PLACE),
]


@pytest.mark.parametrize("asked", LISTS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("other", LISTS, ids=lambda each: type(each).__name__)
def test_a_page_token_is_refused_for_every_query_but_its_own(compute: Compute, asked: Any, other: Any) -> None:
    for name in ("a", "b"):
        compute.create_image(compute.create_instance(name).name)
    token = compute.call(type(asked)(parent=PLACE, page_size=1)).next_page_token
    assert token
    wrong = [type(asked)(parent=place, page_token=token) for place in (FOREIGN, ELSEWHERE)]
    wrong += [type(asked)(parent=PLACE, page_token=damaged) for damaged in (token[:-1], token + "A", "x", "\x00")]
    if asked is not other:
        wrong.append(type(other)(parent=PLACE, page_token=token))
    for request in wrong:
        error = error_of(compute.call, request)
        assert facts(error) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
        assert [violation.field for violation in error.violations] == ["page_token"]


@pytest.mark.parametrize(
    "request_message",
    [
        *(with_disks(cloud("vda", size)) for size in (40, 500)),
        *(with_disks(cloud(), cloud("vdb", size)) for size in (20, 16_000)),
        *(with_disks(cloud(), local("vdb", size)) for size in (1, 16_000)),
        with_disks(*(cloud(f"vd{letter}") for letter in "abcdefgh")),
        with_disks(*(local(f"vd{letter}") for letter in "abcdefghijklmnopqrstuvwxy")),
        with_disks(cloud("vdb"), state=Instance.STATE_STOPPED),
        new_instance(instance=instance(display_name="国" * 32)),
        new_instance(instance_id="a"),
        new_instance(instance_id="a" * 63),
    ],
    ids=lambda each: None,
)
def test_an_instance_on_the_edge_of_what_is_allowed_is_created(compute: Compute, request_message: Message) -> None:
    assert compute.call(request_message).name


@pytest.mark.parametrize(
    "request_message",
    [
        with_image(display_name="国" * 128),
        with_image(labels={f"a{number}": "" for number in range(64)}),
        with_image(labels=BULKY),
        with_image(labels={"a" * 63: "", "a-b_c": ""}),
        image_request(devices=[f"vd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]),
        image_request(request_id=REQUEST_ID.upper()),
    ],
    ids=lambda each: None,
)
def test_an_image_on_the_edge_of_what_is_allowed_is_created(compute: Compute, request_message: Message) -> None:
    compute.create_instance()
    assert compute.call(request_message).name
