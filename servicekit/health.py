"""The standard health service: ready only while the database answers."""

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.clock import Clocks
from servicekit.loop import Loop, Wake
from servicekit.pools import serve_apart

_LOG = structlog.get_logger("servicekit.health")
_EVERY = timedelta(seconds=1)
_Response = health_pb2.HealthCheckResponse
Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class Health(health_pb2_grpc.HealthServicer):
    """Asks `ping` once a second and answers from what it said last, so that a check never waits for the database.

    Checks run on a thread of their own, ahead of the calls that wait; watchers occupy no thread.

    Not grpcio-health-checking's servicer: that one holds a lock while it sends, and takes the same lock on the serving
    thread when a watcher leaves. A watcher that leaves while the status changes would hang the whole server. Here all
    that concerns watchers happens on one thread, in order.
    """

    def __init__(self, ping: Callable[[], None], services: Iterable[str], clocks: Clocks) -> None:
        self._ping = ping
        self._services = frozenset({"", *services})
        self._status: Any = _Response.NOT_SERVING
        self._draining = False
        self._watchers: list[tuple[str, Send]] = []
        self._ended = False  # told to watchers only, so on their thread; else one could end without its last status
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._watches = ThreadPoolExecutor(1, thread_name_prefix="watch")
        serve_apart(self, ("Check",), self._checks)
        serve_apart(self, ("Watch",), self._watches)
        self._loop = Loop("health", self._look, clocks, idle=_EVERY)

    def start(self) -> None:
        """Looks once before it returns."""
        self._look()
        self._loop.start()

    def drain(self) -> None:
        """Not serving from now on, whatever the database says; watchers are told, and their streams end."""
        self._loop.ask_to_stop()
        self._draining = True
        self._set(_Response.NOT_SERVING)
        self._on_watch_thread(self._end_watches)

    def stop(self) -> None:
        self._loop.stop()
        self._checks.shutdown(wait=False)
        self._watches.shutdown(wait=False)

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> _Response:  # noqa: N802
        if request.service in self._services:
            return _Response(status=self._status)
        context.set_code(grpc.StatusCode.NOT_FOUND)
        return _Response()

    def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any, send_response_callback: Send | None = None
    ) -> None:
        assert send_response_callback is not None, "grpc calls what is marked as non-blocking with a callback"
        watcher = (request.service, send_response_callback)
        self._tell(watcher)
        self._watchers.append(watcher)
        if not context.add_callback(lambda: self._on_watch_thread(self._forget, watcher)):
            self._forget(watcher)
        if self._ended:
            self._end_watches()

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined] # grpc gives `send_response_callback` for this

    def _look(self) -> Wake:
        was_ready = self._status == _Response.SERVING
        try:
            self._ping()
            if not was_ready:
                _LOG.info("ready")
            self._set(_Response.SERVING)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service is not ready
            if was_ready:
                _LOG.error("not_ready", error=repr(error))
            self._set(_Response.NOT_SERVING)
        return Wake()

    def _set(self, status: int) -> None:
        status = _Response.NOT_SERVING if self._draining else status
        if status != self._status:
            self._status = status
            self._on_watch_thread(self._tell_all)

    def _on_watch_thread(self, work: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # after `stop` there is nobody left to tell
            self._watches.submit(work, *arguments)

    def _tell_all(self) -> None:
        for watcher in self._watchers:
            self._tell(watcher)

    def _tell(self, watcher: tuple[str, Send]) -> None:
        service, send = watcher
        send(_Response(status=self._status if service in self._services else _Response.SERVICE_UNKNOWN))

    def _forget(self, watcher: tuple[str, Send]) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def _end_watches(self) -> None:
        """Else they would keep the server from ending for as long as calls in progress may take."""
        self._ended = True
        watchers, self._watchers = self._watchers, []
        for _, send in watchers:
            send(None)
