"""ImageService."""

from collections.abc import Iterable, Sequence

import grpc
from google.protobuf.empty_pb2 import Empty

from autoimage.compute.v1 import image_service_pb2 as pb
from autoimage.compute.v1 import image_service_pb2_grpc
from autoimage.compute.v1.compute_pb2 import Image as ImageMessage
from compute_sim import convert, validation
from compute_sim.commands.create_images import create_images
from compute_sim.commands.delete_image import delete_image
from compute_sim.commands.read import get_images, list_images
from compute_sim.commands.resolve_image_requests import resolve_image_requests
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import Image
from compute_sim.servicers import batches
from compute_sim.servicers.lists import page_of
from servicekit.errors import NotFound, ServiceError
from servicekit.names import IMAGE
from servicekit.rpc import rpc
from servicekit.status import to_status
from servicekit.validation import Violations


class ImageServicer(image_service_pb2_grpc.ImageServiceServicer):
    def __init__(self, deps: Dependencies, regions: frozenset[str]) -> None:
        self._deps = deps
        self.regions = regions

    @rpc(validation.create_image)
    def CreateImage(self, request: pb.CreateImageRequest, context: grpc.ServicerContext) -> ImageMessage:
        image = batches.only(create_images(self._deps, [convert.new_image(request)]))
        return convert.image(image, self._deps.clocks.product.now())

    @rpc(validation.batch_create_images)
    def BatchCreateImages(
        self, request: pb.BatchCreateImagesRequest, context: grpc.ServicerContext
    ) -> pb.BatchCreateImagesResponse:
        def violations(index: int, item: pb.CreateImageRequest) -> Violations:
            return batches.create_violations(
                item, index, validation.create_image, parent=request.parent, served=self.regions
            )

        def create(items: list[pb.CreateImageRequest]) -> Sequence[Image | ServiceError]:
            return create_images(self._deps, [convert.new_image(item) for item in items])

        return pb.BatchCreateImagesResponse(results=self._results(batches.apart(request.requests, violations, create)))

    @rpc(validation.get_image)
    def GetImage(self, request: pb.GetImageRequest, context: grpc.ServicerContext) -> ImageMessage:
        image = batches.only(self._get([request.name]))
        return convert.image(image, self._deps.clocks.product.now())

    @rpc(validation.batch_get_images)
    def BatchGetImages(
        self, request: pb.BatchGetImagesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetImagesResponse:
        def violations(index: int, name: str) -> Violations:
            return batches.name_violations(name, index, IMAGE, parent=request.parent, served=self.regions)

        return pb.BatchGetImagesResponse(results=self._results(batches.apart(request.names, violations, self._get)))

    @rpc(validation.list_images)
    def ListImages(self, request: pb.ListImagesRequest, context: grpc.ServicerContext) -> pb.ListImagesResponse:
        place, filter = convert.place(request.parent), convert.image_filter(request.filter)
        images, token = page_of(
            request, lambda page: list_images(self._deps, place, filter, page), lambda image: image.key.id
        )
        return pb.ListImagesResponse(images=self._messages(images), next_page_token=token)

    @rpc(validation.delete_image)
    def DeleteImage(self, request: pb.DeleteImageRequest, context: grpc.ServicerContext) -> Empty:
        delete_image(self._deps, convert.key(IMAGE, request.name), request.etag)
        return Empty()

    @rpc(validation.resolve_image_requests)
    def ResolveImageRequests(
        self, request: pb.ResolveImageRequestsRequest, context: grpc.ServicerContext
    ) -> pb.ResolveImageRequestsResponse:
        asked = [convert.image_request_reference(reference) for reference in request.requests]
        now = self._deps.clocks.product.now()
        return pb.ResolveImageRequestsResponse(
            results=[
                pb.ResolvedImageRequest(image=convert.image(outcome, now))
                if isinstance(outcome, Image)
                else pb.ResolvedImageRequest(refused=convert.reason(outcome.reason))
                for outcome in resolve_image_requests(self._deps, asked)
            ]
        )

    def _get(self, names: Sequence[str]) -> list[Image | ServiceError]:
        keys = [convert.key(IMAGE, name) for name in names]
        found = get_images(self._deps, keys)
        return [found.get(key) or NotFound("image", name) for key, name in zip(keys, names, strict=True)]

    def _messages(self, images: Iterable[Image]) -> list[ImageMessage]:
        now = self._deps.clocks.product.now()
        return [convert.image(image, now) for image in images]

    def _results(self, outcomes: Iterable[Image | ServiceError]) -> list[pb.ImageResult]:
        now = self._deps.clocks.product.now()
        return [
            pb.ImageResult(image=convert.image(outcome, now))
            if isinstance(outcome, Image)
            else pb.ImageResult(error=to_status(outcome))
            for outcome in outcomes
        ]
