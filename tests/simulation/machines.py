"""Processes: each has clocks of its own, serves calls and runs loops, and loses all of that when it dies."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from servicekit.clock import Clocks
from servicekit.errors import ServiceError
from servicekit.loop import Wake, pause_seconds
from servicekit.server import Registration
from tests.simulation.databases import SimulatedDatabase
from tests.simulation.kernel import HOUR, MILLISECOND, SECOND, Kernel, Owner, Task

START = datetime(2026, 3, 2, tzinfo=UTC)
"""When a run begins, by a clock that is right."""
_MICROSECOND = timedelta(microseconds=1)
_LOOKS = (SECOND, 35 * SECOND, 35 * SECOND)
_ROUSED = (0, 50 * MILLISECOND)
_POLL_GROWTH, _LAST_POLL = 32, 6 * HOUR


@dataclass
class SimulatedClock:
    """The kernel's time, and so much more or less."""

    kernel: Kernel
    offset: int = 0

    def now(self) -> datetime:
        return moment(self.kernel.now + self.offset)


def moment(micros: int) -> datetime:
    """What a clock that is right shows then."""
    return START + timedelta(microseconds=micros)


def micros(moment: datetime) -> int:
    """When a clock that is right shows this."""
    return (moment - START) // _MICROSECOND


@dataclass(frozen=True)
class LoopSpec:
    """A loop as a service composes it.

    `watches` are the databases whose commits, by anybody, the loop notices at its next poll. Others wake it only as it
    wished, so that a wish that is wrong shows. `polls`: whether it also looks when nothing it watches has changed, ever
    less often: for what comes due without its being told. `quiet`: what it writes is work for nobody.
    """

    name: str
    step: Callable[[], Wake]
    watches: Collection[SimulatedDatabase] = ()
    polls: bool = False
    first_poll: int = 35 * SECOND
    notified: bool = True
    quiet: bool = False


@dataclass
class Composition:
    """What a service's process consists of."""

    registrations: list[Registration] = field(default_factory=list)
    loops: list[LoopSpec] = field(default_factory=list)


class Machine(Owner):
    """A process under a name, dead or alive. `compose` puts it together anew at each start."""

    def __init__(
        self,
        name: str,
        kernel: Kernel,
        draw: random.Random,
        compose: Callable[["Machine"], Composition],
        report: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self.name = name
        self.draw = draw
        self.kernel = kernel
        self.product = SimulatedClock(kernel)
        self.operating = SimulatedClock(kernel)
        self.alive = False
        self.unreachable_until = 0
        self.handlers: Mapping[str, Any] = {}
        self.loops: list[Loop] = []
        self.on_death: list[Callable[[], None]] = []
        self.report = report
        self._compose = compose

    @property
    def clocks(self) -> Clocks:
        return Clocks(self.product, self.operating)

    def start(self) -> None:
        composition = self._compose(self)
        self.handlers = _handlers(composition.registrations)
        self.alive = True
        self.loops = [Loop(self, spec) for spec in composition.loops]

    def die(self) -> None:
        """Everything in memory is lost. A task of this machine that calls this has to raise Crash."""
        self.alive = False
        self.kernel.kill(self)
        for loop in self.loops:
            loop.forget()
        self.loops = []
        told, self.on_death = self.on_death, []
        for tell in told:
            tell()

    def notify(self) -> None:
        """What a step says when others may go on with what it wrote."""
        for loop in self.loops:
            if loop.spec.notified:
                loop.wake()

    def wake_all(self) -> None:
        for loop in self.loops:
            loop.wake()


class Loop:
    """Runs a step as `servicekit.loop` does, on simulated time."""

    def __init__(self, machine: Machine, spec: LoopSpec) -> None:
        self.spec = spec
        self._machine = machine
        self._kernel = machine.kernel
        self._woken = False
        self._waiting = False
        self._poll = spec.first_poll
        self._look_at: int | None = None
        for database in spec.watches:
            database.watchers.append(self.look_soon)
        self._task: Task = self._kernel.spawn(machine, spec.name, self._run)
        self._task.quiet = spec.quiet

    def wake(self) -> None:
        self._woken = True
        self._end_wait()

    def _end_wait(self) -> None:
        """A step in progress is left alone: it may be waiting for an answer. Others take a moment to begin."""
        if self._waiting:
            self._kernel.wake(self._task, self._machine.draw.randint(*_ROUSED))

    def look_soon(self) -> None:
        """Another process has changed what the loop watches: its next poll will find that."""
        task = self._kernel.current
        if task is not None and (task.quiet or task.owner is self._machine):
            return
        self._poll = self.spec.first_poll
        if self._look_at is None:
            self._look_at = self._kernel.now + self._machine.draw.choice(_LOOKS)
            self._kernel.at(self._look_at, self._look)

    def _look(self) -> None:
        self._look_at = None
        self.wake()

    def forget(self) -> None:
        self._waiting = False
        for database in self.spec.watches:
            database.watchers.remove(self.look_soon)

    def _run(self) -> None:
        failures = 0
        while True:
            self._woken = False
            self._task.passed.clear()
            try:
                wish = self.spec.step()
                failures = 0
            except Exception as error:  # noqa: BLE001 - as in servicekit.loop
                if not isinstance(error, ServiceError):
                    self._machine.report(f"{self._machine.name} {self.spec.name}", f"a bug: {error!r}")
                wish = Wake()
                self._kernel.sleep(_pause(failures))
                failures += 1
                continue
            self._wait(wish)

    def _wait(self, wish: Wake) -> None:
        if wish.at_once or self._woken:
            self._kernel.sleep(MILLISECOND)
            return
        wishes = [_end(self._machine.product, wish.product), _end(self._machine.operating, wish.operating)]
        self._waiting = True
        self._kernel.wait(min((end for end in [self._poll_end(), *wishes] if end is not None), default=None))
        self._waiting = False
        if any(end is not None and end <= self._kernel.now for end in wishes):
            self._poll = self.spec.first_poll

    def _poll_end(self) -> int | None:
        if not self.spec.polls:
            return None
        end = self._kernel.now + self._poll
        self._poll = min(self._poll * _POLL_GROWTH, _LAST_POLL)
        return end


def _pause(failures: int) -> int:
    """As in servicekit.loop; after a minute of them longer, to save time."""
    return int(pause_seconds(failures) * SECOND) * (1 if failures < 10 else 10)


def _end(clock: SimulatedClock, wish: datetime | None) -> int | None:
    return None if wish is None else max(micros(wish) - clock.offset, clock.kernel.now + MILLISECOND)


def _handlers(registrations: Collection[Registration]) -> dict[str, Any]:
    """By path, such as `/autoimage.log.v1.LogService/GetLogSet`: the generated code registers them as with a server."""
    server = _Registry()
    for add, servicer, _ in registrations:
        add(servicer, server)  # type: ignore[arg-type]
    return server.handlers


class _Registry:
    """As much of a grpc.Server as generated code uses."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same handlers in another form."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.handlers |= {f"/{service}/{method}": handler for method, handler in handlers.items()}
