"""Follows a topic as entries are written to it (rule L3)."""

from log_service.dependencies import Dependencies
from log_service.domain.errors import LogTopicNotFound
from log_service.domain.logs import EntryFilter, Position, StoredEntry, TopicState
from log_service.domain.names import LogTopicName
from log_service.store import log_entries, log_topics

LIMIT = 100
WINDOW = 2000
"""How many sequences one read looks through at most: all tails are read by one thread."""


def begin_tail(deps: Dependencies, topic: LogTopicName, after: Position | None) -> Position:
    """Where a tail begins: where it ended, or after what is written now. Raises LogTopicNotFound."""
    with deps.database.read() as connection:
        state = log_topics.find(connection, topic)
    if after is None:
        return Position(state.key, state.last_sequence)
    _check_same(topic, state, after)
    return after


def read_tail(
    deps: Dependencies, topic: LogTopicName, chosen: EntryFilter, after: Position
) -> tuple[list[StoredEntry], Position]:
    """The next entries that are kept and chosen, at most 100, and the position after those that were looked through.

    The topic's last sequence is read before its entries are: a sequence is assigned in the transaction that writes the
    entry, with the topic's row locked, so every entry up to it is there to be seen. Raises LogTopicNotFound.
    """
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        state = log_topics.find(connection, topic)
        _check_same(topic, state, after)
        until = min(state.last_sequence, after.sequence + WINDOW)
        found = log_entries.page(
            connection,
            state.key,
            kept_since=state.retention.kept_since(now),
            chosen=chosen,
            after=after.sequence,
            limit=LIMIT,
            until=until,
        )
    return found, Position(state.key, found[-1].sequence if len(found) == LIMIT else max(until, after.sequence))


def _check_same(topic: LogTopicName, state: TopicState, after: Position) -> None:
    """A topic that was deleted and created again is another one, whose sequences begin anew."""
    if state.key != after.topic_key:
        raise LogTopicNotFound(topic)
