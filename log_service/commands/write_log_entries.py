"""Writes log entries, each exactly once (rule L3)."""

from collections.abc import Sequence

from log_service.dependencies import Dependencies
from log_service.domain.errors import LogTopicNotFound, PastRetention
from log_service.domain.logs import NewEntry
from log_service.domain.numbering import number_entries, refusal
from log_service.store import log_entries, log_topics


def write_log_entries(deps: Dependencies, entries: Sequence[NewEntry]) -> list[LogTopicNotFound | PastRetention | None]:
    """Writes what is not written yet of at most 500 entries; for each, in order, why it is not written, if so.

    Topics are locked first, so that two writers neither take the same sequence nor both miss each other's entry; a
    sequence comes from its topic's row in the transaction that writes the entry: no later one is seen before it.
    """
    names = {entry.topic for entry in entries}
    if not names:
        return []
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        topics = log_topics.locked(connection, names)
        keys = {topic.key for topic in topics.values()}
        known = log_entries.existing(connection, keys, {entry.insert_id for entry in entries})
        refusals = [refusal(entry, topics, known, now) for entry in entries]
        accepted = [entry for entry, refused in zip(entries, refusals, strict=True) if refused is None]
        numbered = number_entries(accepted, topics, known)
        if numbered:
            log_entries.insert(connection, numbered, now)
            log_topics.set_last_sequences(connection, {each.topic_key: each.sequence for each in numbered})
    deps.news.tell({each.entry.topic for each in numbered})
    return refusals
