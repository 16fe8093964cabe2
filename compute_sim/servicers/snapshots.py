"""SnapshotService."""

import grpc
from google.protobuf.empty_pb2 import Empty

from autoimage.compute.v1 import snapshot_service_pb2 as pb
from autoimage.compute.v1 import snapshot_service_pb2_grpc
from autoimage.compute.v1.compute_pb2 import Snapshot as SnapshotMessage
from compute_sim import convert, validation
from compute_sim.commands.delete_snapshot import delete_snapshot
from compute_sim.commands.read import get_snapshot, list_snapshots
from compute_sim.servicers.lists import page_of
from compute_sim.servicers.simulated import Simulated, simulated_rpc
from servicekit.names import SNAPSHOT


class SnapshotServicer(Simulated, snapshot_service_pb2_grpc.SnapshotServiceServicer):
    @simulated_rpc(validation.get_snapshot)
    def GetSnapshot(self, request: pb.GetSnapshotRequest, context: grpc.ServicerContext) -> SnapshotMessage:
        return convert.snapshot(get_snapshot(self._deps, convert.key(SNAPSHOT, request.name)))

    @simulated_rpc(validation.delete_snapshot)
    def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, context: grpc.ServicerContext) -> Empty:
        delete_snapshot(self._deps, convert.key(SNAPSHOT, request.name))

    @simulated_rpc(validation.list_snapshots)
    def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: grpc.ServicerContext
    ) -> pb.ListSnapshotsResponse:
        place, filter = convert.place(request.parent), convert.snapshot_filter(request.filter)
        snapshots, token = page_of(
            request, lambda page: list_snapshots(self._deps, place, filter, page), lambda snapshot: snapshot.key.id
        )
        return pb.ListSnapshotsResponse(
            snapshots=[convert.snapshot(snapshot) for snapshot in snapshots], next_page_token=token
        )
