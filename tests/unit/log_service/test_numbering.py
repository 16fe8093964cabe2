"""Entries get their places in their topics, or are refused."""

from datetime import datetime, timedelta

import pytest

from log_service.domain.errors import LogTopicNotFound, PastRetention
from log_service.domain.logs import NewEntry, NumberedEntry, Retention, TopicState
from log_service.domain.names import LogTopicName
from log_service.domain.numbering import number_entries, refusal
from servicekit.errors import Code
from tests.support import START

ONE = LogTopicName("acme", "cn-north-1", "backups", "one")
TWO = ONE._replace(log_topic="two")
GONE = ONE._replace(log_topic="gone")
TOPICS = {ONE: TopicState(1, 7, Retention(7)), TWO: TopicState(2, 0, Retention(7, gone_before=START))}
WEEK = timedelta(days=7)
MICROSECOND = timedelta(microseconds=1)


def new(insert_id: str, topic: LogTopicName = ONE, event_time: datetime = START) -> NewEntry:
    return NewEntry(topic, insert_id, event_time, 1, "", "", "", "", b"")


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


def test_an_entry_of_a_topic_that_does_not_exist_is_refused() -> None:
    refused = refusal(new("a", GONE), TOPICS, {(1, "a")}, START)
    assert isinstance(refused, LogTopicNotFound)
    assert (refused.code, refused.metadata) == (Code.NOT_FOUND, {"name": str(GONE)})


@pytest.mark.parametrize(
    ("topic", "kept_since", "now"),
    [(ONE, START - WEEK, START), (TWO, START, START), (TWO, START + MICROSECOND, START + WEEK + MICROSECOND)],
)
def test_an_entry_that_its_topic_would_not_keep_is_refused(
    topic: LogTopicName, kept_since: datetime, now: datetime
) -> None:
    assert refusal(new("a", topic, kept_since), TOPICS, set(), now) is None
    refused = refusal(new("a", topic, kept_since - MICROSECOND), TOPICS, {(0, "a"), (1, "b"), (2, "b")}, now)
    assert isinstance(refused, PastRetention)
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "PAST_RETENTION")
    assert refused.metadata == {"kept_since": kept_since.isoformat()}
    assert refused.precondition is not None
    assert (refused.precondition.type, refused.precondition.subject) == ("PAST_RETENTION", str(topic))


def test_an_entry_that_was_written_in_time_counts_as_written_for_ever() -> None:
    assert refusal(new("a"), TOPICS, {(1, "a")}, START + 2 * WEEK) is None
