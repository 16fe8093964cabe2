"""Gives entries their places in their topics (rule L3)."""

from collections.abc import Collection, Iterable, Mapping

from log_service.domain.logs import NewEntry, NumberedEntry, TopicState
from log_service.domain.names import LogTopicName


def number_entries(
    entries: Iterable[NewEntry], topics: Mapping[LogTopicName, TopicState], known: Collection[tuple[int, str]]
) -> list[NumberedEntry]:
    """The entries to write: those of topics that exist, but for known (by topic key and insert id) and repeated ones.

    Each follows the topic's last one in the order given, without gaps.
    """
    last = {topic.key: topic.last_sequence for topic in topics.values()}
    taken = set(known)
    numbered = []
    for entry in entries:
        topic = topics.get(entry.topic)
        if topic is None or (topic.key, entry.insert_id) in taken:
            continue
        taken.add((topic.key, entry.insert_id))
        last[topic.key] += 1
        numbered.append(NumberedEntry(topic.key, last[topic.key], entry))
    return numbered
