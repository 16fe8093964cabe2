"""The four services as the suite runs them: what each is told, and how one tells that it is ready."""

import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from errno import EADDRINUSE
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from servicekit import config
from suite.clients import SERVICES, default_addresses
from suite.errors import SuiteError

# Whom a service asks, and is told the address of, as in POLICY_SERVICE_COMPUTE_ADDRESS.
_ASKS = {
    "policy_service": ("compute_sim", "log_service"),
    "scheduler_service": ("policy_service", "compute_sim", "log_service"),
}
_LOOK_SECONDS = 0.05
_CHECK_SECONDS = 0.3
_CHANNEL_OPTIONS = (
    # A service that is starting refuses connections: come again soon, not after the default of a second and more.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_http_proxy", 0),
)
# Below the range that the system takes the ports of outgoing connections from: those could take one in between.
_FREE_PORTS = range(20_000, 32_000)


def addresses_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Where each service listens, by package: as `<SERVICE>_LISTEN` says, else on its default port.

    Raises SuiteError with each of these that is no address.
    """
    addresses, problems = default_addresses(), []
    for service in SERVICES:
        variable = f"{service.upper()}_LISTEN"
        text = environ.get(variable, addresses[service])
        addresses[service] = text.strip()
        if not _is_address(addresses[service]):
            problems.append(f"{variable}: must be an address such as 127.0.0.1:50051, is {text!r}")
    if problems:
        raise SuiteError(*problems)
    return addresses


def _is_address(text: str) -> bool:
    try:
        return "," not in config.address(text)
    except ValueError:
        return False


def free_addresses() -> dict[str, str]:
    """Addresses on this machine that nobody listens on, by package; until another program is faster."""
    ports = random.sample(_FREE_PORTS, len(_FREE_PORTS))
    free = (f"127.0.0.1:{port}" for port in ports if is_free(f"127.0.0.1:{port}"))
    return {service: next(free) for service in SERVICES}


def is_free(address: str) -> bool:
    """Whether a server could listen here now."""
    return not why_not_free(address)


def why_not_free(address: str) -> str:
    """Why no server could listen here now; empty if one could. A connection that was closed lately does not count."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, endpoint = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(endpoint)
    except OSError as error:
        return "another program uses this port" if error.errno == EADDRINUSE else str(error.strerror)
    except UnicodeError:  # such as a..b, or a label of more than 63 characters
        return f"{host} cannot be the name of a host"
    return ""


def environment(
    service: str, addresses: Mapping[str, str], data: Path, product_clock: str, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of a service's process. What `environ` says of its other settings stays."""
    prefix = service.upper()
    settings = {
        f"{prefix}_LISTEN": addresses[service],
        f"{prefix}_DATABASE_URL": f"sqlite:///{data / service}.db",
        f"{prefix}_PRODUCT_CLOCK": product_clock,
    }
    for peer in _ASKS.get(service, ()):
        settings[f"{prefix}_{peer.partition('_')[0].upper()}_ADDRESS"] = addresses[peer]
    return {**environ, **settings}


def overruled(environ: Mapping[str, str]) -> list[str]:
    """The settings in `environ` that the suite tells its services by itself: databases, clocks, whom to ask."""
    told = {
        name
        for service in SERVICES
        for name in environment(service, default_addresses(), Path(), "wall", {})
        if name != f"{service.upper()}_LISTEN"
    }
    return sorted(told & environ.keys())


def wait_until_ready(address: str, is_running: Callable[[], bool], seconds: float) -> bool:
    """Whether the service at this address said that it is ready, within this time and before `is_running` was false."""
    end = time.monotonic() + seconds
    with grpc.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        while is_running() and time.monotonic() < end:
            if _is_ready(channel):
                return True
    return False


def _is_ready(channel: grpc.Channel) -> bool:
    """Asks once, and lets a service that has just begun to start some time to answer."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS, wait_for_ready=True)
    except grpc.RpcError:
        return False
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        time.sleep(_LOOK_SECONDS)
        return False
    return True
