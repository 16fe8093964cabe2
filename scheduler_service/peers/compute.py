"""Compute: builds images, tells how far they are, and settles requests whose outcome is unknown."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from google.rpc import status_pb2

from autoimage.compute.v1 import compute_pb2, image_service_pb2_grpc
from autoimage.compute.v1 import image_service_pb2 as pb
from autoimage.type.v1 import reason_pb2
from scheduler_service.domain import images
from scheduler_service.domain.executions import Execution
from scheduler_service.domain.refusals import COMPUTE_REFUSED, refusal
from scheduler_service.domain.tasks import Build, BuildState, LeftOut, Refusal, Task
from servicekit.client import Client
from servicekit.errors import Code
from servicekit.status import from_status
from servicekit.timestamps import to_proto

_ANYWHERE = "accounts/-/regions/-"
_REASONS = {number: name.removeprefix("REASON_") for name, number in reason_pb2.Reason.items() if number}


class Compute:
    """Takes up to 500 tasks in a call. Every method raises a ServiceError when the call as a whole fails."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stub = client.stub(image_service_pb2_grpc.ImageServiceStub)

    def create_images(
        self, tasks: Sequence[Task], executions: Mapping[str, Execution], not_after: datetime
    ) -> list[Build | Refusal]:
        """What became of each task's build, in order."""
        latest = to_proto(not_after)
        requests = []
        for task in tasks:
            request = _create_request(task, executions[task.execution_uid])
            request.not_after.CopyFrom(latest)
            requests.append(request)
        response = self._client.call(
            self._stub.BatchCreateImages, pb.BatchCreateImagesRequest(parent=_ANYWHERE, requests=requests)
        )
        return [_build(r.image) if r.HasField("image") else _refusal(r.error) for r in response.results]

    def get_images(self, names: Sequence[str]) -> list[Build | Refusal | None]:
        """How far each image is, in order; None: there is no such image."""
        response = self._client.call(self._stub.BatchGetImages, pb.BatchGetImagesRequest(parent=_ANYWHERE, names=names))
        return [_build(r.image) if r.HasField("image") else _unless_missing(r.error) for r in response.results]

    def resolve(self, tasks: Sequence[Task]) -> list[Build | None]:
        """The image of each task's request, in order; None: there is none and there never will be."""
        references = [
            pb.ImageRequestReference(source_instance=task.instance, request_id=task.request_id) for task in tasks
        ]
        response = self._client.call(
            self._stub.ResolveImageRequests, pb.ResolveImageRequestsRequest(requests=references)
        )
        return [_build(r.image) if r.HasField("image") else None for r in response.results]


def _create_request(task: Task, execution: Execution) -> pb.CreateImageRequest:
    return pb.CreateImageRequest(
        parent=f"accounts/{execution.account}/regions/{execution.region}",
        image=compute_pb2.Image(
            display_name=images.display_name(task.instance_id, execution),
            source_instance=task.instance,
            labels=images.labels(execution),
        ),
        devices=execution.devices,
        request_id=task.request_id,
    )


def _build(image: compute_pb2.Image) -> Build:
    state = BuildState(compute_pb2.Image.State.Name(image.state).removeprefix("STATE_"))
    return Build(
        image=image.name,
        state=state,
        included=tuple(disk.device_name for disk in image.disks),
        left_out=tuple(LeftOut(disk.device_name, _reason(disk.reason)) for disk in image.left_out_disks),
        reason=(_reason(image.reason) or COMPUTE_REFUSED) if state is BuildState.ERROR else "",
    )


def _reason(reason: reason_pb2.Reason.ValueType) -> str:
    """Empty for none, and for one that only a later version of the contract has."""
    return _REASONS.get(reason, "")


def _refusal(status: status_pb2.Status) -> Refusal:
    error = from_status(status)
    known = error.reason in _REASONS.values()
    return refusal(error.code.name, error.reason, known_reason=known, retry_after=error.retry_after)


def _unless_missing(status: status_pb2.Status) -> Refusal | None:
    return None if status.code == Code.NOT_FOUND.value else _refusal(status)
