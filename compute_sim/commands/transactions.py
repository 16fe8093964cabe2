"""The frame of every use case: settle what is due, then look or change.

Whoever writes in a place locks its quotas first, so that writers of one place take turns on every engine: what they
read is true until they commit. Readers lock nothing, unless they find a build to settle.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from compute_sim.dependencies import Dependencies
from compute_sim.domain.keys import Place
from compute_sim.domain.quotas import Quota, QuotaKey
from compute_sim.store import builds, quotas
from compute_sim.store.schema import metadata
from servicekit.database import constraint_name

T = TypeVar("T")

# Broken when an id that was drawn is taken, and when two transactions are the first to write in a place.
_BROKEN_BY_CHANCE = frozenset(
    {
        "pk_quotas",
        "pk_instances",
        "pk_images",
        "uq_instance_disks_account_region_disk_id",
        "uq_image_disks_account_region_snapshot_id",
    }
)
_ATTEMPTS = 3


@dataclass(frozen=True)
class Writing:
    """An open transaction: the quotas of its places as they are locked, and its product time, taken once they were."""

    connection: sa.Connection
    quotas: Mapping[QuotaKey, Quota]
    now: datetime


@contextmanager
def reading(deps: Dependencies, places: Collection[Place]) -> Iterator[sa.Connection]:
    """A transaction that looks at these places, with nothing due in them."""
    with deps.database.read() as connection:
        if not builds.any_due(connection, places, deps.clocks.product.now()):
            yield connection
            return
    with _writing(deps, places) as transaction:
        yield transaction.connection


def write(deps: Dependencies, places: Collection[Place], work: Callable[[Writing], T]) -> T:
    """Runs `work` in a transaction that changes these places, with nothing due in them.

    Runs it anew, with other ids drawn, if chance broke a constraint: so rare that it costs less than looking each time.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            with _writing(deps, places) as transaction:
                return work(transaction)
        except IntegrityError as error:
            if constraint_name(error, metadata) not in _BROKEN_BY_CHANCE:
                raise
    with _writing(deps, places) as transaction:
        return work(transaction)


@contextmanager
def _writing(deps: Dependencies, places: Collection[Place]) -> Iterator[Writing]:
    with deps.database.write() as connection:
        locked = quotas.lock(connection, places)
        now = deps.clocks.product.now()
        if builds.settle(connection, places, now):
            locked = quotas.lock(connection, places)
        yield Writing(connection, locked, now)
