"""Change how compute behaves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from compute_sim.dependencies import Dependencies
from compute_sim.domain.simulation import Simulation
from compute_sim.store import simulations


def update_simulation(deps: Dependencies, changes: Mapping[str, Any], etag: str) -> Simulation:
    """Changes these fields. With an etag, only if it is still the simulation's; what changes nothing leaves it."""
    with deps.database.write() as connection:
        simulation = simulations.lock(connection, deps.simulation)
        simulation.check_etag(etag)
        changed = replace(simulation, **changes)
        if changed == simulation:
            return simulation
        changed = replace(changed, revision=simulation.revision + 1)
        simulations.put(connection, changed)
    return changed


def reset_simulation(deps: Dependencies, etag: str) -> Simulation:
    """As the settings say. The etag changes in any case, and how often a call came is counted anew."""
    with deps.database.write() as connection:
        simulation = simulations.lock(connection, deps.simulation)
        simulation.check_etag(etag)
        simulations.reset(connection, simulation.revision + 1)
        return simulations.get(connection, deps.simulation)
