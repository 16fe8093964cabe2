"""A service's server: what it serves, how much at once, and how it starts and ends."""

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from servicekit import config, logs
from servicekit.admission import Admission
from servicekit.client import MAX_MESSAGE_BYTES
from servicekit.clock import ClockFileError, Clocks, WallClock
from servicekit.config import ConfigError, ServerSettings
from servicekit.database import shown
from servicekit.errors import DatabaseUnavailable
from servicekit.health import Health
from servicekit.loop import Loop
from servicekit.migrations import DatabaseTooNew
from servicekit.pools import CountingPool, serve_apart
from servicekit.rpc import is_rpc
from servicekit.signals import stop_asked
from servicekit.streams import Streams, is_stream

_LOG = structlog.get_logger("servicekit.server")
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else two servers share a port, silently
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),  # else streams of a machine that vanished stay open for hours
    ("grpc.keepalive_timeout_ms", 20_000),
)
Registration = tuple[Callable[[Any, grpc.Server], None], object, str]
"""The generated `add_…_to_server`, the servicer, and the full name of the service."""


class PortInUse(Exception):
    """The address to listen on is taken, or is not this machine's."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"cannot listen on {address}: {why}")


class Server:
    """A gRPC server with health, reflection, and a limit on the calls in progress. Refuses unguarded servicers.

    It is ready while `ping`, asked once a second, does not raise Unavailable: the database's.
    """

    def __init__(self, settings: ServerSettings, servicers: Sequence[Registration], ping: Callable[[], None]) -> None:
        self._settings = settings
        self._pool = CountingPool(settings.worker_threads)
        self._admission = Admission(self._pool, settings.max_calls)
        self._server = grpc.server(self._pool, interceptors=[self._admission], options=_OPTIONS)
        names = [service for _, _, service in servicers]
        self._health = Health(ping, names, Clocks(WallClock(), WallClock()))
        self._streams = Streams(settings.max_streams)
        for add, servicer, service in servicers:
            check_servicer(servicer, service)
            self._streams.serve(servicer)
            add(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._reflection_pool = ThreadPoolExecutor(2, thread_name_prefix="reflection")
        described = reflection.ReflectionServicer([*names, health.SERVICE_NAME, reflection.SERVICE_NAME])
        serve_apart(described, ("ServerReflectionInfo",), self._reflection_pool)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(described, self._server)  # type: ignore[no-untyped-call]

    def start(self) -> int:
        """Listens and serves; the port that is listened on. Raises PortInUse."""
        address = self._settings.listen
        _try_port(address)
        try:
            port = int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise PortInUse(address, str(error)) from error
        self._health.start()
        self._streams.start()
        self._server.start()
        _LOG.info("serving", address=f"{address.rpartition(':')[0]}:{port}")
        return port

    def drain(self) -> None:
        """Not ready any more, streams end, and new calls are refused with a word on when to come again.

        Returns at once.
        """
        self._health.drain()
        self._admission.shut()
        self._streams.drain()

    def close(self) -> None:
        """Gives the calls in progress `drain_seconds` to finish, and frees what the server holds."""
        self.drain()
        self._server.stop(self._settings.drain_seconds).wait()
        self._health.stop()
        self._streams.stop()
        self._admission.close()
        self._reflection_pool.shutdown(wait=False)
        self._pool.shutdown(wait=False)


def _try_port(address: str) -> None:
    """Finds out before grpc does, which would tell the reason to standard error only."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), int(port)), family=family).close()
    except OSError as error:
        raise PortInUse(address, os.strerror(error.errno or 0)) from error


def check_servicer(servicer: object, service: str) -> None:
    """Every method of the contract is there, guarded by `@rpc`, or by `@stream` if it answers a stream.

    Else TypeError, when the service is put together.
    """
    kind = type(servicer)
    if not isinstance(getattr(servicer, "regions", None), frozenset):
        raise TypeError(f"{kind.__name__} has no frozenset `regions`: @rpc could not refuse names of other regions")
    methods = descriptor_pool.Default().FindServiceByName(service).methods
    for guard, is_guarded, streaming in (("@rpc", is_rpc, False), ("@stream", is_stream, True)):
        named = [method.name for method in methods if method.server_streaming is streaming]
        bare = [method for method in named if not is_guarded(getattr(kind, method, None))]
        if bare:
            raise TypeError(f"{kind.__name__}: without {guard}: {', '.join(bare)}")


@dataclass(frozen=True)
class Service:
    """A service put together: its server, its loops, and what to close after both have ended, in this order."""

    server: Server
    loops: Sequence[Loop] = ()
    closing: Sequence[Callable[[], None]] = ()


def run(service: Service) -> None:
    """Serves until SIGTERM or SIGINT; then no new work; steps and calls in progress finish. A second SIGINT exits."""
    with stop_asked() as stop:
        service.server.start()
        for loop in service.loops:
            loop.start()
        stop.wait()
        service.server.drain()
        _LOG.info("draining")
        for loop in service.loops:
            loop.ask_to_stop()
        for loop in service.loops:
            loop.stop()
        service.server.close()
        for close in service.closing:
            close()
        _LOG.info("stopped")


S = TypeVar("S", bound=ServerSettings)


def main(
    name: str,
    settings_class: type[S],
    compose: Callable[[S], Service],
    environ: Mapping[str, str] | None = None,
) -> int:
    """A service's whole life; the process's exit code. `name` is the package's, settings come from `<NAME>_…`.

    What a person can mend (configuration, port, database, clock file) is told in one line each on standard error, with
    exit code 2.
    """
    try:
        settings = config.load(name.upper(), settings_class, os.environ if environ is None else environ)
    except ConfigError as error:
        return _give_up(name, *error.problems)
    logs.configure(name, settings.log_level)
    try:
        run(compose(settings))
    except ConfigError as error:
        return _give_up(name, *error.problems)
    except (PortInUse, ClockFileError) as error:
        return _give_up(name, str(error))
    except (DatabaseTooNew, DatabaseUnavailable) as error:
        return _give_up(name, f"{shown(settings.database_url)}: {error}")
    except KeyboardInterrupt:
        return 130
    return 0


def _give_up(name: str, *problems: str) -> int:
    for problem in problems:
        print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201 - for a person, and logging may not be set up yet
    return 2
