"""After a long outage the triggers of weeks wait: they are taken up in flat memory, and new ones have their turn."""

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from policy_service.store import schema
from scheduler_service.peers import policies
from servicekit.timestamps import to_micros
from tests.simulation.kernel import HOUR, MINUTE, SECOND
from tests.simulation.machines import START
from tests.simulation.simulate import surroundings
from tests.simulation.world import POLICY, SCHEDULER, World

PAGE_BYTES = 4096
POLLS = 20
GROWTH_BYTES = 64 * 1024 * 1024
BACKLOG = int(os.environ.get("AUTOIMAGE_BACKLOG", "5000"))
"""In thousands; `make prove` has one of 100,000."""


def trigger(number: int, scheduled: int) -> dict[str, Any]:
    """A run of a policy that is deleted by now, with one instance."""
    return {
        "uid": str(uuid.UUID(int=number + 1)),
        "kind": "SCHEDULED",
        "policy_uid": str(uuid.UUID(int=number % 500 + 10**9)),
        "dedup_key": str(number),
        "account": "acme",
        "region": "cn-north-1",
        "policy_id": f"p-{number % 500}",
        "display_name": "old",
        "devices": None,
        "log_topic": "",
        "associations": [[str(uuid.UUID(int=number + 2 * 10**9)), f"i-{number % 500}"]],
        "weight": 1,
        "scheduled_micros": scheduled,
        "run_id": "",
        "trigger_micros": to_micros(START),
        "lease_expire_micros": 0,
        "lease_count": 0,
    }


def insert(world: World, triggers: list[dict[str, Any]]) -> None:
    with world.databases[POLICY].write() as connection:
        connection.execute(sa.insert(schema.triggers), triggers)


def count(world: World, service: str, query: str) -> int:
    with world.databases[service].read() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * PAGE_BYTES


@pytest.mark.rule("D3", "D4")
@pytest.mark.timeout(7200)  # a loaded machine is no failure
def test_a_backlog_drains_in_flat_memory_without_starving_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 20 polls; a run that is asked for after the first has its execution with the last."""
    with surroundings() as path:
        monkeypatch.setattr(policies, "LEASE_INSTANCES", BACKLOG // POLLS)
        world = World(0, path)
        start = to_micros(START)
        for first in range(0, BACKLOG, 1000):
            insert(world, [trigger(n, start - (BACKLOG - n) * MINUTE) for n in range(first, first + 1000)])
        world.start()
        memory = [resident_bytes() for _ in _drain(world, trigger(BACKLOG, start))]
        ended = count(world, SCHEDULER, "SELECT count(*) FROM executions WHERE end_time IS NOT NULL")
        polls = world.coverage.places["take_up: COMMIT"]
        world.close()
    assert ended == BACKLOG + 1
    assert polls <= POLLS + 2
    assert max(memory) - memory[0] < GROWTH_BYTES


def _drain(world: World, new: dict[str, Any]) -> Iterator[None]:
    """Until all have ended, pausing after each poll; `new` comes after the first."""
    polls = 0
    while True:
        world.kernel.run(world.kernel.now + SECOND)
        if world.coverage.places["take_up: COMMIT"] > polls:
            if not polls:
                insert(world, [new])
            polls = world.coverage.places["take_up: COMMIT"]
            gc.collect()
            yield
        open_tasks = count(world, SCHEDULER, "SELECT count(*) FROM image_tasks WHERE phase <> 'DONE'")
        if polls and not open_tasks and not count(world, POLICY, "SELECT count(*) FROM triggers"):
            return
        assert world.kernel.now < HOUR, "not drained"
