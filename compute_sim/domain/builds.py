"""How a build goes: decided once, when it is accepted."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from compute_sim.domain.instances import Disk


@dataclass(frozen=True, slots=True)
class Course:
    """When a build ends, and whether in an error."""

    finish_time: datetime
    fails: bool


@dataclass(frozen=True, slots=True)
class Simulation:
    """A build takes `base`, and `per_gib` for each GiB of its disks; each snapshot fails with `failure_probability`."""

    base: timedelta
    per_gib: timedelta
    failure_probability: float
    seed: int

    def course(self, start: datetime, disks: Iterable[Disk], token: str) -> Course:
        """The course of a build that starts at `start`. The same seed and token always give the same outcome."""
        sizes = [disk.size_gib for disk in disks]
        finish = start + self.base + self.per_gib * sum(sizes)
        return Course(finish, self.failure_probability > 0 and self._any_fails(len(sizes), token))

    def _any_fails(self, snapshots: int, token: str) -> bool:
        draw = random.Random(f"{self.seed}/{token}")
        return any(draw.random() < self.failure_probability for _ in range(snapshots))
