"""Step 5 of the main job: deliver log entries; they wait in the outbox until the log service has accepted them (L3)."""

from collections.abc import Collection

import structlog

from scheduler_service.dependencies import Dependencies
from scheduler_service.peers.logs import Delivery
from scheduler_service.steps.claims import BATCH
from scheduler_service.store import outbox
from scheduler_service.store.outbox import Waiting
from servicekit.errors import ServiceError
from servicekit.loop import Wake
from servicekit.retries import retried

_LOG = structlog.get_logger(__name__)

_LOST = {
    Delivery.TOPIC_GONE: "gone",
    Delivery.PAST_RETENTION: "past_retention",
    Delivery.REFUSED: "refused",
}
"""What becomes of an entry that nobody will take, and its word in the log."""


def deliver(deps: Dependencies) -> Wake:
    """Delivers the oldest 500 entries. Raises Unavailable when the log service does not answer: the loop comes back."""
    with deps.database.read() as connection:
        waiting = outbox.oldest(connection, BATCH)
    if not waiting:
        return Wake()
    results = deps.logs.write([item.entry for item in waiting])
    by_result: dict[Delivery, list[Waiting]] = {result: [] for result in Delivery}
    for item, result in zip(waiting, results, strict=True):
        by_result[result].append(item)
    lost = [item.id for result in _LOST for item in by_result[result]]
    retried(lambda: _forget(deps, [item.id for item in by_result[Delivery.ACCEPTED]], lost))
    if lost:
        _LOG.warning("log_entries_dropped", **{word: len(by_result[result]) for result, word in _LOST.items()})
    if by_result[Delivery.TOPIC_GONE]:
        _report_gone(deps, {(item.entry.policy, item.entry.log_topic) for item in by_result[Delivery.TOPIC_GONE]})
    return Wake(at_once=not by_result[Delivery.FAILED])


def _forget(deps: Dependencies, accepted: Collection[int], lost: Collection[int]) -> None:
    with deps.database.write() as connection:
        outbox.remove(connection, accepted)
        outbox.count_dropped(connection, outbox.remove(connection, lost))


def _report_gone(deps: Dependencies, topics: Collection[tuple[str, str]]) -> None:
    """Has the logging of policies disabled whose topics are gone (L4); if that fails, a sweep will do it."""
    try:
        deps.policies.disable_logging(sorted(topics))
    except ServiceError as error:
        _LOG.warning("missing_log_topics_not_reported", log_topics=len(topics), message=error.message)
