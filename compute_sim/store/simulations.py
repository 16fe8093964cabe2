"""The simulation, as it was changed by its service: one row, made at the first change."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from compute_sim.domain.simulation import CallConduct, Simulation
from compute_sim.store.schema import simulations
from servicekit.sql import insert_missing

_ID = 1
_MICROSECOND = timedelta(microseconds=1)
_SELECT = sa.select(simulations.c.revision, simulations.c.content).where(simulations.c.id == _ID)


def get(connection: sa.Connection, default: Simulation) -> Simulation:
    """As it was changed, or the default: always with the revision that tells how often it was changed."""
    return _simulation(connection.execute(_SELECT).one_or_none(), default)


def lock(connection: sa.Connection, default: Simulation) -> Simulation:
    """The same, locked until the transaction ends."""
    insert_missing(connection, simulations, [{"id": _ID, "revision": 0, "content": None}])
    return _simulation(connection.execute(_SELECT.with_for_update()).one(), default)


def put(connection: sa.Connection, simulation: Simulation) -> None:
    """Stores a simulation that is locked."""
    _update(connection, simulation.revision, _content(simulation))


def reset(connection: sa.Connection, revision: int) -> None:
    """From this revision on the default holds again."""
    _update(connection, revision, None)


def _update(connection: sa.Connection, revision: int, content: dict[str, Any] | None) -> None:
    values = {"revision": revision, "content": content}
    connection.execute(sa.update(simulations).where(simulations.c.id == _ID).values(values))


def _simulation(row: Any, default: Simulation) -> Simulation:
    if row is None:
        return default
    return replace(default if row.content is None else _read(row.content), revision=row.revision)


def _content(simulation: Simulation) -> dict[str, Any]:
    return {
        "build_micros": simulation.build_duration // _MICROSECOND,
        "build_micros_per_gib": simulation.build_duration_per_gib // _MICROSECOND,
        "snapshot_failure_probability": simulation.snapshot_failure_probability,
        "seed": simulation.seed,
        "slow_build_probability": simulation.slow_build_probability,
        "stalled_build_probability": simulation.stalled_build_probability,
        "busy_instance_probability": simulation.busy_instance_probability,
        "calls": [_call_content(conduct) for conduct in simulation.calls],
    }


def _call_content(conduct: CallConduct) -> dict[str, Any]:
    return {
        "method": conduct.method,
        "latency_micros": conduct.latency // _MICROSECOND,
        "refusal_probability": conduct.refusal_probability,
        "throttling_probability": conduct.throttling_probability,
        "answer_loss_probability": conduct.answer_loss_probability,
    }


def _read(content: Any) -> Simulation:
    return Simulation(
        build_duration=content["build_micros"] * _MICROSECOND,
        build_duration_per_gib=content["build_micros_per_gib"] * _MICROSECOND,
        snapshot_failure_probability=content["snapshot_failure_probability"],
        seed=content["seed"],
        slow_build_probability=content["slow_build_probability"],
        stalled_build_probability=content["stalled_build_probability"],
        busy_instance_probability=content["busy_instance_probability"],
        calls=tuple(_read_call(call) for call in content["calls"]),
    )


def _read_call(content: Any) -> CallConduct:
    return CallConduct(
        method=content["method"],
        latency=content["latency_micros"] * _MICROSECOND,
        refusal_probability=content["refusal_probability"],
        throttling_probability=content["throttling_probability"],
        answer_loss_probability=content["answer_loss_probability"],
    )
