"""Entries get their places in their topics."""

from log_service.domain.logs import NewEntry, NumberedEntry, Retention, TopicState
from log_service.domain.names import LogTopicName
from log_service.domain.numbering import number_entries
from tests.support import START

ONE = LogTopicName("acme", "cn-north-1", "backups", "one")
TWO = ONE._replace(log_topic="two")
GONE = ONE._replace(log_topic="gone")
TOPICS = {ONE: TopicState(1, 7, Retention(7)), TWO: TopicState(2, 0, Retention(7))}


def new(insert_id: str, topic: LogTopicName = ONE) -> NewEntry:
    return NewEntry(topic, insert_id, START, 1, "", "", "", "", b"")


def test_entries_follow_the_last_one_of_their_topic_in_the_order_given() -> None:
    a, b, c = new("a"), new("b", TWO), new("c")
    assert number_entries([a, b, c], TOPICS, set()) == [
        NumberedEntry(1, 8, a),
        NumberedEntry(2, 1, b),
        NumberedEntry(1, 9, c),
    ]


def test_known_and_repeated_entries_are_left_out_without_a_gap() -> None:
    known, first, again, last = new("known"), new("a"), new("a"), new("z")
    assert number_entries([known, first, again, last], TOPICS, {(1, "known"), (2, "a")}) == [
        NumberedEntry(1, 8, first),
        NumberedEntry(1, 9, last),
    ]


def test_entries_of_a_topic_that_does_not_exist_are_left_out() -> None:
    assert number_entries([new("a", GONE)], TOPICS, set()) == []
