"""A server inside this process: health, reflection, admission, ports."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.typing import EventDict

from servicekit import health
from servicekit.config import ServerSettings
from servicekit.errors import DatabaseUnavailable, Unavailable
from servicekit.server import PortInUse, Server
from tests.support import error_of, running_server
from tests.unit.servicekit.example import NAME, SERVICE, Book, GetBookRequest, ShelfServicer, ShelfStub, registration

REQUEST = GetBookRequest(name=NAME)
HealthStub: Any = health_pb2_grpc.HealthStub
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Gate:
    """A servicer's act that tells when it is inside, and stays there until opened."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, _request: Any) -> Any:
        self.inside.release()
        assert self._open.wait(30)
        return Book()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


def _settings(**changes: Any) -> ServerSettings:
    return ServerSettings(listen="127.0.0.1:0", **{"drain_seconds": 0, **changes})


def _check(channel: grpc.Channel, service: str = "") -> int:
    status: int = HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status
    return status


def test_calls_beyond_the_limit_are_refused_with_a_word_on_when_to_come_again(gate: Gate) -> None:
    settings = _settings(worker_threads=1, max_calls=2)
    with running_server(registration(ShelfServicer(gate)), settings=settings) as channel:
        stub = ShelfStub(channel)
        first = stub.GetBook.future(REQUEST)
        assert gate.inside.acquire(timeout=20)
        second = stub.GetBook.future(REQUEST)
        error = _until(lambda: error_of(stub.GetBook, REQUEST, timeout=0.5), lambda error: error.reason == "OVERLOADED")
        assert isinstance(error, Unavailable)
        assert (error.retry_after, error.message) == (timedelta(milliseconds=500), "2 calls are in progress")
        assert _check(channel, SERVICE) == SERVING
        assert _services(channel)
        gate.open()
        assert [first.result(20), second.result(20)] == [Book(), Book()]
        assert stub.GetBook(REQUEST) == Book()


def _until(look: Callable[[], Any], right: Callable[[Any], bool]) -> Any:
    """What `look` tells once it is right: the calls before it are on their way to the server."""
    told = None
    for _ in range(100):
        told = look()
        if right(told):
            return told
    pytest.fail(f"never right, at last {told!r}")


def test_calls_whose_callers_went_away_make_room_again(gate: Gate) -> None:
    settings = _settings(worker_threads=1, max_calls=3)
    with running_server(registration(ShelfServicer(gate)), settings=settings) as channel:
        stub = ShelfStub(channel)
        first = stub.GetBook.future(REQUEST)
        assert gate.inside.acquire(timeout=20)
        for _ in range(10):
            waiting = stub.GetBook.future(REQUEST)
            waiting.cancel()
        gate.open()
        assert first.result(20) == Book()
        told = _until(lambda: stub.GetBook.future(REQUEST).exception(20), lambda error: error is None)
        assert told is None


def test_health_follows_the_database(monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]) -> None:
    monkeypatch.setattr(health, "_EVERY", timedelta(milliseconds=1))
    away = threading.Event()

    def ping() -> None:
        if away.is_set():
            raise DatabaseUnavailable("DATABASE_UNAVAILABLE", "gone")

    with running_server(registration(ShelfServicer()), ping=ping) as channel:
        statuses = iter(HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60))
        assert next(statuses).status == SERVING
        away.set()
        assert next(statuses).status == NOT_SERVING
        assert (_check(channel), _check(channel, SERVICE)) == (NOT_SERVING, NOT_SERVING)
        away.clear()
        assert next(statuses).status == SERVING
        assert _check(channel) == SERVING
    told = [line["event"] for line in logged if line["event"] in ("not_ready", "ready")]
    assert told == ["ready", "not_ready", "ready"]


def test_a_server_whose_database_is_away_at_the_start_is_not_ready() -> None:
    def ping() -> None:
        raise DatabaseUnavailable("DATABASE_LOCKED")

    with running_server(registration(ShelfServicer()), ping=ping) as channel:
        assert _check(channel) == NOT_SERVING


def test_the_health_of_an_unknown_service_is_not_found() -> None:
    with running_server(registration(ShelfServicer())) as channel, pytest.raises(grpc.RpcError) as caught:
        _check(channel, "unknown.Service")
    code: Any = caught.value
    assert code.code() is grpc.StatusCode.NOT_FOUND


