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
from autoimage.compute.v1.compute_pb2 import Quota
from compute_sim.dependencies import Dependencies
from compute_sim.domain.builds import Simulation
from compute_sim.main import registrations
from servicekit.ids import Ids
from tests.support import clocks, database
from tests.support.compute_sim import INSTANCE, PLACE, REGIONS, image_request, instance

MODULES = (instance_service_pb2, image_service_pb2, snapshot_service_pb2, quota_service_pb2)
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


def test_an_instance_its_image_and_snapshots_are_made_and_read(call: Call) -> None:
    created = instance_service_pb2.CreateInstanceRequest(parent=PLACE, instance_id="web", instance=instance())
    answers = [
        call(created),
        call(image_request(INSTANCE)),
        call(image_service_pb2.ListImagesRequest(parent=PLACE)),
        call(snapshot_service_pb2.ListSnapshotsRequest(parent=PLACE)),
        call(quota_service_pb2.GetQuotaRequest(name=f"{PLACE}/quotas/images")),
    ]
    assert [code for _, code in answers] == [grpc.StatusCode.OK] * 5
    assert answers[0][0].name == INSTANCE
    assert [image.name for image in answers[2][0].images] == [answers[1][0].name]
    assert len(answers[3][0].snapshots) == 3
    assert answers[4][0].used == 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (instance_service_pb2.GetInstanceRequest(name=INSTANCE), grpc.StatusCode.NOT_FOUND),
        (instance_service_pb2.GetInstanceRequest(name="nonsense"), grpc.StatusCode.INVALID_ARGUMENT),
        (image_request(INSTANCE), grpc.StatusCode.NOT_FOUND),
        (image_request(INSTANCE, devices=["sda"]), grpc.StatusCode.INVALID_ARGUMENT),
        (snapshot_service_pb2.GetSnapshotRequest(name=f"{PLACE}/snapshots/a"), grpc.StatusCode.NOT_FOUND),
        (snapshot_service_pb2.ListSnapshotsRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        (quota_service_pb2.GetQuotaRequest(name=f"{PLACE}/quotas/a"), grpc.StatusCode.NOT_FOUND),
        (quota_service_pb2.UpdateQuotaRequest(quota=Quota(limit=1)), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_refusals_carry_their_codes(call: Call, message: Message, expected: grpc.StatusCode) -> None:
    assert call(message) == (None, expected)
