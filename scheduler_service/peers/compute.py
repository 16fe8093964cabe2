"""Compute: builds and deletes images, tells how far they are, and settles requests whose outcome is unknown."""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime

from google.rpc import status_pb2

from autoimage.compute.v1 import compute_pb2, image_service_pb2_grpc
from autoimage.compute.v1 import image_service_pb2 as pb
from autoimage.type.v1 import reason_pb2
from scheduler_service.domain import images
from scheduler_service.domain.executions import Execution
from scheduler_service.domain.refusals import COMPUTE_REFUSED, refusal
from scheduler_service.domain.retention import Condition, KeptImage, Seen
from scheduler_service.domain.tasks import Build, BuildState, LeftOut, Refusal, Task
from servicekit.client import Client
from servicekit.errors import Code, ServiceError, Unavailable
from servicekit.status import from_status
from servicekit.timestamps import from_proto, to_proto, to_proto_or_none

_ANYWHERE = "accounts/-/regions/-"
_REASONS = {number: name.removeprefix("REASON_") for name, number in reason_pb2.Reason.items() if number}


class Deletion(enum.Enum):
    """What became of a request to delete an image."""

    DELETED = "it is deleted"
    GONE = "there was no such image"
    REFUSED = "it stays: it was changed or protected meanwhile"
    TOO_LATE = "it stays: the request came too late"
    FAILED = "compute could not do it, or did not tell whether it did"


_DELETIONS = {
    Code.NOT_FOUND: Deletion.GONE,
    Code.ABORTED: Deletion.REFUSED,
    Code.FAILED_PRECONDITION: Deletion.REFUSED,
}


class Compute:
    """Takes up to 500 tasks or images in a call. Every method raises a ServiceError when the call as a whole fails."""

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

    def look_at(self, images: Sequence[KeptImage]) -> list[Seen]:
        """What is known of each kept image now, in order."""
        names = [image.name for image in images]
        response = self._client.call(self._stub.BatchGetImages, pb.BatchGetImagesRequest(parent=_ANYWHERE, names=names))
        return [_seen(image, result) for image, result in zip(images, response.results, strict=True)]

    def delete_image(self, seen: Seen, not_after: datetime) -> Deletion:
        """Deletes an image with its snapshots if it is as it was seen, and the moment has not passed (operating time).

        Raises Unavailable when nobody answers; then it is not known what became of the image.
        """
        request = pb.DeleteImageRequest(name=seen.image.name, etag=seen.etag, not_after=to_proto(not_after))
        try:
            self._client.call(self._stub.DeleteImage, request)
        except Unavailable:
            raise
        except ServiceError as error:
            is_late = error.reason == "REQUEST_TOO_LATE"
            return Deletion.TOO_LATE if is_late else _DELETIONS.get(error.code, Deletion.FAILED)
        return Deletion.DELETED

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
            expire_time=to_proto_or_none(execution.image_expire_time),
        ),
        devices=execution.devices,
        request_id=task.request_id,
    )


def _build(image: compute_pb2.Image) -> Build:
    state = BuildState(compute_pb2.Image.State.Name(image.state).removeprefix("STATE_"))
    return Build(
        image=image.name,
        state=state,
        create_time=from_proto(image.create_time),
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


def _seen(image: KeptImage, result: pb.ImageResult) -> Seen:
    """Only the image that was made for our own request is ours, whatever its name. Without an etag it is left alone."""
    if not result.HasField("image"):
        is_gone = result.error.code == Code.NOT_FOUND.value
        return Seen(image, Condition.GONE if is_gone else Condition.NOT_AVAILABLE)
    found = result.image
    is_ours = (found.request_id, found.source_instance) == (image.request_id, image.instance)
    is_available = is_ours and found.etag and found.state == compute_pb2.Image.STATE_AVAILABLE
    condition = Condition.AVAILABLE if is_available else Condition.NOT_AVAILABLE
    return Seen(image, condition, protected=found.deletion_protected, etag=found.etag)
