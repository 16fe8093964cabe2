"""What the service can be told, by environment variables COMPUTE_SIM_…"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from compute_sim.domain.simulation import Simulation
from servicekit.config import ServerSettings, database_setting, integer, listen_setting, setting


def number(low: int, high: int) -> Callable[[str], float]:
    """A decimal number, both ends allowed."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) or not low <= float(text) <= high:
            raise ValueError(f"must be a number from {low} to {high}")
        return float(text)

    return parse


@dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings):
    listen: str = listen_setting(50053)
    database_url: str = database_setting("compute_sim")
    build_seconds: float = setting(2.0, "how long every build takes, in product time", number(0, 86_400))
    build_seconds_per_gib: float = setting(0.1, "how much longer for each GiB of its disks", number(0, 3600))
    failure_probability: float = setting(0.0, "the probability that a snapshot fails", number(0, 1))
    seed: int = setting(0, "chooses which snapshots fail", integer(0, 2**63 - 1))

    @property
    def simulation(self) -> Simulation:
        return Simulation(
            build_duration=timedelta(seconds=self.build_seconds),
            build_duration_per_gib=timedelta(seconds=self.build_seconds_per_gib),
            snapshot_failure_probability=self.failure_probability,
            seed=self.seed,
        )
