"""Real servers for tests, and what their refusals mean."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeVar

import grpc
import pytest

from servicekit.config import ServerSettings
from servicekit.errors import ServiceError
from servicekit.server import Registration, Server
from servicekit.status import from_rpc_error

T = TypeVar("T")


@contextmanager
def running_server(
    *servicers: Registration, ping: Callable[[], None] = lambda: None, settings: ServerSettings | None = None
) -> Iterator[grpc.Channel]:
    """A channel to a real server with these servicers, on a free port of this machine."""
    server = Server(settings or ServerSettings(listen="127.0.0.1:0", drain_seconds=0), servicers, ping)
    try:
        address, options = f"127.0.0.1:{server.start()}", [("grpc.use_local_subchannel_pool", 1)]
        # Not with the connections of another test's channel, whose server had the same port.
        with grpc.insecure_channel(address, options) as channel:
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


def at_once(calls: Sequence[Callable[[], T]]) -> list[T | ServiceError]:
    """Begins all calls at the same moment, each on its own thread. What each answered or was refused with, in order."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | ServiceError:
        barrier.wait()
        try:
            return call()
        except grpc.RpcError as error:
            return from_rpc_error(error)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
