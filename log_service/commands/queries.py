"""Reads log sets, topics and entries."""

from collections.abc import Collection

from log_service.dependencies import Dependencies
from log_service.domain.logs import EntryFilter, LogSet, LogTopic, StoredEntry
from log_service.domain.names import LogSetName, LogTopicName, Place
from log_service.store import log_entries, log_sets, log_topics


def get_log_set(deps: Dependencies, name: LogSetName) -> LogSet:
    """Raises LogSetNotFound."""
    with deps.database.read() as connection:
        return log_sets.get(connection, name)


def list_log_sets(deps: Dependencies, place: Place, after: str, limit: int) -> list[LogSet]:
    """The first `limit` whose id comes after this one, in the order of ids."""
    with deps.database.read() as connection:
        return log_sets.page(connection, place, after, limit)


def get_log_topic(deps: Dependencies, name: LogTopicName) -> LogTopic:
    """Raises LogTopicNotFound."""
    with deps.database.read() as connection:
        return log_topics.get(connection, name)


def get_log_topics(deps: Dependencies, names: Collection[LogTopicName]) -> dict[LogTopicName, LogTopic]:
    """Those that exist, of at most 500."""
    with deps.database.read() as connection:
        return log_topics.get_many(connection, names)


def list_log_topics(deps: Dependencies, log_set: LogSetName, after: str, limit: int) -> list[LogTopic]:
    """The first `limit` whose id comes after this one, in the order of ids. Raises LogSetNotFound."""
    with deps.database.read() as connection:
        return log_topics.page(connection, log_set, after, limit)


def list_log_entries(
    deps: Dependencies, topic: LogTopicName, chosen: EntryFilter, after: int, limit: int
) -> list[StoredEntry]:
    """The first `limit` that are kept and chosen, and whose sequence comes after this one. Raises LogTopicNotFound."""
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        state = log_topics.find(connection, topic)
        since = state.retention.kept_since(now)
        return log_entries.page(connection, state.key, kept_since=since, chosen=chosen, after=after, limit=limit)
