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
from compute_sim.commands.update_image import update_image
from compute_sim.domain.images import Image
from compute_sim.servicers.batches import Batch, only
from compute_sim.servicers.lists import page_of
from compute_sim.servicers.simulated import Simulated, simulated_rpc
from servicekit import masks
from servicekit.errors import NotFound, ServiceError
from servicekit.names import IMAGE
from servicekit.status import to_status


class ImageServicer(Simulated, image_service_pb2_grpc.ImageServiceServicer):
    @simulated_rpc(validation.create_image)
    def CreateImage(self, request: pb.CreateImageRequest, context: grpc.ServicerContext) -> ImageMessage:
        image = only(self._create([request]))
        return convert.image(image, self._deps.clocks.product.now())

    @simulated_rpc(validation.batch_create_images, per_item="requests")
    def BatchCreateImages(
        self, request: pb.BatchCreateImagesRequest, context: grpc.ServicerContext
    ) -> pb.BatchCreateImagesResponse:
        batch = Batch(request.parent, self.regions)
        outcomes = batch.create(request.requests, validation.create_image, self._create)
        return pb.BatchCreateImagesResponse(results=self._results(outcomes))

    @simulated_rpc(validation.get_image)
    def GetImage(self, request: pb.GetImageRequest, context: grpc.ServicerContext) -> ImageMessage:
        image = only(self._get([request.name]))
        return convert.image(image, self._deps.clocks.product.now())

    @simulated_rpc(validation.batch_get_images, per_item="names")
    def BatchGetImages(
        self, request: pb.BatchGetImagesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetImagesResponse:
        outcomes = Batch(request.parent, self.regions).get(request.names, IMAGE, self._get)
        return pb.BatchGetImagesResponse(results=self._results(outcomes))

    @simulated_rpc(validation.list_images)
    def ListImages(self, request: pb.ListImagesRequest, context: grpc.ServicerContext) -> pb.ListImagesResponse:
        place, filter = convert.place(request.parent), convert.image_filter(request.filter)
        images, token = page_of(
            request, lambda page: list_images(self._deps, place, filter, page), lambda image: image.key.id
        )
        return pb.ListImagesResponse(images=self._messages(images), next_page_token=token)

    @simulated_rpc(validation.update_image)
    def UpdateImage(self, request: pb.UpdateImageRequest, context: grpc.ServicerContext) -> ImageMessage:
        fields = masks.chosen(request.image, request.update_mask, validation.IMAGE_FIELDS)
        change = convert.image_change(request.image, fields)
        image = update_image(self._deps, convert.key(IMAGE, request.image.name), change, request.image.etag)
        return convert.image(image, self._deps.clocks.product.now())

    @simulated_rpc(validation.delete_image)
    def DeleteImage(self, request: pb.DeleteImageRequest, context: grpc.ServicerContext) -> Empty:
        delete_image(self._deps, convert.key(IMAGE, request.name), request.etag)
        return Empty()

    @simulated_rpc(validation.resolve_image_requests)
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

    def _create(self, requests: Sequence[pb.CreateImageRequest]) -> list[Image | ServiceError]:
        return create_images(self._deps, [convert.new_image(request) for request in requests])

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
