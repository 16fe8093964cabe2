"""Part of step 6 of the main job: forgets what is over and done with, in pieces of bounded size (X10)."""

from datetime import datetime, timedelta

from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import KEPT
from scheduler_service.domain.replicas import REMEMBERED
from scheduler_service.store import executions, replicas
from servicekit.loop import Wake
from servicekit.retries import retried

PIECE = 50
"""Executions that are forgotten in one transaction, with up to 100 tasks each."""
_AGAIN = timedelta(hours=1)
"""In operating time, since nobody waits for it."""


def keep_house(deps: Dependencies) -> Wake:
    """Forgets executions that ended more than 400 days ago, and replicas that are gone."""
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    forgotten = retried(lambda: _forget(deps, product, operating))
    return Wake(operating=operating + _AGAIN, at_once=forgotten == PIECE)


def _forget(deps: Dependencies, product: datetime, operating: datetime) -> int:
    """How many executions."""
    with deps.database.write() as connection:
        old = executions.ended_before(connection, product - KEPT, PIECE)
        executions.delete(connection, old)
        replicas.forget(connection, operating - REMEMBERED)
    return len(old)
