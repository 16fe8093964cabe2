"""A real compute service in this process, and what tests put into it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from autoimage.compute.v1.compute_pb2 import Image, Instance, InstanceDisk, Quota, Snapshot
from autoimage.compute.v1.image_service_pb2 import (
    CreateImageRequest,
    DeleteImageRequest,
    GetImageRequest,
    ImageRequestReference,
    ListImagesRequest,
    ResolvedImageRequest,
    ResolveImageRequestsRequest,
    UpdateImageRequest,
)
from autoimage.compute.v1.image_service_pb2_grpc import ImageServiceStub
from autoimage.compute.v1.instance_service_pb2 import (
    AttachDiskRequest,
    CreateInstanceRequest,
    DeleteInstanceRequest,
    DetachDiskRequest,
    GetInstanceRequest,
    ListInstancesRequest,
    StartInstanceRequest,
    StopInstanceRequest,
)
from autoimage.compute.v1.instance_service_pb2_grpc import InstanceServiceStub
from autoimage.compute.v1.quota_service_pb2 import ListQuotasRequest, UpdateQuotaRequest
from autoimage.compute.v1.quota_service_pb2_grpc import QuotaServiceStub
from autoimage.compute.v1.snapshot_service_pb2 import DeleteSnapshotRequest, ListSnapshotsRequest
from autoimage.compute.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from autoimage.simulation.v1.simulation_pb2 import Simulation as SimulationMessage
from autoimage.simulation.v1.simulation_service_pb2 import UpdateSimulationRequest
from autoimage.simulation.v1.simulation_service_pb2_grpc import SimulationServiceStub
from compute_sim.dependencies import Dependencies
from compute_sim.domain.simulation import Simulation
from compute_sim.main import registrations
from servicekit.database import Database
from servicekit.errors import Code, ServiceError
from servicekit.ids import Ids
from tests.support import ManualClocks, clocks, database, running_server

PLACE = "accounts/acme/regions/cn-north-1"
INSTANCE = f"{PLACE}/instances/web"
REGIONS = frozenset({"cn-north-1", "cn-south-1"})
REQUEST_ID = "123e4567-e89b-42d3-a456-426614174000"
OTHER_REQUEST_ID = "123e4567-e89b-42d3-a456-426614174001"
BUILD = timedelta(seconds=14)
"""How long a build of `disks()` takes: 2 s, and 0.1 s for each of its 120 GiB."""
MICROSECOND = timedelta(microseconds=1)
BULKY = {f"a{number:02}": "国" * 82 + "x" * 7 for number in range(64)}
"""Labels of 16,384 bytes together, the most that an image may have."""
_OF_IMAGE = ("display_name", "labels", "deletion_protected", "expire_time")


@dataclass(frozen=True)
class Compute:
    """The service's stubs, and what it runs on."""

    instances: InstanceServiceStub
    images: ImageServiceStub
    snapshots: SnapshotServiceStub
    quotas: QuotaServiceStub
    simulation: SimulationServiceStub
    deps: Dependencies
    time: ManualClocks
    slept: list[float]
    """The seconds that calls slept, as the simulation said: none of them in truth."""

    def call(self, request: Message) -> Any:
        """Calls the method that takes this request."""
        method = request.DESCRIPTOR.name.removesuffix("Request")
        stubs = (self.instances, self.images, self.snapshots, self.quotas, self.simulation)
        return next(getattr(stub, method) for stub in stubs if hasattr(stub, method))(request)

    def create_instance(self, instance_id: str = "web", parent: str = PLACE, **fields: Any) -> Instance:
        return self.instances.CreateInstance(
            CreateInstanceRequest(parent=parent, instance_id=instance_id, instance=instance(**fields))
        )

    def create_image(self, source: str = INSTANCE, **fields: Any) -> Image:
        return self.images.CreateImage(image_request(source, **fields))

    def get_instance(self, name: str = INSTANCE) -> Instance:
        return self.instances.GetInstance(GetInstanceRequest(name=name))

    def get_image(self, name: str) -> Image:
        return self.images.GetImage(GetImageRequest(name=name))

    def start(self, name: str = INSTANCE) -> Instance:
        return self.instances.StartInstance(StartInstanceRequest(name=name))

    def stop(self, name: str = INSTANCE) -> Instance:
        return self.instances.StopInstance(StopInstanceRequest(name=name))

    def attach(self, disk: InstanceDisk, name: str = INSTANCE, request_id: str = "") -> Instance:
        return self.instances.AttachDisk(AttachDiskRequest(name=name, disk=disk, request_id=request_id))

    def detach(self, device_name: str, name: str = INSTANCE) -> Instance:
        return self.instances.DetachDisk(DetachDiskRequest(name=name, device_name=device_name))

    def create_from(self, image: str, instance_id: str = "copy", **fields: Any) -> Instance:
        """Fields are the request's; `state` and `display_name` the instance's own."""
        own = {field: fields.pop(field) for field in ("state", "display_name") if field in fields}
        request = {"parent": PLACE, "instance_id": instance_id, "instance": Instance(**own), "source_image": image}
        return self.instances.CreateInstance(CreateInstanceRequest(**{**request, **fields}))

    def update_image(self, name: str, mask: Sequence[str] = (), **fields: Any) -> Image:
        image = Image(name=name, **fields)
        return self.images.UpdateImage(UpdateImageRequest(image=image, update_mask=FieldMask(paths=mask)))

    def delete_snapshot(self, name: str) -> None:
        self.snapshots.DeleteSnapshot(DeleteSnapshotRequest(name=name))

    def delete_instance(self, name: str = INSTANCE) -> None:
        self.instances.DeleteInstance(DeleteInstanceRequest(name=name))

    def delete_image(self, name: str, etag: str = "") -> None:
        self.images.DeleteImage(DeleteImageRequest(name=name, etag=etag))

    def list_instances(self, parent: str = PLACE) -> list[Instance]:
        return list(self.instances.ListInstances(ListInstancesRequest(parent=parent, page_size=100)).instances)

    def list_images(self, parent: str = PLACE) -> list[Image]:
        return list(self.images.ListImages(ListImagesRequest(parent=parent, page_size=100)).images)

    def list_snapshots(self, parent: str = PLACE) -> list[Snapshot]:
        return list(self.snapshots.ListSnapshots(ListSnapshotsRequest(parent=parent, page_size=100)).snapshots)

    def resolve(self, *references: tuple[str, str]) -> list[ResolvedImageRequest]:
        """Resolves pairs of instance and request id."""
        asked = [ImageRequestReference(source_instance=source, request_id=id) for source, id in references]
        return list(self.images.ResolveImageRequests(ResolveImageRequestsRequest(requests=asked)).results)

    def used(self, parent: str = PLACE) -> dict[str, int]:
        return {_id(quota): quota.used for quota in self._quotas(parent)}

    def limits(self, parent: str = PLACE) -> dict[str, int]:
        return {_id(quota): quota.limit for quota in self._quotas(parent)}

    def set_limit(self, quota: str, limit: int, parent: str = PLACE) -> Quota:
        return self.quotas.UpdateQuota(UpdateQuotaRequest(quota=Quota(name=f"{parent}/quotas/{quota}", limit=limit)))

    def simulate(self, **fields: Any) -> SimulationMessage:
        """Changes these fields of the simulation, and no others."""
        simulation = SimulationMessage(name="simulation", **fields)
        mask = FieldMask(paths=[field for field in fields if field != "etag"])
        return self.simulation.UpdateSimulation(UpdateSimulationRequest(simulation=simulation, update_mask=mask))

    def exists(self, parent: str = PLACE) -> dict[str, int]:
        """What `used` has to be: what there is, counted."""
        disks = [disk for each in self.list_instances(parent) for disk in each.disks if disk.disk]
        return {
            "disks": len(disks),
            "images": sum(image.state != Image.STATE_ERROR for image in self.list_images(parent)),
            "instances": len(self.list_instances(parent)),
            "snapshots": len(self.list_snapshots(parent)),
        }

    def _quotas(self, parent: str) -> list[Quota]:
        return list(self.quotas.ListQuotas(ListQuotasRequest(parent=parent)).quotas)


