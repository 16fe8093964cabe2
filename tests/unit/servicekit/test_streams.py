"""Streams of a real server, and of grpcio-testing: their pace, their ends, and where they go on."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import grpc
import grpc_testing
import pytest
from structlog.typing import EventDict

from servicekit import streams
from servicekit.config import ServerSettings
from servicekit.errors import Code, FieldViolation, NotFound, Unavailable
from servicekit.paging import Key, next_token
from servicekit.rpc import rpc
from servicekit.server import Server, check_servicer
from servicekit.streams import News, Source, stream
from tests.support import error_of, running_server
from tests.unit.servicekit.example import (
    DESCRIPTOR,
    NAME,
    PARENT,
    SERVICE,
    Book,
    GetBookRequest,
    ShelfServicer,
    ShelfStub,
    WatchBooksRequest,
    WatchBooksResponse,
    registration,
)

REQUEST = WatchBooksRequest(parent=PARENT)
TIMEOUT = 60


class Numbers:
    """Numbers from 1 on, written one after the other, and streams of them, at most three a response."""

    def __init__(self, cover: bytes = b"") -> None:
        self.news = News()
        self.last = 0
        self.reads = 0
        self.error: Exception | None = None
        self._cover = cover

    def write(self, count: int = 1) -> None:
        self.last += count
        self.news.tell([PARENT])

    def source(self, request: Any) -> Source[int, Any]:
        return Source(
            query={"parent": request.parent},
            resume_token=request.resume_token,
            begin=lambda after: after or (self.last,),
            read=self._read,
            respond=self._respond,
            subject=request.parent,
            news=self.news,
        )

    def _read(self, after: Key) -> tuple[Sequence[int], Key]:
        if self.error is not None:
            raise self.error
        self.reads += 1
        begin = int(after[0])
        end = min(begin + 3, self.last)
        return range(begin + 1, end + 1), (end,)

    def _respond(self, numbers: Sequence[int], resume_token: str) -> Any:
        return WatchBooksResponse(numbers=numbers, resume_token=resume_token, cover=self._cover)


def _settings(**changes: Any) -> ServerSettings:
    return ServerSettings(listen="127.0.0.1:0", **{"drain_seconds": 0, **changes})


def _watch(channel: grpc.Channel, resume_token: str = "") -> tuple[Any, str]:
    """A stream whose first response, which is empty, has come; and its token."""
    call = ShelfStub(channel).WatchBooks(WatchBooksRequest(parent=PARENT, resume_token=resume_token), timeout=TIMEOUT)
    first = next(call)
    assert list(first.numbers) == []
    return call, first.resume_token


def _error(call: Any) -> Any:
    return error_of(lambda: list(call))


def _until(right: Callable[[], bool]) -> None:
    for _ in range(1000):
        if right():
            return
        threading.Event().wait(0.02)
    pytest.fail("never right")


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def channel(numbers: Numbers) -> Iterator[grpc.Channel]:
    with running_server(registration(ShelfServicer(watch=numbers.source))) as channel:
        yield channel


def test_a_stream_begins_at_once_and_tells_what_is_written_from_then_on(
    channel: grpc.Channel, numbers: Numbers
) -> None:
    numbers.write(5)
    call, token = _watch(channel)
    numbers.write(4)
    assert [list(next(call).numbers) for _ in range(2)] == [[6, 7, 8], [9]]
    numbers.write()
    assert list(next(call).numbers) == [10]
    assert token


def test_what_other_processes_write_is_seen_without_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_EVERY", timedelta(milliseconds=1))
    numbers = Numbers()
    with running_server(registration(ShelfServicer(watch=numbers.source))) as channel:
        call, _ = _watch(channel)
        numbers.last = 1
        assert list(next(call).numbers) == [1]


def test_a_stream_whose_source_tells_of_no_news_is_looked_at_once_a_second() -> None:
    def source(request: Any) -> Source[int, Any]:
        return Source(
            query={},
            resume_token="",
            begin=lambda _: (0,),
            read=lambda after: ([1], (int(after[0]) + 1,)) if after == (0,) else ([], after),
            respond=lambda found, token: WatchBooksResponse(numbers=found, resume_token=token),
        )

    with running_server(registration(ShelfServicer(watch=source))) as channel:
        call = ShelfStub(channel).WatchBooks(REQUEST, timeout=TIMEOUT)
        assert [list(next(call).numbers) for _ in range(2)] == [[], [1]]


def test_a_cancelled_stream_makes_room_for_another_and_leaves_nothing(numbers: Numbers) -> None:
    settings = _settings(max_streams=1)
    with running_server(registration(ShelfServicer(watch=numbers.source)), settings=settings) as channel:
        call, _ = _watch(channel)
        error = _error(ShelfStub(channel).WatchBooks(REQUEST, timeout=TIMEOUT))
        assert isinstance(error, Unavailable)
        assert (error.reason, error.message, error.retry_after) == (
            "OVERLOADED",
            "1 streams are open",
            timedelta(seconds=5),
        )
        call.cancel()
        _until(lambda: not numbers.news._listeners)
        again, _ = _watch(channel)
        numbers.write()
        assert list(next(again).numbers) == [1]


def test_a_stream_ends_at_its_callers_deadline(channel: grpc.Channel, numbers: Numbers) -> None:
    responses: list[Any] = []
    deadline = 0.1
    while not responses:  # on a slow machine the deadline may pass before the stream begins
        call = ShelfStub(channel).WatchBooks(REQUEST, timeout=deadline)
        with pytest.raises(grpc.RpcError):
            responses.extend(call)  # those before the error, too
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        deadline *= 2
    assert [list(response.numbers) for response in responses] == [[]]
    _until(lambda: not numbers.news._listeners)


def test_streams_end_when_the_server_drains_and_no_others_begin(numbers: Numbers, logged: list[EventDict]) -> None:
    server = Server(_settings(drain_seconds=30), [registration(ShelfServicer(watch=numbers.source))], lambda: None)
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        calls = [_watch(channel)[0] for _ in range(3)]
        numbers.write(3)
        assert [list(next(call).numbers) for call in calls] == [[1, 2, 3]] * 3
        server.drain()
        errors = [_error(call) for call in calls]
        assert {(error.code, error.reason, error.retry_after) for error in errors} == {
            (Code.UNAVAILABLE, "SHUTTING_DOWN", timedelta(seconds=1))
        }
        assert _error(ShelfStub(channel).WatchBooks(REQUEST, timeout=TIMEOUT)).reason == "SHUTTING_DOWN"
        server.close()
    assert [line for line in logged if line["event"] == "rpc"] == []


def test_a_stream_that_opens_while_the_server_begins_to_drain_ends(numbers: Numbers) -> None:
    served = streams.Streams(1)
    servicer: Any = ShelfServicer(watch=numbers.source)
    served.serve(servicer)
    served.drain()
    context = _Context()
    with pytest.raises(_Aborted):
        servicer.WatchBooks(REQUEST, context, lambda _: None)
    assert context.code is grpc.StatusCode.UNAVAILABLE


def test_a_hundred_streams_take_few_threads_and_no_worker(numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_STALLED_SECONDS", TIMEOUT)  # a slow machine is no slow reader
    before = set(threading.enumerate())
    settings = _settings(worker_threads=1, max_calls=4)
    with running_server(registration(ShelfServicer(watch=numbers.source)), settings=settings) as channel:
        calls = [_watch(channel)[0] for _ in range(100)]
        for number in range(1, 4):
            numbers.write()
            assert [list(next(call).numbers) for call in calls] == [[number]] * 100
        names = [thread.name for thread in set(threading.enumerate()) - before]
        assert len([name for name in names if name.startswith(("rpc", "stream"))]) <= 1 + 1 + 10
        assert ShelfStub(channel).GetBook(GetBookRequest(name=NAME)) == Book(name=NAME)
        assert _error(ShelfStub(channel).WatchBooks(REQUEST, timeout=TIMEOUT)).reason == "OVERLOADED"


def test_slow_readers_are_waited_for_and_hold_up_nobody_else() -> None:
    slow, fast = Numbers(cover=b"x" * 1_000_000), Numbers()
    slow.write(3_000)

    def source(request: Any) -> Source[int, Any]:
        return (slow if request.resume_token else fast).source(request)

    beginning = next_token((0,), {"method": "ShelfServicer/WatchBooks", "parent": PARENT})
    server = Server(_settings(), [registration(ShelfServicer(watch=source))], lambda: None)
    address = f"127.0.0.1:{server.start()}"
    with ExitStack() as stack:
        channels = [stack.enter_context(grpc.insecure_channel(address)) for _ in range(9)]
        held = [_watch(channel, beginning)[0] for channel in channels[1:]]
        quick, _ = _watch(channels[0])
        for number in range(1, 51):
            fast.write()
            assert list(next(quick).numbers) == [number]
        told = list(itertools.islice(held[0], 100))
        assert [number for response in told for number in response.numbers] == list(range(1, 301))
        assert slow.reads < 8 * 1_000
        server.close()


@pytest.mark.parametrize(
    ("raised", "code"), [(NotFound("shelf", PARENT), Code.NOT_FOUND), (RuntimeError("the secret"), Code.INTERNAL)]
)
def test_an_error_of_the_source_ends_the_stream_and_leaves_one_line(
    channel: grpc.Channel, numbers: Numbers, logged: list[EventDict], raised: Exception, code: Code
) -> None:
    call = ShelfStub(channel).WatchBooks(REQUEST, timeout=TIMEOUT, metadata=(("x-request-id", "r-1"),))
    assert list(next(call).numbers) == []
    numbers.error = raised
    numbers.write()
    error = _error(call)
    assert error.code is code
    assert "secret" not in error.message
    (line,) = [line for line in logged if line["event"] == "rpc"]
    told = {key: line[key] for key in ("code", "method", "request_id", "account")}
    assert told == {
        "code": code.name,
        "method": "ShelfServicer/WatchBooks",
        "request_id": "r-1",
        "account": "acme",
    }
    _until(lambda: not numbers.news._listeners)


def test_a_stream_that_cannot_begin_is_refused_as_a_call_is(logged: list[EventDict]) -> None:
    def source(_request: Any) -> Source[int, Any]:
        raise NotFound("shelf", PARENT)

    with running_server(registration(ShelfServicer(watch=source)), settings=_settings(max_streams=1)) as channel:
        for _ in range(3):
            error = _error(ShelfStub(channel).WatchBooks(REQUEST, timeout=TIMEOUT))
            assert (type(error), error.metadata) == (NotFound, {"name": PARENT})
    assert [line["reason"] for line in logged if line["event"] == "rpc"] == ["RESOURCE_NOT_FOUND"] * 3


def _write_all(numbers: Numbers, count: int) -> None:
    for _ in range(count):
        numbers.write()


def test_a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice(numbers: Numbers) -> None:
    with (
        running_server(registration(ShelfServicer(watch=numbers.source))) as channel,
        ThreadPoolExecutor(1) as pool,
    ):
        call, token = _watch(channel)
        writing = pool.submit(_write_all, numbers, 400)
        got: list[int] = []
        while len(got) < 400:
            for response in itertools.islice(call, 1 + len(got) % 7):
                got += response.numbers
                token = response.resume_token
                if len(got) == 400:
                    break
            call.cancel()
            call, _ = _watch(channel, token)
        writing.result()
    assert got == list(range(1, 401))


@pytest.mark.parametrize(
    "query",
    [
        {"method": "ShelfServicer/WatchBooks", "parent": PARENT + "/shelves/2"},
        {"method": "ShelfServicer/ListBooks", "parent": PARENT},
        {"parent": PARENT},
    ],
)
def test_a_token_of_another_query_is_refused(channel: grpc.Channel, query: dict[str, str]) -> None:
    request = WatchBooksRequest(parent=PARENT, resume_token=next_token((1,), query))
    error = _error(ShelfStub(channel).WatchBooks(request, timeout=TIMEOUT))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert [violation.field for violation in error.violations] == ["resume_token"]


def test_a_wrong_request_is_refused_with_all_that_is_wrong() -> None:
    class Servicer(ShelfServicer):
        @stream(lambda request: [FieldViolation("resume_token", "wrong")])
        def WatchBooks(self, request: Any, context: grpc.ServicerContext) -> Source[Any, Any]:
            pytest.fail("ran")

    with running_server(registration(Servicer())) as channel:
        stub = ShelfStub(channel)
        empty = _error(stub.WatchBooks(WatchBooksRequest(), timeout=TIMEOUT))
        far = _error(stub.WatchBooks(WatchBooksRequest(parent="accounts/acme/regions/mars-1"), timeout=TIMEOUT))
    assert [violation.field for violation in empty.violations] == ["parent", "resume_token"]
    assert [violation.reason for violation in far.violations] == ["REGION_NOT_SERVED", "INVALID_FIELD"]


def test_opening_is_audited_where_the_method_says_so(numbers: Numbers, logged: list[EventDict]) -> None:
    class Servicer(ShelfServicer):
        @stream(audit=True)
        def WatchBooks(self, request: Any, context: grpc.ServicerContext) -> Source[Any, Any]:
            return numbers.source(request)

    with running_server(registration(Servicer())) as channel:
        _watch(channel)
    assert [(line["code"], line["resource"]) for line in logged if line["event"] == "rpc"] == [("OK", PARENT)]


def test_a_servicer_whose_stream_is_guarded_as_a_call_cannot_be_served() -> None:
    class Unary(ShelfServicer):
        @rpc()
        def WatchBooks(self, request: Any, context: grpc.ServicerContext) -> Any:
            return WatchBooksResponse()

    class Streaming(ShelfServicer):
        @stream()
        def GetBook(self, request: Any, context: grpc.ServicerContext) -> Source[Any, Any]:
            pytest.fail("ran")

    with pytest.raises(TypeError, match=r"Unary: without @stream: WatchBooks$"):
        check_servicer(Unary(), SERVICE)
    with pytest.raises(TypeError, match=r"Streaming: without @rpc: GetBook$"):
        check_servicer(Streaming(), SERVICE)


class _Aborted(Exception):
    pass


class _Context:
    """A call's context without a call."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.cancelled = threading.Event()

    def abort(self, code: grpc.StatusCode, _message: str) -> None:
        self.code = code
        raise _Aborted

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> None:
        return None

    def set_trailing_metadata(self, _metadata: object) -> None:
        pass

    def add_callback(self, _callback: object) -> bool:
        return True

    def is_active(self) -> bool:
        return not self.cancelled.is_set()

    def cancel(self) -> None:
        self.cancelled.set()