def test_many_watchers_hold_up_nobody() -> None:
    with running_server(registration(ShelfServicer()), settings=_settings(worker_threads=1)) as channel:
        watchers = [iter(HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)) for _ in range(20)]
        assert {next(watcher).status for watcher in watchers} == {SERVING}
        assert ShelfStub(channel).GetBook(REQUEST)


def test_a_watcher_of_an_unknown_service_is_told_so() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        request = health_pb2.HealthCheckRequest(service="unknown.Service")
        statuses = iter(HealthStub(channel).Watch(request, timeout=60))
        assert next(statuses).status == UNKNOWN


def test_watchers_that_leave_while_the_status_changes_do_not_hang_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_EVERY", timedelta(milliseconds=1))
    answers = itertools.cycle([None, DatabaseUnavailable("DATABASE_LOCKED")])

    def ping() -> None:
        if error := next(answers):
            raise error

    with running_server(registration(ShelfServicer()), ping=ping) as channel:
        for _ in range(100):
            watchers = [HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(5)]
            for watcher in watchers:
                next(iter(watcher))
                watcher.cancel()
        assert ShelfStub(channel).GetBook(REQUEST, timeout=20) == Book(name=NAME)


def test_watchers_do_not_keep_a_server_from_ending() -> None:
    server = Server(_settings(drain_seconds=60), [registration(ShelfServicer())], lambda: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        statuses = iter(HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=90))
        assert next(statuses).status == SERVING
        server.drain()
        assert [answer.status for answer in statuses] == [NOT_SERVING]
        late = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=90)
        assert [answer.status for answer in late] == [NOT_SERVING]
        server.close()


def _services(channel: grpc.Channel) -> list[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([ask]), timeout=20)
    return [service.name for service in answer.list_services_response.service]


def test_reflection_tells_the_services() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        assert set(_services(channel)) == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }


def test_a_draining_server_refuses_new_calls_and_finishes_those_in_progress(gate: Gate) -> None:
    server = Server(_settings(drain_seconds=30), [registration(ShelfServicer(gate))], lambda: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        stub = ShelfStub(channel)
        first = stub.GetBook.future(REQUEST)
        assert gate.inside.acquire(timeout=20)
        server.drain()
        error = error_of(stub.GetBook, REQUEST)
        assert (error.reason, error.retry_after) == ("SHUTTING_DOWN", timedelta(seconds=1))
        assert _check(channel) == NOT_SERVING
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(server.close)
            gate.open()
            assert first.result(20) == Book()
            closing.result(20)
        assert error_of(stub.GetBook, REQUEST).reason == "TRANSPORT"


def test_a_call_that_outlasts_the_drain_is_ended(gate: Gate) -> None:
    server = Server(_settings(drain_seconds=0), [registration(ShelfServicer(gate))], lambda: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        first = ShelfStub(channel).GetBook.future(REQUEST)
        assert gate.inside.acquire(timeout=20)
        server.close()
        assert first.exception(20) is not None


def test_a_port_that_another_server_has_is_told() -> None:
    first = Server(_settings(), [registration(ShelfServicer())], lambda: None)
    address = f"127.0.0.1:{first.start()}"
    second = Server(ServerSettings(listen=address), [registration(ShelfServicer())], lambda: None)
    with pytest.raises(PortInUse, match=f"cannot listen on {address}: Address already in use"):
        second.start()
    first.close()
    second.close()


def test_a_port_that_another_program_has_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = Server(ServerSettings(listen=address), [registration(ShelfServicer())], lambda: None)
        with pytest.raises(PortInUse):
            server.start()
        server.close()


def test_a_message_that_is_too_large_is_refused_and_the_server_goes_on() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        stub = ShelfStub(channel)
        assert stub.GetBook(GetBookRequest(name="x" * 15_000_000))
        assert error_of(stub.GetBook, GetBookRequest(name="x" * 17_000_000)).reason == "TRANSPORT"
        assert stub.GetBook(REQUEST)


def test_an_unknown_method_is_unimplemented() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/BurnBook")
        assert error_of(call, b"").reason == "UNIMPLEMENTED"


def test_a_message_that_is_garbled_does_not_reach_the_method() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/GetBook")
        with pytest.raises(grpc.RpcError):
            call(b"\xff\xff\xff")
