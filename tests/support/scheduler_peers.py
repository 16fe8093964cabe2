"""A server that stands in for the services which the scheduler calls."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from autoimage.compute.v1 import image_service_pb2_grpc
from autoimage.log.v1 import log_service_pb2_grpc
from autoimage.policy.v1 import trigger_service_pb2_grpc
from servicekit.client import Client
from servicekit.errors import ServiceError
from servicekit.status import DETAILS_KEY, to_status

Answer = Message | ServiceError | Callable[[grpc.ServicerContext], Any]


class Peer:
    """Stands in for all three services: keeps each request, and gives the answer it was told to."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answer: Answer = status_pb2.Status()

    def __getattr__(self, method: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        if not method[0].isupper():
            raise AttributeError(method)

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            self.requests.append(request)
            if isinstance(self.answer, ServiceError):
                status = to_status(self.answer)
                context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
                context.abort(grpc.StatusCode[self.answer.code.name], status.message)
            return self.answer(context) if callable(self.answer) else self.answer

        return serve


@contextmanager
def serving(peer: Peer, **options: Any) -> Iterator[Client]:
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        trigger_service_pb2_grpc.add_TriggerServiceServicer_to_server(peer, server)  # type: ignore[arg-type]
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(peer, server)  # type: ignore[arg-type]
        log_service_pb2_grpc.add_LogServiceServicer_to_server(peer, server)  # type: ignore[arg-type]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        client = Client(f"127.0.0.1:{port}", **options)
        try:
            yield client
        finally:
            client.close()
            server.stop(None).wait()
