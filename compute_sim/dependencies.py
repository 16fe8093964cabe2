"""What the commands need from outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from compute_sim.domain.simulation import Simulation
from servicekit.clock import Clocks
from servicekit.database import Database
from servicekit.ids import Ids


@dataclass(frozen=True)
class Dependencies:
    """`simulation` is what the settings say; it holds while nobody has changed it. `sleep` takes seconds."""

    database: Database
    clocks: Clocks
    ids: Ids
    simulation: Simulation
    sleep: Callable[[float], None] = time.sleep
