"""What the commands need from outside."""

from dataclasses import dataclass

from compute_sim.domain.builds import Simulation
from servicekit.clock import Clocks
from servicekit.database import Database
from servicekit.ids import Ids


@dataclass(frozen=True)
class Dependencies:
    database: Database
    clocks: Clocks
    ids: Ids
    simulation: Simulation
