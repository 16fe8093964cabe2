"""After a long outage triggers wait: they are taken up in flat memory, and new ones have their turn."""

import gc
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from policy_service.store import schema
from scheduler_service.peers import policies
from servicekit.timestamps import to_micros
from tests.simulation.kernel import HOUR, SECOND
from tests.simulation.machines import START
from tests.simulation.simulate import surroundings
from tests.simulation.world import POLICY, SCHEDULER, SCHEDULERS, World
from tests.support.backlog import BACKLOG, backlog, trigger

BATCH = min(1_000, BACKLOG // 20)
"""Triggers that are leased at once."""
POLLS = BACKLOG // BATCH
GROWTH = 50_000 + BATCH * 40
"""Blocks of memory, for caches, and for what schedulers have in hand. A trigger that is kept would have twenty."""


def insert(world: World, triggers: list[dict[str, Any]]) -> None:
    with world.databases[POLICY].write() as connection:
        connection.execute(sa.insert(schema.triggers), triggers)


def count(world: World, service: str, query: str) -> int:
    with world.databases[service].read() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def has_execution(world: World, scheduled: datetime) -> bool:
    query = f"SELECT count(*) FROM executions WHERE scheduled_time = {to_micros(scheduled)}"
    return bool(count(world, SCHEDULER, query))


def held() -> int:
    """Blocks of memory that are in use. What the process occupies says less: it also has what its allocator keeps."""
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.rule("D3", "D4")
@pytest.mark.timeout(7200)  # a loaded machine is no failure
def test_a_backlog_drains_in_flat_memory_without_starving_what_is_new() -> None:
    """It takes one poll for each batch; a run that is asked for after the first has its execution with the next."""
    with surroundings() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "LEASE_INSTANCES", BATCH)
        with closing(World(0, path)) as world:
            insert(world, backlog(BACKLOG, START))
            world.start()
            looks = [(held(), has_execution(world, START)) for _ in _drain(world, trigger(BACKLOG, START))]
            ended = count(world, SCHEDULER, "SELECT count(*) FROM executions WHERE end_time IS NOT NULL")
            polls = world.coverage.places["take_up: COMMIT"]
    assert ended == BACKLOG + 1
    assert polls <= POLLS + 2
    memory, of_the_new = zip(*looks, strict=True)
    assert max(memory) - memory[0] < GROWTH
    assert of_the_new.index(True) <= SCHEDULERS, "of the polls that were under way when it came, and one more"


def _drain(world: World, new: dict[str, Any]) -> Iterator[None]:
    """Until all have ended, pausing after each poll; `new` comes after the first."""
    polls = 0
    while True:
        world.kernel.run(world.kernel.now + SECOND // 20)
        if world.coverage.places["take_up: COMMIT"] > polls:
            if not polls:
                insert(world, [new])
            polls = world.coverage.places["take_up: COMMIT"]
            yield
        open_tasks = count(world, SCHEDULER, "SELECT count(*) FROM image_tasks WHERE phase <> 'DONE'")
        if polls and not open_tasks and not count(world, POLICY, "SELECT count(*) FROM triggers"):
            return
        assert world.kernel.now < HOUR, "not drained"
