"""The standard health service: ready only while the database answers."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog
from grpc_health.v1 import health, health_pb2

from servicekit.clock import Clocks
from servicekit.loop import Loop, Wake
from servicekit.pools import serve_apart

_LOG = structlog.get_logger("servicekit.health")
_EVERY = timedelta(seconds=1)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Asks `ping` once a second and answers from what it said last, so that a check never waits for the database.

    Checks run on a thread of their own, ahead of the calls that wait; watchers occupy no thread.
    """

    def __init__(self, ping: Callable[[], None], services: Iterable[str], clocks: Clocks) -> None:
        self._ping = ping
        self._services = ("", *services)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="health")
        self.servicer = health.HealthServicer(experimental_non_blocking=True)
        serve_apart(self.servicer, ("Check", "Watch"), self._pool)
        self._ready: bool | None = None
        self._loop = Loop("health", self._look, clocks, idle=_EVERY)

    def start(self) -> None:
        """Looks once before it returns."""
        self._look()
        self._loop.start()

    def drain(self) -> None:
        """Not serving from now on, whatever the database says."""
        self._loop.ask_to_stop()
        self.servicer.enter_graceful_shutdown()

    def stop(self) -> None:
        self._loop.stop()
        self._pool.shutdown(wait=False)

    def _look(self) -> Wake:
        try:
            self._ping()
            ready = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the service is not ready
            ready = False
            if self._ready is not False:
                _LOG.error("not_ready", error=repr(error))
        if ready and self._ready is False:
            _LOG.info("ready_again")
        if ready is not self._ready:
            for service in self._services:
                self.servicer.set(service, SERVING if ready else NOT_SERVING)
        self._ready = ready
        return Wake()