def test_a_response_that_cannot_be_sent_is_the_last_one(numbers: Numbers, logged: list[EventDict]) -> None:
    served = streams.Streams(1)
    servicer: Any = ShelfServicer(watch=numbers.source)
    served.serve(servicer)
    served.start()
    sent: list[Any] = []

    def send(response: Any) -> None:
        sent.append(response)
        raise RuntimeError("no way")

    context = _Context()
    numbers.write()
    servicer.WatchBooks(REQUEST, context, send)
    assert context.cancelled.wait(20)
    numbers.write()
    served.stop()
    assert len(sent) == 1
    assert [line["event"] for line in logged] == ["send_failed"]


class TestUnderGrpcTesting:
    """Which knows threads only, and no callbacks to send by."""

    @staticmethod
    def _watch(numbers: Numbers, request: Any = REQUEST) -> Any:
        servicer = ShelfServicer(watch=numbers.source)
        server = grpc_testing.server_from_dictionary({DESCRIPTOR: servicer}, grpc_testing.strict_real_time())
        return server.invoke_unary_stream(DESCRIPTOR.methods_by_name["WatchBooks"], (), request, None)

    def test_responses_come_in_order_until_the_caller_cancels(self, numbers: Numbers) -> None:
        call = self._watch(numbers)
        assert list(call.take_response().numbers) == []
        numbers.write(4)
        assert [list(call.take_response().numbers) for _ in range(2)] == [[1, 2, 3], [4]]
        call.cancel()
        _until(lambda: not numbers.news._listeners)

    def test_an_error_of_the_source_ends_the_stream(self, numbers: Numbers) -> None:
        call = self._watch(numbers)
        call.take_response()
        numbers.error = NotFound("shelf", PARENT)
        numbers.write()
        _, code, details = call.termination()
        assert (code, details) == (grpc.StatusCode.NOT_FOUND, f"shelf {PARENT} does not exist")

    def test_a_wrong_request_is_refused(self, numbers: Numbers) -> None:
        _, code, _ = self._watch(numbers, WatchBooksRequest()).termination()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
