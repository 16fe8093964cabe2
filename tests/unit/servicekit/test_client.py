import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest

from servicekit import calls
from servicekit.client import Client
from servicekit.config import ServerSettings
from servicekit.errors import FailedPrecondition, NotFound, Unavailable
from servicekit.server import Server
from suite.services import free_addresses
from tests.support import error_of
from tests.unit.servicekit.example import NAME, Book, GetBookRequest, ShelfServicer, ShelfStub, registration

REQUEST = GetBookRequest(name=NAME)
Connect = Callable[..., tuple[Client, Any]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes a client of a server that acts so, and its stub."""
    closing: list[Callable[[], None]] = []

    def make(act: Callable[[Any], Any], **options: Any) -> tuple[Client, Any]:
        settings = ServerSettings(listen="127.0.0.1:0", drain_seconds=0)
        server = Server(settings, [registration(ShelfServicer(act))], lambda: None)
        client = Client(f"127.0.0.1:{server.start()}", **options)
        closing.extend([client.close, server.close])
        return client, client.stub(ShelfStub)

    yield make
    for close in closing:
        close()


def test_an_answer_comes_back(connect: Connect) -> None:
    client, stub = connect(lambda request: Book(name=request.name))
    assert client.call(stub.GetBook, REQUEST) == Book(name=NAME)


def test_a_call_is_counted_for_whoever_may_not_repeat_it(connect: Connect) -> None:
    client, stub = connect(lambda request: Book(name=request.name))
    before = calls.made()
    client.call(stub.GetBook, REQUEST)
    assert calls.made() == before + 1


def test_a_service_that_was_away_answers_the_first_call_once_it_is_connected_to() -> None:
    address = free_addresses()["log_service"]  # none that the system gives to others meanwhile

    def serve() -> Server:
        settings = ServerSettings(listen=address, drain_seconds=0)
        server = Server(settings, [registration(ShelfServicer(lambda _: Book(name=NAME)))], lambda: None)
        server.start()
        return server

    server = serve()
    client = Client(address)
    try:
        stub = client.stub(ShelfStub)
        client.call(stub.GetBook, REQUEST)
        server.close()
        for _ in range(3):
            error_of(
                client.call, stub.GetBook, REQUEST
            )  # tries to connect, in vain, and then waits before it does again
        server = serve()
        client.connect()
        assert client.call(stub.GetBook, REQUEST) == Book(name=NAME)
    finally:
        client.close()
        server.close()


def test_whoever_is_not_there_is_not_waited_for_longer_than_said() -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with contextlib.closing(Client(f"127.0.0.1:{taken.getsockname()[1]}")) as client:
            error = error_of(client.connect, timedelta(seconds=0.1))
    assert isinstance(error, Unavailable)
    assert error.reason == "TRANSPORT"


def test_calls_go_to_each_replica_in_turn_and_pass_over_one_that_is_gone() -> None:
    settings = ServerSettings(listen="127.0.0.1:0", drain_seconds=0)

    def serve(title: str) -> tuple[Server, int]:
        server = Server(settings, [registration(ShelfServicer(lambda _: Book(name=title)))], lambda: None)
        return server, server.start()

    (first, first_port), (second, second_port) = serve("shelves/1/books/first"), serve("shelves/1/books/second")
    client = Client(f"127.0.0.1:{first_port},127.0.0.1:{second_port}")
    try:
        stub = client.stub(ShelfStub)
        heard: set[str] = set()
        while len(heard) < 2:  # a replica takes part once it is connected to
            heard.add(client.call(stub.GetBook, REQUEST).name)
        first.close()
        while "shelves/1/books/first" in heard:
            with contextlib.suppress(Unavailable):
                heard = {client.call(stub.GetBook, REQUEST).name for _ in range(4)}
        assert heard == {"shelves/1/books/second"}
    finally:
        client.close()
        first.close()
        second.close()


@pytest.mark.parametrize(
    "raised",
    [
        NotFound("book", NAME),
        FailedPrecondition("INSTANCE_BUSY", "busy", subject=NAME, metadata={"instance": NAME}),
        Unavailable("DATABASE_FULL", retry_after=timedelta(seconds=7)),
    ],
)
def test_the_other_side_s_error_is_raised_again(connect: Connect, raised: Any) -> None:
    def act(_request: Any) -> Any:
        raise raised

    client, stub = connect(act)
    error = error_of(client.call, stub.GetBook, REQUEST)
    assert type(error) is type(raised)
    assert vars(error) == {**vars(raised), "code": raised.code, "reason": raised.reason}


def test_an_error_passes_unchanged_through_a_service_between(connect: Connect) -> None:
    def fail(_request: Any) -> Any:
        raise FailedPrecondition("INSTANCE_BUSY", "busy", subject=NAME, metadata={"instance": NAME})

    inner, inner_stub = connect(fail)
    outer, outer_stub = connect(lambda request: inner.call(inner_stub.GetBook, request))
    error = error_of(outer.call, outer_stub.GetBook, REQUEST)
    assert (error.reason, error.metadata) == ("INSTANCE_BUSY", {"instance": NAME})


def test_a_service_that_is_away_is_unavailable_and_found_when_it_is_back(connect: Connect) -> None:
    settings = ServerSettings(listen="127.0.0.1:0", drain_seconds=0)
    first = Server(settings, [registration(ShelfServicer())], lambda: None)
    port = first.start()
    client = Client(f"127.0.0.1:{port}")
    stub: Any = client.stub(ShelfStub)
    assert client.call(stub.GetBook, REQUEST)
    first.close()
    error = error_of(client.call, stub.GetBook, REQUEST)
    assert isinstance(error, Unavailable)
    assert (error.reason, error.retry_after) == ("TRANSPORT", timedelta(seconds=1))
    settings = ServerSettings(listen=f"127.0.0.1:{port}", drain_seconds=0)
    second = Server(settings, [registration(ShelfServicer())], lambda: None)
    second.start()
    grpc.channel_ready_future(client._channel).result(60)  # it tries again by itself, once a second at most
    assert client.call(stub.GetBook, REQUEST, deadline=timedelta(minutes=5)) == Book(name=NAME)
    client.close()
    second.close()


def test_every_call_has_a_deadline(connect: Connect) -> None:
    over = threading.Event()
    seen: list[float] = []

    def act(_request: Any) -> Any:
        seen.append(calls.remaining_seconds() or 0)
        over.wait(60)
        return Book()

    client, stub = connect(act, deadline=timedelta(milliseconds=50))
    error = error_of(client.call, stub.GetBook, REQUEST)
    assert isinstance(error, Unavailable)
    assert error.reason == "TRANSPORT"
    assert error.message.startswith("DEADLINE_EXCEEDED")
    over.set()
    assert client.call(stub.GetBook, REQUEST, deadline=timedelta(minutes=5)) == Book()
    assert max(seen) > 200, "of the second: the first may begin to be served even after it"


def test_a_call_on_behalf_of_another_ends_before_it_and_carries_its_request_id(connect: Connect) -> None:
    seen: list[tuple[float, str | None]] = []

    def act(_request: Any) -> Any:
        seen.append((calls.remaining_seconds() or 0, calls.current_request_id()))
        return Book()

    client, stub = connect(act, deadline=timedelta(seconds=500))
    with calls.serving("r-7", 200.0):
        client.call(stub.GetBook, REQUEST)
        client.call(stub.GetBook, REQUEST, deadline=timedelta(seconds=90))
    client.call(stub.GetBook, REQUEST)
    (inherited, first_id), (own, second_id), (default, third_id) = seen
    assert 100 < inherited < 202  # grpc rounds timeouts up on their way
    assert own < 95
    assert default > 300
    assert (first_id, second_id) == ("r-7", "r-7")
    assert third_id not in (None, "r-7")


@pytest.mark.parametrize("left", [0.02, 0.0, -1.0])
def test_with_no_time_left_nothing_is_sent(connect: Connect, left: float) -> None:
    client, stub = connect(lambda request: pytest.fail("sent"))
    with calls.serving("r-7", left):
        error = error_of(client.call, stub.GetBook, REQUEST)
    assert isinstance(error, Unavailable)
    assert error.reason == "TRANSPORT"


def test_calls_beyond_the_cap_wait_for_a_turn(connect: Connect) -> None:
    lock = threading.Lock()
    running = most = 0

    def act(_request: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait()
        with lock:
            running -= 1
        return Book()

    barrier = threading.Barrier(2)
    client, stub = connect(act, max_in_flight=2)
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(client.call, stub.GetBook, REQUEST) for _ in range(6)]
        assert [answer.result() for answer in answers] == [Book()] * 6
    assert most == 2


def test_waiting_for_a_turn_is_bounded_by_the_deadline(connect: Connect) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(_request: Any) -> Any:
        inside.set()
        go_on.wait(20)
        return Book()

    client, stub = connect(act, max_in_flight=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.call, stub.GetBook, REQUEST)
        assert inside.wait(20)
        error = error_of(client.call, stub.GetBook, REQUEST, deadline=timedelta(milliseconds=20))
        assert error.message == "no time left to make the call"
        go_on.set()
        assert first.result() == Book()


def test_a_client_that_is_closed_cancels_its_calls_as_retryable(connect: Connect) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(_request: Any) -> Any:
        inside.set()
        go_on.wait(20)
        return Book()

    client, stub = connect(act)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(error_of, client.call, stub.GetBook, REQUEST)
        assert inside.wait(20)
        client.close()
        error = first.result()
    go_on.set()
    assert isinstance(error, Unavailable)
    assert error.message.startswith("CANCELLED")
    assert error_of(client.call, stub.GetBook, REQUEST).message == "the client is closed"
