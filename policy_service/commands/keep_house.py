"""What a service does by itself, in bounded pieces: each function is a step that says when it wants to run again."""

from datetime import timedelta

import structlog

from policy_service.clients import BATCH
from policy_service.commands.disable_logging import stop_logging
from policy_service.commands.dissolve_associations import dissolve_associations
from policy_service.dependencies import Dependencies
from policy_service.domain import ledger as history
from policy_service.store import associations, ledger, policies, sweep
from policy_service.store.schema import requests
from policy_service.store.sweep import Position, Sweep
from servicekit.idempotency import purge
from servicekit.loop import Wake

_LOG = structlog.get_logger("policy_service")
_PURGE_LIMIT = 500
_LEDGER_PURGE_INTERVAL = timedelta(days=1)
_TOPIC_SWEEP_INTERVAL = timedelta(seconds=30)
"""Product time. What is deleted is to show within a minute (L4)."""


def sweep_missing_instances(deps: Dependencies) -> Wake:
    """Dissolves associations of instances that compute says do not exist, 500 associations at a time (A9).

    The place is kept in the database: a restart goes on, and a replica that does the same piece does no harm.
    """
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        position = sweep.get(connection, Sweep.MISSING_INSTANCES) or Position("", now)
        if position.next_time > now:
            return Wake(product=position.next_time)
        piece = associations.after(connection, position.after, BATCH)
    missing = deps.compute.missing([association.instance for association in piece])
    gone = [association for association in piece if association.instance in missing]
    dissolve_associations(deps, {association.uid: association.policy_uid for association in gone})
    if gone:
        _LOG.info("missing_instances_swept", associations=len(gone))
    is_last = len(piece) < BATCH
    position = Position("", now + deps.sweep_interval) if is_last else Position(piece[-1].uid, now)
    with deps.database.write() as connection:
        sweep.put(connection, Sweep.MISSING_INSTANCES, position)
    return Wake(product=position.next_time)


def sweep_missing_log_topics(deps: Dependencies) -> Wake:
    """Turns logging off where the topic does not exist, 500 topics and as many policies at a time (L4)."""
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        position = sweep.get(connection, Sweep.MISSING_LOG_TOPICS) or Position("", now)
        if position.next_time > now:
            return Wake(product=position.next_time)
        piece = policies.topics_in_use(connection, position.after, BATCH)
    missing = deps.logs.missing(piece)
    with deps.database.read() as connection:
        affected = policies.logging_to(connection, missing, BATCH)
    stop_logging(deps, affected)
    if len(affected) == BATCH:
        return Wake(at_once=True)
    is_last = len(piece) < BATCH
    position = Position("", now + _TOPIC_SWEEP_INTERVAL) if is_last else Position(piece[-1], now)
    with deps.database.write() as connection:
        sweep.put(connection, Sweep.MISSING_LOG_TOPICS, position)
    return Wake(product=position.next_time)


def purge_requests(deps: Dependencies) -> Wake:
    """Forgets answers to requests of more than 24 hours ago, 500 at a time. Nobody waits for it: they count no more."""
    with deps.database.write() as connection:
        purged = purge(connection, requests, deps.clocks.product.now(), _PURGE_LIMIT)
    return Wake(at_once=purged == _PURGE_LIMIT)


def purge_ledger(deps: Dependencies) -> Wake:
    """Forgets the history of more than 400 days ago, 500 lines at a time, every day (X10).

    What a user did last is kept as long as the policy, so that its points can always be worked out.
    """
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        position = sweep.get(connection, Sweep.OLD_HISTORY) or Position("0", now)
        if position.next_time > now:
            return Wake(product=position.next_time)
        piece = ledger.after(connection, int(position.after), _PURGE_LIMIT)
        old = [number for number, time in piece if time <= now - history.KEPT]
        ledger.forget(connection, old)
        is_last = len(old) < _PURGE_LIMIT
        position = Position("0", now + _LEDGER_PURGE_INTERVAL) if is_last else Position(str(old[-1]), now)
        sweep.put(connection, Sweep.OLD_HISTORY, position)
    return Wake(product=position.next_time)
