"""The public contracts of a running suite, each method as a plain function of its request."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import grpc

from autoimage.compute.v1 import (
    image_service_pb2_grpc,
    instance_service_pb2_grpc,
    quota_service_pb2_grpc,
    snapshot_service_pb2_grpc,
)
from autoimage.log.v1 import log_service_pb2_grpc
from autoimage.operations.v1 import clock_service_pb2_grpc
from autoimage.policy.v1 import policy_service_pb2_grpc
from autoimage.scheduler.v1 import execution_service_pb2, execution_service_pb2_grpc
from servicekit.client import Client
from servicekit.errors import ServiceError
from servicekit.timestamps import from_proto

SERVICES: Mapping[str, int] = {
    "policy_service": 50051,
    "scheduler_service": 50052,
    "compute_sim": 50053,
    "log_service": 50054,
}
"""The package of each service, and the port that it listens on by default."""


def default_addresses() -> dict[str, str]:
    """Where each service listens when it is told nothing else, by package."""
    return {service: f"127.0.0.1:{port}" for service, port in SERVICES.items()}


class Calls:
    """The methods of one gRPC service: `calls.ListImages(request)` answers the response, or raises a ServiceError."""

    def __init__(self, client: Client, stub_class: Callable[[grpc.Channel], Any]) -> None:
        self._client = client
        self._stub = client.stub(stub_class)

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        multi_callable = getattr(self._stub, method)
        return lambda request: self._client.call(multi_callable, request)


class Clients:
    """Connects when first used. Close it when done."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        policy, scheduler, compute, log = (Client(addresses[service]) for service in SERVICES)
        self._clients = (policy, scheduler, compute, log)
        self.policies = Calls(policy, policy_service_pb2_grpc.PolicyServiceStub)
        self.executions = Calls(scheduler, execution_service_pb2_grpc.ExecutionServiceStub)
        self.instances = Calls(compute, instance_service_pb2_grpc.InstanceServiceStub)
        self.images = Calls(compute, image_service_pb2_grpc.ImageServiceStub)
        self.snapshots = Calls(compute, snapshot_service_pb2_grpc.SnapshotServiceStub)
        self.quotas = Calls(compute, quota_service_pb2_grpc.QuotaServiceStub)
        self.logs = Calls(log, log_service_pb2_grpc.LogServiceStub)
        self.clocks = {
            service: Calls(client, clock_service_pb2_grpc.ClockServiceStub)
            for service, client in zip(SERVICES, self._clients, strict=True)
        }

    def connect(self) -> None:
        """Waits until all services are connected, as after a start. Raises Unavailable."""
        for client in self._clients:
            client.connect()

    def close(self) -> None:
        for client in self._clients:
            client.close()


def product_time(clients: Clients) -> datetime:
    """What time it is in the suite, which may step its time. Raises ServiceError."""
    status = clients.executions.GetSchedulerStatus(execution_service_pb2.GetSchedulerStatusRequest())
    return from_proto(status.product_time)


def is_silence(error: ServiceError) -> bool:
    """Whether no service answered; else one did, and refused."""
    return error.reason == "TRANSPORT"


def told(error: ServiceError) -> str:
    """What a person is told of an error: what the service said, or that none did."""
    if is_silence(error):
        return f"no answer; is the suite running? ({error.message})"
    return error.message


def pages(method: Callable[[Any], Any], request: Any, field: str) -> Iterator[Any]:
    """The items of all pages of a list; `field` is where the response has them."""
    while True:
        response = method(request)
        yield from getattr(response, field)
        if not response.next_page_token:
            return
        request.page_token = response.next_page_token
