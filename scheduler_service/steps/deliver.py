"""Step 5 of the main job: deliver log entries; they wait in the outbox until the log service has accepted them (L3)."""

import structlog

from scheduler_service.dependencies import Dependencies
from scheduler_service.peers.logs import Delivery
from scheduler_service.steps.claims import BATCH
from scheduler_service.store import outbox
from servicekit.loop import Wake

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
    by_result: dict[Delivery, list[int]] = {}
    for item, result in zip(waiting, results, strict=True):
        by_result.setdefault(result, []).append(item.id)
    with deps.database.write() as connection:
        outbox.remove(connection, by_result.get(Delivery.ACCEPTED, []))
        lost = [id for result in _LOST for id in by_result.get(result, [])]
        outbox.count_dropped(connection, outbox.remove(connection, lost))
    if lost:
        _LOG.warning("log_entries_dropped", **{word: len(by_result.get(result, [])) for result, word in _LOST.items()})
    return Wake(at_once=len(by_result.get(Delivery.FAILED, [])) == 0)
