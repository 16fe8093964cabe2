"""Drives a step function: do what is due now, say when to come back."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from servicekit.clock import Clock, Clocks, SteppedClock, WallClock
from servicekit.errors import Unavailable

_LOG = structlog.get_logger("servicekit.loop")
_LOOK_SECONDS = 0.01
_LOOK_AT_WALL_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_MAX_PAUSE_SECONDS = 30.0


@dataclass(frozen=True)
class Wake:
    """When a step wants to run again: at a product time, an operating time, or at once. None: no wish of that kind."""

    product: datetime | None = None
    operating: datetime | None = None
    at_once: bool = False


class Loop:
    """A thread that runs `step` whenever it wished to, when woken, and at least every `idle` of real time.

    A step that raises is logged, and repeated after a pause that grows from 0.2 s to 30 s; the loop never dies of it.
    """

    def __init__(
        self, name: str, step: Callable[[], Wake], clocks: Clocks, idle: timedelta = timedelta(seconds=1)
    ) -> None:
        self.name = name
        self._step = step
        self._clocks = clocks
        self._idle_seconds = idle.total_seconds()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """The next step comes at once; a step in progress is followed by another. Any thread may call this."""
        self._woken.set()

    def ask_to_stop(self) -> None:
        """No step begins any more. Returns at once."""
        self._stopping.set()
        self._woken.set()

    def stop(self) -> None:
        """Returns when the step in progress has finished; no other begins."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        failures = 0
        with structlog.contextvars.bound_contextvars(loop=self.name):
            while not self._stopping.is_set():
                self._woken.clear()  # before the step: a wake during it must not be lost
                try:
                    before = self._stepped_time()
                    wish = self._step()
                    if failures:
                        _LOG.info("step_recovered", failures=failures)
                    failures = 0
                    self._wait(wish, before)
                except Exception as error:  # noqa: BLE001 - whatever went wrong, the work must go on
                    self._report(error, failures)
                    self._stopping.wait(pause_seconds(failures))
                    failures += 1

    def _report(self, error: Exception, failures: int) -> None:
        """A dependency that is away needs no stack trace; anything else does."""
        pause = pause_seconds(failures)
        if isinstance(error, Unavailable):
            _LOG.warning("step_failed", reason=error.reason, message=error.message, retry_seconds=pause)
        else:
            _LOG.error("step_failed", error=type(error).__name__, retry_seconds=pause, exc_info=error)

    def _wait(self, wish: Wake, before: datetime | None) -> None:
        """Until the wish comes true, `wake`, `stop`, `idle` is over, or stepped time is not what it was before."""
        end = time.monotonic() + self._idle_seconds
        while not wish.at_once and self._stepped_time() == before:
            left = end - time.monotonic()
            for clock, moment in ((self._clocks.product, wish.product), (self._clocks.operating, wish.operating)):
                left = min(left, _left_seconds(clock, moment))
            if left <= 0 or self._woken.wait(min(left, self._patience(wish))):
                return

    def _stepped_time(self) -> datetime | None:
        """Product time if it is stepped: whoever steps it waits for every loop to have seen the new moment."""
        clock = self._clocks.product
        return clock.now() if isinstance(clock, SteppedClock) else None

    def _patience(self, wish: Wake) -> float:
        """How long to wait before the clocks are looked at again: a stepped one may step, the wall's may be set."""
        wishes = ((self._clocks.product, wish.product), (self._clocks.operating, wish.operating))
        watched = [clock for clock, moment in wishes if moment is not None]
        if isinstance(self._clocks.product, SteppedClock) or any(not isinstance(clock, WallClock) for clock in watched):
            return _LOOK_SECONDS
        return _LOOK_AT_WALL_SECONDS if watched else self._idle_seconds


def pause_seconds(failures: int) -> float:
    """How long to wait after a step failed, when this many failed in a row before it."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 20), _MAX_PAUSE_SECONDS)


def _left_seconds(clock: Clock, moment: datetime | None) -> float:
    if moment is None:
        return math.inf
    left: timedelta = moment - clock.now()
    return left.total_seconds()
