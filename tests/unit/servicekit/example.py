"""The messages of example.proto, a servicer for them, and the wiring that generated code would do."""

import importlib.resources
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.api
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc  # type: ignore[import-untyped]

from servicekit.rpc import rpc
from servicekit.streams import Source, stream

SERVICE = "servicekit.example.v1.ShelfService"
PARENT = "accounts/acme/regions/cn-north-1"
NAME = PARENT + "/books/emma"


def _load() -> Any:
    here = Path(__file__).parent
    includes = [Path(path).parents[1] for path in google.api.__path__]
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "example.binpb"
        paths = [f"--proto_path={path}" for path in (here, *includes, well_known)]
        assert protoc.main(["protoc", *paths, f"--descriptor_set_out={out}", "example.proto"]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.Default()
    pool.Add(files.file[0])
    return pool.FindServiceByName(SERVICE)


DESCRIPTOR = _load()


def _message(name: str) -> Any:
    found = descriptor_pool.Default().FindMessageTypeByName(f"servicekit.example.v1.{name}")
    return message_factory.GetMessageClass(found)


Book = _message("Book")
Chapter = _message("Chapter")
CreateBookRequest = _message("CreateBookRequest")
GetBookRequest = _message("GetBookRequest")
WatchBooksRequest = _message("WatchBooksRequest")
WatchBooksResponse = _message("WatchBooksResponse")


def book(**changes: Any) -> Any:
    """A book that a client may send."""
    fields = {"title": "Emma", "opening": Chapter(title="I"), "copies": 1, "pages": 0, "authors": ["Austen"]}
    return Book(**{**fields, **changes})


def create_request(**changes: Any) -> Any:
    return CreateBookRequest(**{"parent": PARENT, "book": book(), **changes})


class ShelfServicer:
    """Does what the test says."""

    regions = frozenset({"cn-north-1"})

    def __init__(
        self,
        act: Callable[[Any], Any] = lambda request: Book(name=NAME),
        watch: Callable[[Any], Source[Any, Any]] | None = None,
    ) -> None:
        self.act = act
        self.watch = watch

    @rpc()
    def CreateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.act(request)

    @rpc()
    def GetBook(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.act(request)

    @stream()
    def WatchBooks(self, request: Any, context: grpc.ServicerContext) -> Source[Any, Any]:
        assert self.watch is not None
        return self.watch(request)


def add_to_server(servicer: Any, server: grpc.Server) -> None:
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        method.name: (
            grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        )(
            getattr(servicer, method.name),
            request_deserializer=_message(method.input_type.name).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for method in DESCRIPTOR.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class ShelfStub:
    def __init__(self, channel: grpc.Channel) -> None:
        for method in DESCRIPTOR.methods:
            call: Any = (channel.unary_stream if method.server_streaming else channel.unary_unary)(
                f"/{SERVICE}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=_message(method.output_type.name).FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def registration(servicer: Any) -> tuple[Callable[[Any, grpc.Server], None], object, str]:
    return (add_to_server, servicer, SERVICE)
