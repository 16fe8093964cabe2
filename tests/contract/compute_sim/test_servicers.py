"""The servicers by themselves, under grpcio-testing."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message

from autoimage.compute.v1 import image_service_pb2, instance_service_pb2, quota_service_pb2, snapshot_service_pb2
from autoimage.compute.v1.compute_pb2 import Image, Quota
from autoimage.simulation.v1 import simulation_service_pb2
from autoimage.simulation.v1.simulation_pb2 import CallConduct
from autoimage.simulation.v1.simulation_pb2 import Simulation as SimulationMessage
from compute_sim.dependencies import Dependencies
from compute_sim.domain.simulation import Simulation
from compute_sim.main import registrations
from servicekit.ids import Ids
from tests.support import clocks, database
from tests.support.compute_sim import INSTANCE, PLACE, REGIONS, REQUEST_ID, cloud, image_request, instance

MODULES = (
    instance_service_pb2,
    image_service_pb2,
    snapshot_service_pb2,
    quota_service_pb2,
    simulation_service_pb2,
)
SERVICES = {service.full_name: service for module in MODULES for service in module.DESCRIPTOR.services_by_name.values()}
Call = Callable[[Message], tuple[Any, grpc.StatusCode]]


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Call]:
    """Calls the method that takes the request; answers response and code."""
    db = database(tmp_path, "compute_sim")
    deps = Dependencies(db, clocks(), Ids(), Simulation(timedelta(0), timedelta(0), 0.0, 0))
    servicers = {SERVICES[name]: servicer for _, servicer, name in registrations(deps, REGIONS)}
    server = grpc_testing.server_from_dictionary(servicers, grpc_testing.strict_real_time())

    def invoke(message: Message) -> tuple[Any, grpc.StatusCode]:
        name = message.DESCRIPTOR.name.removesuffix("Request")
        methods = (service.methods_by_name.get(name) for service in SERVICES.values())
        method = next(method for method in methods if method is not None)
        response, _, code, _ = server.invoke_unary_unary(method, (), message, None).termination()
        return response, code

    yield invoke
    db.dispose()


def test_every_method_answers(call: Call) -> None:
    """One after another, on what those before have left; builds take no time."""
    called: set[str] = set()

    def answer(message: Message) -> Any:
        response, code = call(message)
        assert code is grpc.StatusCode.OK, type(message).__name__
        called.add(message.DESCRIPTOR.name.removesuffix("Request"))
        return response

    create = instance_service_pb2.CreateInstanceRequest(parent=PLACE, instance_id="web", instance=instance())
    web = answer(create)
    assert web.name == INSTANCE
    create.instance_id = "db"
    batch = answer(instance_service_pb2.BatchCreateInstancesRequest(parent=PLACE, requests=[create])).results
    assert batch[0].instance.name == f"{PLACE}/instances/db"
    assert answer(instance_service_pb2.GetInstanceRequest(name=INSTANCE)) == web
    got = answer(instance_service_pb2.BatchGetInstancesRequest(parent=PLACE, names=[INSTANCE])).results
    assert [result.instance for result in got] == [web]
    assert len(answer(instance_service_pb2.ListInstancesRequest(parent=PLACE)).instances) == 2
    stopped = answer(instance_service_pb2.StopInstanceRequest(name=INSTANCE))
    assert stopped != web
    assert answer(instance_service_pb2.StartInstanceRequest(name=INSTANCE)) == web
    assert len(answer(instance_service_pb2.AttachDiskRequest(name=INSTANCE, disk=cloud("vde"))).disks) == 5
    assert answer(instance_service_pb2.DetachDiskRequest(name=INSTANCE, device_name="vde")) == web

    image = answer(image_request(INSTANCE))
    requests = [image_request(INSTANCE, request_id=REQUEST_ID)]
    batch = answer(image_service_pb2.BatchCreateImagesRequest(parent=PLACE, requests=requests)).results
    second = batch[0].image.name
    assert answer(image_service_pb2.GetImageRequest(name=image.name)).state == Image.STATE_AVAILABLE
    got = answer(image_service_pb2.BatchGetImagesRequest(parent=PLACE, names=[second])).results
    assert [result.image.name for result in got] == [second]
    assert len(answer(image_service_pb2.ListImagesRequest(parent=PLACE)).images) == 2
    protected = Image(name=image.name, deletion_protected=True)
    assert answer(image_service_pb2.UpdateImageRequest(image=protected)).deletion_protected
    reference = image_service_pb2.ImageRequestReference(source_instance=INSTANCE, request_id=REQUEST_ID)
    resolved = answer(image_service_pb2.ResolveImageRequestsRequest(requests=[reference])).results
    assert [result.image.name for result in resolved] == [second]
    answer(image_service_pb2.DeleteImageRequest(name=second))

    snapshots = answer(snapshot_service_pb2.ListSnapshotsRequest(parent=PLACE)).snapshots
    assert {snapshot.name for snapshot in snapshots} == {disk.snapshot for disk in image.disks}
    assert answer(snapshot_service_pb2.GetSnapshotRequest(name=snapshots[0].name)) == snapshots[0]

    quota = answer(quota_service_pb2.GetQuotaRequest(name=f"{PLACE}/quotas/images"))
    assert (quota.limit, quota.used) == (5, 1)
    assert quota in answer(quota_service_pb2.ListQuotasRequest(parent=PLACE)).quotas
    quota = Quota(name=quota.name, limit=7)
    assert answer(quota_service_pb2.UpdateQuotaRequest(quota=quota)).limit == 7

    simulation = answer(simulation_service_pb2.GetSimulationRequest(name="simulation"))
    changed = SimulationMessage(name="simulation", seed=5)
    assert answer(simulation_service_pb2.UpdateSimulationRequest(simulation=changed)).seed == 5
    assert answer(simulation_service_pb2.ResetSimulationRequest(name="simulation")).seed == simulation.seed

    answer(instance_service_pb2.DeleteInstanceRequest(name=INSTANCE))
    methods = {method.name for service in SERVICES.values() for method in service.methods}
    assert methods - called == {"DeleteSnapshot"}, "which is always refused"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (instance_service_pb2.GetInstanceRequest(name=INSTANCE), grpc.StatusCode.NOT_FOUND),
        (instance_service_pb2.GetInstanceRequest(name="nonsense"), grpc.StatusCode.INVALID_ARGUMENT),
        (image_request(INSTANCE), grpc.StatusCode.NOT_FOUND),
        (image_request(INSTANCE, devices=["sda"]), grpc.StatusCode.INVALID_ARGUMENT),
        (snapshot_service_pb2.GetSnapshotRequest(name=f"{PLACE}/snapshots/a"), grpc.StatusCode.NOT_FOUND),
        (snapshot_service_pb2.DeleteSnapshotRequest(name=f"{PLACE}/snapshots/a"), grpc.StatusCode.NOT_FOUND),
        (snapshot_service_pb2.ListSnapshotsRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        (quota_service_pb2.GetQuotaRequest(name=f"{PLACE}/quotas/a"), grpc.StatusCode.NOT_FOUND),
        (quota_service_pb2.UpdateQuotaRequest(quota=Quota(limit=1)), grpc.StatusCode.INVALID_ARGUMENT),
        (simulation_service_pb2.GetSimulationRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        (
            simulation_service_pb2.ResetSimulationRequest(name="simulation", etag="old"),
            grpc.StatusCode.ABORTED,
        ),
    ],
)
def test_refusals_carry_their_codes(call: Call, message: Message, expected: grpc.StatusCode) -> None:
    assert call(message) == (None, expected)


def test_a_snapshot_of_an_image_is_not_deleted_alone(call: Call) -> None:
    call(instance_service_pb2.CreateInstanceRequest(parent=PLACE, instance_id="web", instance=instance()))
    image, _ = call(image_request(INSTANCE))
    refused = call(snapshot_service_pb2.DeleteSnapshotRequest(name=image.disks[0].snapshot))
    assert refused == (None, grpc.StatusCode.FAILED_PRECONDITION)


def test_a_simulated_fault_carries_its_code(call: Call) -> None:
    conduct = CallConduct(method="*", throttling_probability=1.0)
    faulty = SimulationMessage(name="simulation", calls=[conduct])
    call(simulation_service_pb2.UpdateSimulationRequest(simulation=faulty))
    assert call(instance_service_pb2.ListInstancesRequest(parent=PLACE)) == (None, grpc.StatusCode.UNAVAILABLE)
