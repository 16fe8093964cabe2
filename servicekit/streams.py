"""Methods that answer a stream: without a thread each, at their reader's pace, and resumed by a token without a gap."""

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

import structlog
from google.protobuf.message import Message

from servicekit.admission import overloaded, shutting_down
from servicekit.clock import Clocks, WallClock
from servicekit.errors import ServiceError
from servicekit.loop import Loop, Wake
from servicekit.paging import Key, next_token, parse_token
from servicekit.rpc import (
    Context,
    Validator,
    check,
    failure_of,
    full_name,
    log_failure,
    log_success,
    prepare_refusal,
    refuse,
    serving,
    violations,
)

_LOG = structlog.get_logger("servicekit.streams")
_EVERY = timedelta(seconds=1)
_RETRY_FULL = timedelta(seconds=5)
_SENDS_AT_ONCE = 4
_STALLED_SECONDS = 0.1

S = TypeVar("S")
T = TypeVar("T")
Item = TypeVar("Item")
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Method = Callable[[S, Request, Context], T]
Listener = Callable[[], None]


class News:
    """Tells the streams of this process that something was written, so that they do not wait for their next look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[Hashable, list[Listener]] = {}

    def tell(self, subjects: Iterable[Hashable]) -> None:
        """Wakes the streams of these subjects. To be called after the commit: a look before it would find nothing."""
        with self._lock:
            listeners = [listener for subject in subjects for listener in self._listeners.get(subject, ())]
        for listener in listeners:
            listener()

    def listen(self, subject: Hashable, listener: Listener) -> None:
        with self._lock:
            self._listeners.setdefault(subject, []).append(listener)

    def forget(self, subject: Hashable, listener: Listener) -> None:
        with self._lock:
            left = [other for other in self._listeners.pop(subject, ()) if other != listener]
            if left:
                self._listeners[subject] = left


@dataclass(frozen=True)
class Source(Generic[Item, Response]):
    """What a streaming method answers from. A position is a key: what a stream has answered lies before it.

    `begin` is given the position of the resume token, or None, and tells where to begin: there, or where nothing is
    that was written before now. `read` is given a position and tells what is new after it, in a piece of bounded size,
    and the position after that, which is the same one if there is nothing. It runs on a thread that all streams share,
    so it must be short; where few of many items fit it may tell none and a later position, and is soon asked again.
    Both may raise a ServiceError, which ends the stream. `respond` makes the response of items and resume token; of no
    items for the first one, which is sent at once. A token fits only the same method with the same `query`.
    """

    query: Mapping[str, Any]
    resume_token: str
    begin: Callable[[Key | None], Key]
    read: Callable[[Key], tuple[Sequence[Item], Key]]
    respond: Callable[[Sequence[Item], str], Response]
    subject: Hashable = None
    """Of which `news` tells; without it the source is read once a second."""
    news: News = field(default_factory=News)


def stream(
    validator: Validator[Request] | None = None, *, audit: bool = False
) -> Callable[[Method[S, Request, Source[Any, Response]]], Method[S, Request, Iterator[Response]]]:
    """As `@rpc`, for a method that answers a stream: it only tells the source, `Streams` does the rest.

    `audit` logs one line when the stream opens. A stream that ends with an error is logged as a failed call is, unless
    the server shuts down.
    """

    def decorate(method: Method[S, Request, Source[Any, Response]]) -> Method[S, Request, Iterator[Response]]:
        name = method.__name__
        violations_of = functools.partial(violations, validator=validator, create=False)

        def open_stream(self: S, request: Request, context: Context, admit: Callable[[], None]) -> _Stream:
            with serving(self, name, request, context):
                started = time.perf_counter()
                try:
                    check(self, request, violations_of)
                    opened = _Stream(method(self, request, context), full_name(cast("type", type(self)), name), request)
                    admit()
                except Exception as error:  # noqa: BLE001 - a bug: whatever it is, its text stays here
                    failure = failure_of(error)
                    log_failure(request, failure, started)
                    refuse(context, failure)
                if audit:
                    log_success(request, request, started)
                return opened

        @functools.wraps(method)
        def serve(self: S, request: Request, context: Context) -> Iterator[Response]:
            return _responses(open_stream(self, request, context, lambda: None), context)

        serve.open_stream = open_stream  # type: ignore[attr-defined]
        return serve

    return decorate


def is_stream(method: object) -> bool:
    """Whether `@stream` guards this servicer method."""
    return hasattr(method, "open_stream")


class _Stream:
    """How far one stream is. Only one thread at a time may ask it to advance."""

    def __init__(self, source: Source[Any, Any], method: str, request: Message) -> None:
        self._source = source
        self._query = {"method": method, **source.query}
        token = source.resume_token
        self._position = source.begin(parse_token(token, self._query, "resume_token") if token else None)
        self._is_begun = False
        self.may_have_more = True
        """Whether it makes sense to advance without news."""
        self._request = request
        self._started = time.perf_counter()
        self._log_context = contextvars.copy_context()

    def advance(self) -> Message | ServiceError | None:
        """The next response; None if there is nothing new; or the error that ends the stream, logged already."""
        return self._log_context.run(self._advance)

    def _advance(self) -> Message | ServiceError | None:
        try:
            items, after = self._source.read(self._position) if self._is_begun else ((), self._position)
            self.may_have_more = after != self._position or not self._is_begun
            self._position = after
            if self._is_begun and not items:
                return None
            self._is_begun = True
            response: Message = self._source.respond(items, next_token(after, self._query))
        except Exception as error:  # noqa: BLE001 - a bug: whatever it is, its text stays here
            failure = failure_of(error)
            log_failure(self._request, failure, self._started)
            return failure
        return response

    def listen(self, listener: Listener) -> None:
        self._source.news.listen(self._source.subject, listener)

    def forget(self, listener: Listener) -> None:
        self._source.news.forget(self._source.subject, listener)


def _responses(opened: _Stream, context: Context) -> Iterator[Any]:
    """For grpcio-testing, which knows threads only: takes one for as long as the stream is open."""
    woken = threading.Event()
    context.add_callback(woken.set)
    opened.listen(woken.set)
    try:
        while context.is_active():
            woken.clear()
            response = opened.advance()
            if isinstance(response, ServiceError):
                refuse(context, response)
            if response is not None:
                yield response
            elif not opened.may_have_more:
                woken.wait(_EVERY.total_seconds())
    finally:
        opened.forget(woken.set)


class _Call:
    """A stream of a real server, and the call that it answers."""

    def __init__(self, opened: _Stream, context: Context, send: Callable[[Message | None], None]) -> None:
        self.opened = opened
        self.context = context
        self.send = send  # waits until the message is on its way, which is as long as a slow reader likes
        self.listener: Listener = lambda: None

    def end(self, error: ServiceError) -> None:
        """Sends the error without waiting for it."""
        code, message = prepare_refusal(self.context, error)
        self.context.set_code(code)
        self.context.set_details(message)
        self.send(None)


class Streams:
    """The streams of a server: at most `limit`; one more is refused with UNAVAILABLE, OVERLOADED.

    One thread reads the sources: at once when there is news, and once a second, since other processes write too. It
    reads on for a stream only when its last response is sent. Sending is for other threads, since it waits for slow
    readers: as a rule four; one that is held up is replaced, so that the streams of other readers go on.

    What happens to streams is posted to the one thread: nothing is shared, and the serving thread never waits.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._admission = threading.Lock()
        self._admitted = 0
        self._draining = False
        self._posts: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._calls: set[_Call] = set()
        self._due: dict[_Call, None] = {}  # in the order in which they became due
        self._sending: dict[_Call, float] = {}
        self._look_at = 0.0
        self._senders = ThreadPoolExecutor(limit, thread_name_prefix="stream-send")
        self._loop = Loop("streams", self._step, Clocks(WallClock(), WallClock()), idle=_EVERY)

    def serve(self, servicer: object) -> None:
        """Takes over the streams of this servicer. To be called before it is added to a grpc server."""
        kind = type(servicer)
        for name in dir(kind):
            if is_stream(getattr(kind, name)):
                setattr(servicer, name, self._non_blocking(servicer, getattr(kind, name).open_stream))

    def _non_blocking(self, servicer: object, open_stream: Callable[..., _Stream]) -> Callable[..., None]:
        def serve(request: Message, context: Context, send: Callable[[Message | None], None]) -> None:
            call = _Call(open_stream(servicer, request, context, self._admit), context, send)
            call.listener = functools.partial(self._post, self._want, call)
            call.opened.listen(call.listener)
            self._post(self._begin, call)
            if not context.add_callback(functools.partial(self._post, self._forget, call)):
                self._post(self._forget, call)

        serve.experimental_non_blocking = True  # type: ignore[attr-defined] # grpc gives `send` for this
        return serve

    def start(self) -> None:
        self._loop.start()

    def drain(self) -> None:
        """Every stream ends as soon as its last response is sent: UNAVAILABLE, SHUTTING_DOWN. Returns at once."""
        self._draining = True
        self._post(self._end_all)

    def stop(self) -> None:
        """When the grpc server has stopped, so that nothing is being sent any more."""
        self._loop.stop()
        self._senders.shutdown(wait=False)

    def _admit(self) -> None:
        if self._draining:
            raise shutting_down()
        with self._admission:
            if self._admitted >= self._limit:
                raise overloaded(f"{self._limit} streams are open", _RETRY_FULL)
            self._admitted += 1

    def _post(self, act: Callable[[_Call], None] | Callable[[], None], *arguments: _Call) -> None:
        self._posts.put(functools.partial(act, *arguments))
        self._loop.wake()

    # What follows runs on the one thread, but for `_send`.

    def _step(self) -> Wake:
        self._take_posts()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _EVERY.total_seconds()
            for call in self._calls:
                self._want(call)
        while self._due and self._may_send():
            call = next(iter(self._due))
            del self._due[call]
            self._advance(call)
        if self._due:
            return Wake(operating=WallClock().now() + timedelta(seconds=_STALLED_SECONDS))
        return Wake()

    def _take_posts(self) -> None:
        try:
            while True:
                self._posts.get_nowait()()
        except Empty:
            return

    def _may_send(self) -> bool:
        """Whether fewer than four are being sent, but for those whose readers are slow."""
        stalled = time.monotonic() - _STALLED_SECONDS
        return sum(since > stalled for since in self._sending.values()) < _SENDS_AT_ONCE

    def _begin(self, call: _Call) -> None:
        self._calls.add(call)
        self._want(call)

    def _want(self, call: _Call) -> None:
        """One that is being sent to will be wanted when that is done."""
        if call in self._calls and call not in self._sending:
            self._due[call] = None

    def _advance(self, call: _Call) -> None:
        if not call.context.is_active():  # or it would be ended twice
            return
        response = shutting_down() if self._draining else call.opened.advance()
        if isinstance(response, ServiceError):
            self._calls.discard(call)
            call.end(response)
        elif response is not None:
            self._sending[call] = time.monotonic()
            self._senders.submit(self._send, call, response)
        elif call.opened.may_have_more:
            self._want(call)

    def _send(self, call: _Call, response: Message) -> None:
        try:
            call.send(response)
        except Exception as error:  # noqa: BLE001 - whatever it is: after a response that is lost there must be no other
            _LOG.error("send_failed", error=repr(error))
            call.context.cancel()
        self._post(self._sent, call)

    def _sent(self, call: _Call) -> None:
        del self._sending[call]
        self._want(call)

    def _end_all(self) -> None:
        for call in self._calls:
            self._want(call)

    def _forget(self, call: _Call) -> None:
        """The call is over, however it ended."""
        call.opened.forget(call.listener)
        self._calls.discard(call)
        self._due.pop(call, None)
        with self._admission:
            self._admitted -= 1
