"""InstanceService."""

from collections.abc import Iterable, Sequence

import grpc
from google.protobuf.empty_pb2 import Empty

from autoimage.compute.v1 import instance_service_pb2 as pb
from autoimage.compute.v1 import instance_service_pb2_grpc
from autoimage.compute.v1.compute_pb2 import Instance as InstanceMessage
from compute_sim import convert, validation
from compute_sim.commands.change_instance import attach_disk, detach_disk, start_instance, stop_instance
from compute_sim.commands.create_instances import create_instances
from compute_sim.commands.delete_instance import delete_instance
from compute_sim.commands.read import get_instances, list_instances
from compute_sim.domain.instances import Instance
from compute_sim.servicers.batches import Batch, only
from compute_sim.servicers.lists import page_of
from compute_sim.servicers.simulated import Simulated, simulated_rpc
from servicekit.errors import NotFound, ServiceError
from servicekit.idempotency import Idempotency
from servicekit.names import INSTANCE
from servicekit.status import to_status


class InstanceServicer(Simulated, instance_service_pb2_grpc.InstanceServiceServicer):
    @simulated_rpc(validation.create_instance)
    def CreateInstance(self, request: pb.CreateInstanceRequest, context: grpc.ServicerContext) -> InstanceMessage:
        return convert.instance(only(self._create([request])))

    @simulated_rpc(validation.batch_create_instances, per_item="requests")
    def BatchCreateInstances(
        self, request: pb.BatchCreateInstancesRequest, context: grpc.ServicerContext
    ) -> pb.BatchCreateInstancesResponse:
        batch = Batch(request.parent, self.regions)
        outcomes = batch.create(request.requests, validation.create_instance, self._create)
        return pb.BatchCreateInstancesResponse(results=_results(outcomes))

    @simulated_rpc(validation.get_instance)
    def GetInstance(self, request: pb.GetInstanceRequest, context: grpc.ServicerContext) -> InstanceMessage:
        return convert.instance(only(self._get([request.name])))

    @simulated_rpc(validation.batch_get_instances, per_item="names")
    def BatchGetInstances(
        self, request: pb.BatchGetInstancesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetInstancesResponse:
        outcomes = Batch(request.parent, self.regions).get(request.names, INSTANCE, self._get)
        return pb.BatchGetInstancesResponse(results=_results(outcomes))

    @simulated_rpc(validation.list_instances)
    def ListInstances(
        self, request: pb.ListInstancesRequest, context: grpc.ServicerContext
    ) -> pb.ListInstancesResponse:
        place, filter = convert.place(request.parent), convert.instance_filter(request.filter)
        instances, token = page_of(
            request, lambda page: list_instances(self._deps, place, filter, page), lambda instance: instance.key.id
        )
        return pb.ListInstancesResponse(
            instances=[convert.instance(instance) for instance in instances], next_page_token=token
        )

    @simulated_rpc(validation.delete_instance)
    def DeleteInstance(self, request: pb.DeleteInstanceRequest, context: grpc.ServicerContext) -> Empty:
        delete_instance(self._deps, convert.key(INSTANCE, request.name))
        return Empty()

    @simulated_rpc(validation.start_instance)
    def StartInstance(self, request: pb.StartInstanceRequest, context: grpc.ServicerContext) -> InstanceMessage:
        return convert.instance(start_instance(self._deps, convert.key(INSTANCE, request.name)))

    @simulated_rpc(validation.stop_instance)
    def StopInstance(self, request: pb.StopInstanceRequest, context: grpc.ServicerContext) -> InstanceMessage:
        return convert.instance(stop_instance(self._deps, convert.key(INSTANCE, request.name)))

    @simulated_rpc(validation.attach_disk)
    def AttachDisk(self, request: pb.AttachDiskRequest, context: grpc.ServicerContext) -> InstanceMessage:
        key, disk = convert.key(INSTANCE, request.name), convert.new_disk(request.disk)
        return convert.instance(attach_disk(self._deps, key, disk, Idempotency.of(request)))

    @simulated_rpc(validation.detach_disk)
    def DetachDisk(self, request: pb.DetachDiskRequest, context: grpc.ServicerContext) -> InstanceMessage:
        key = convert.key(INSTANCE, request.name)
        return convert.instance(detach_disk(self._deps, key, request.device_name))

    def _create(self, requests: Sequence[pb.CreateInstanceRequest]) -> list[Instance | ServiceError]:
        return create_instances(
            self._deps, [(convert.new_instance(request), Idempotency.of(request)) for request in requests]
        )

    def _get(self, names: Sequence[str]) -> list[Instance | ServiceError]:
        keys = [convert.key(INSTANCE, name) for name in names]
        found = get_instances(self._deps, keys)
        return [found.get(key) or NotFound("instance", name) for key, name in zip(keys, names, strict=True)]


def _results(outcomes: Iterable[Instance | ServiceError]) -> list[pb.InstanceResult]:
    return [
        pb.InstanceResult(instance=convert.instance(outcome))
        if isinstance(outcome, Instance)
        else pb.InstanceResult(error=to_status(outcome))
        for outcome in outcomes
    ]
