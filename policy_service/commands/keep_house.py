"""What a service does by itself, in bounded pieces: each function is a step that says when it wants to run again."""

import structlog

from policy_service.clients import BATCH
from policy_service.commands.dissolve_associations import dissolve_associations
from policy_service.dependencies import Dependencies
from policy_service.domain import ledger as history
from policy_service.store import associations, ledger, sweep
from policy_service.store.schema import requests
from policy_service.store.sweep import Position
from servicekit.idempotency import purge
from servicekit.loop import Wake

_LOG = structlog.get_logger("policy_service")
_PURGE_LIMIT = 500


def sweep_missing_instances(deps: Dependencies) -> Wake:
    """Dissolves associations of instances that compute says do not exist, 500 associations at a time (A9).

    The place is kept in the database: a restart goes on, and a replica that does the same piece does no harm.
    """
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        position = sweep.get(connection) or Position("", now)
        if position.next_time > now:
            return Wake(product=position.next_time)
        piece = associations.after(connection, position.after_uid, BATCH)
    missing = deps.compute.missing([association.instance for association in piece])
    gone = [association for association in piece if association.instance in missing]
    dissolve_associations(deps, {association.uid: association.policy_uid for association in gone})
    if gone:
        _LOG.info("missing_instances_swept", associations=len(gone))
    is_last = len(piece) < BATCH
    position = Position("", now + deps.sweep_interval) if is_last else Position(piece[-1].uid, now)
    with deps.database.write() as connection:
        sweep.put(connection, position)
    return Wake(product=position.next_time)


def purge_requests(deps: Dependencies) -> Wake:
    """Forgets answers to requests of more than 24 hours ago, 500 at a time. Nobody waits for it: they count no more."""
    with deps.database.write() as connection:
        purged = purge(connection, requests, deps.clocks.product.now(), _PURGE_LIMIT)
    return Wake(at_once=purged == _PURGE_LIMIT)


def purge_ledger(deps: Dependencies) -> Wake:
    """Forgets the history of more than 400 days ago, 500 lines at a time (X10)."""
    with deps.database.write() as connection:
        purged = ledger.purge(connection, deps.clocks.product.now() - history.KEPT, _PURGE_LIMIT)
    return Wake(at_once=purged == _PURGE_LIMIT)