def _id(quota: Quota) -> str:
    return quota.name.rpartition("/")[2]


@contextmanager
def running_compute(
    folder: Path, *, failure_probability: float = 0.0, time: ManualClocks | None = None
) -> Iterator[Compute]:
    """With its database in the folder, a new one or that of before; its clocks stand still, at START unless given."""
    time = time or clocks()
    path = folder / "compute_sim.db"
    db = Database(f"sqlite:///{path}") if path.exists() else database(folder, "compute_sim")
    simulation = Simulation(timedelta(seconds=2), timedelta(seconds=0.1), failure_probability, seed=1)
    slept: list[float] = []
    deps = Dependencies(db, time, Ids(), simulation, slept.append)
    try:
        with running_server(*registrations(deps, REGIONS)) as channel:
            yield Compute(
                InstanceServiceStub(channel),
                ImageServiceStub(channel),
                SnapshotServiceStub(channel),
                QuotaServiceStub(channel),
                SimulationServiceStub(channel),
                deps,
                time,
                slept,
            )
    finally:
        db.dispose()


def cloud(device_name: str = "vda", size_gib: int = 40) -> InstanceDisk:
    return InstanceDisk(device_name=device_name, kind=InstanceDisk.KIND_CLOUD, size_gib=size_gib)


def local(device_name: str = "vdb", size_gib: int = 40) -> InstanceDisk:
    return InstanceDisk(device_name=device_name, kind=InstanceDisk.KIND_LOCAL, size_gib=size_gib)


def disks() -> list[InstanceDisk]:
    """A system disk and two data disks in the cloud, and a local one."""
    return [cloud("vda", 40), cloud("vdb", 20), cloud("vdc", 60), local("vdd", 500)]


def instance(**fields: Any) -> Instance:
    return Instance(**{"disks": disks(), **fields})


def image_request(source: str = INSTANCE, **fields: Any) -> CreateImageRequest:
    """A request for an image; what a client says of an image is the image's own, all else is the request's."""
    own = {name: fields.pop(name) for name in _OF_IMAGE if name in fields}
    parent = source.partition("/instances/")[0]
    return CreateImageRequest(**{"parent": parent, "image": Image(source_instance=source, **own), **fields})


def facts(outcome: object) -> tuple[Code, str]:
    """Code and reason of a refusal."""
    assert isinstance(outcome, ServiceError), outcome
    return outcome.code, outcome.reason
