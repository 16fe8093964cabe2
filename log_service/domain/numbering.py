"""Says which entries are written, and gives them their places in their topics (rule L3)."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from log_service.domain.errors import LogTopicNotFound, PastRetention
from log_service.domain.logs import NewEntry, NumberedEntry, TopicState
from log_service.domain.names import LogTopicName


def refusal(
    entry: NewEntry,
    topics: Mapping[LogTopicName, TopicState],
    known: Collection[tuple[int, str]],
    now: datetime,
) -> LogTopicNotFound | PastRetention | None:
    """Why the entry is not written; None when it is to be, or was before (then it is known, see `number_entries`)."""
    topic = topics.get(entry.topic)
    if topic is None:
        return LogTopicNotFound(entry.topic)
    kept_since = topic.retention.kept_since(now)
    if entry.event_time < kept_since and (topic.key, entry.insert_id) not in known:
        return PastRetention(entry.topic, kept_since)
    return None


def number_entries(
    entries: Iterable[NewEntry], topics: Mapping[LogTopicName, TopicState], known: Collection[tuple[int, str]]
) -> list[NumberedEntry]:
    """Those of the entries that are not known (by topic key and insert id) and no repetition, each with its place.

    Each follows the last one of its topic, which exists, in the order given, without gaps.
    """
    last = {topic.key: topic.last_sequence for topic in topics.values()}
    taken = set(known)
    numbered = []
    for entry in entries:
        key = topics[entry.topic].key
        if (key, entry.insert_id) in taken:
            continue
        taken.add((key, entry.insert_id))
        last[key] += 1
        numbered.append(NumberedEntry(key, last[key], entry))
    return numbered
