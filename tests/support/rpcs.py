"""Real servers for tests, and what their refusals mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from servicekit.config import ServerSettings
from servicekit.errors import ServiceError
from servicekit.server import Registration, Server
from servicekit.status import from_rpc_error


@contextmanager
def running_server(
    *servicers: Registration, ping: Callable[[], None] = lambda: None, settings: ServerSettings | None = None
) -> Iterator[grpc.Channel]:
    """A channel to a real server with these servicers, on a free port of this machine."""
    server = Server(settings or ServerSettings(listen="127.0.0.1:0", drain_seconds=0), servicers, ping)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
            yield channel
    finally:
        server.close()


def error_of(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> ServiceError:
    """The error that the call raises, as the caller's client would see it. A call that succeeds fails the test."""
    try:
        response = call(*arguments, **keywords)
    except grpc.RpcError as error:
        return from_rpc_error(error)
    except ServiceError as error:
        return error
    pytest.fail(f"no error, but {response!r}")
