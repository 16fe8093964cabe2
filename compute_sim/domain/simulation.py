"""How compute behaves: when builds end and how, and what befalls calls.

Each outcome is drawn from the seed and from what it happens to, never from a shared sequence: neither the order of
requests nor how many come at once changes what becomes of one.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from compute_sim.domain.instances import Disk
from compute_sim.domain.keys import Key
from servicekit.errors import StaleEtag

SIMULATION = "simulation"
"""The name of the only one there is."""

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a stalled build ends."""

_SLOW_FACTOR = 10
_TRANSITION_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Course:
    """When a build ends, and whether in an error."""

    finish_time: datetime
    fails: bool


class CallFault(StrEnum):
    """What can befall a call: nothing is done, nothing is done for now, or all is done and the answer lost."""

    REFUSED = "REFUSED"
    THROTTLED = "THROTTLED"
    ANSWER_LOST = "ANSWER_LOST"


@dataclass(frozen=True, slots=True)
class CallConduct:
    """What befalls calls of `method`, `Service/Method`, of `Service/*`, or of `*`."""

    method: str
    latency: timedelta = timedelta(0)
    refusal_probability: float = 0.0
    throttling_probability: float = 0.0
    answer_loss_probability: float = 0.0

    def fits(self, method: str) -> bool:
        return self.method in (method, f"{method.partition('/')[0]}/*", "*")


@dataclass(frozen=True, slots=True)
class Simulation:
    """What each field means stands in the contract, under the same name. The revision tells one state from the next."""

    build_duration: timedelta
    build_duration_per_gib: timedelta
    snapshot_failure_probability: float
    seed: int
    slow_build_probability: float = 0.0
    stalled_build_probability: float = 0.0
    busy_instance_probability: float = 0.0
    calls: tuple[CallConduct, ...] = ()
    revision: int = 0

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'

    def check_etag(self, etag: str) -> None:
        if etag and etag != self.etag:
            raise StaleEtag("simulation", SIMULATION)

    def course(self, start: datetime, disks: Iterable[Disk], token: str) -> Course:
        """The course of a build that starts at `start`. The same seed and token always give the same outcome."""
        sizes = [disk.size_gib for disk in disks]
        return Course(self._finish_time(start, sum(sizes), token), self._any_fails(len(sizes), token))

    def _finish_time(self, start: datetime, size_gib: int, token: str) -> datetime:
        if self._happens(self.stalled_build_probability, "stall", token):
            return NEVER
        duration = self.build_duration + self.build_duration_per_gib * size_gib
        return start + duration * (_SLOW_FACTOR if self._happens(self.slow_build_probability, "slow", token) else 1)

    def _any_fails(self, snapshots: int, token: str) -> bool:
        draw = random.Random(f"{self.seed}/{token}")
        return any(draw.random() < self.snapshot_failure_probability for _ in range(snapshots))

    def is_in_transition(self, instance: Key, now: datetime) -> bool:
        """Whether the instance is busy with something else in this minute of product time."""
        minute = int(now.timestamp()) // _TRANSITION_SECONDS
        return self._happens(self.busy_instance_probability, "busy", *instance, minute)

    def conduct_of(self, method: str) -> CallConduct | None:
        """What befalls calls of the method `Service/Method`, if anything does."""
        return next((conduct for conduct in self.calls if conduct.fits(method)), None)

    def call_fault(self, conduct: CallConduct, method: str, token: str, attempt: int) -> CallFault | None:
        """What becomes of the call that `token` tells from others, when it comes for this time."""
        chances = (
            (CallFault.REFUSED, conduct.refusal_probability),
            (CallFault.THROTTLED, conduct.throttling_probability),
            (CallFault.ANSWER_LOST, conduct.answer_loss_probability),
        )
        faults = (fault for fault, chance in chances if self._happens(chance, fault, method, token, attempt))
        return next(faults, None)

    def _happens(self, probability: float, *event: object) -> bool:
        return probability > 0 and random.Random(f"{self.seed}/{'/'.join(map(str, event))}").random() < probability
