"""What each refusal of the log service tells a program."""

from collections.abc import Callable

import pytest

from log_service.domain.errors import (
    DisplayNameTaken,
    LogSetExists,
    LogSetLimit,
    LogSetNotEmpty,
    LogSetNotFound,
    LogTopicExists,
    LogTopicLimit,
    LogTopicNotFound,
    PastRetention,
)
from log_service.domain.names import LogSetName, LogTopicName, Place
from servicekit.errors import Code, ServiceError
from tests.support import START
from tests.support.told import told

SET = LogSetName("acme", "cn-north-1", "backups")
TOPIC = LogTopicName(*SET, "executions")
PLACE_TEXT = "accounts/acme/regions/cn-north-1"
SET_TEXT = f"{PLACE_TEXT}/logSets/backups"
TOPIC_TEXT = f"{SET_TEXT}/logTopics/executions"


@pytest.mark.parametrize(
    ("kind", "about", "type", "name"),
    [(LogSetNotFound, SET, "log set", SET_TEXT), (LogTopicNotFound, TOPIC, "log topic", TOPIC_TEXT)],
)
def test_what_is_not_there(kind: Callable[..., ServiceError], about: object, type: str, name: str) -> None:
    assert told(kind(about)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": name}, ((type, name),))


@pytest.mark.parametrize(
    ("kind", "about", "type", "name"),
    [(LogSetExists, SET, "log set", SET_TEXT), (LogTopicExists, TOPIC, "log topic", TOPIC_TEXT)],
)
def test_what_is_there_already(kind: Callable[..., ServiceError], about: object, type: str, name: str) -> None:
    assert told(kind(about)) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS", {"name": name}, ((type, name),))


@pytest.mark.parametrize(("type", "parent", "text"), [("log set", SET.place, PLACE_TEXT), ("log topic", SET, SET_TEXT)])
def test_a_display_name_that_is_taken(type: str, parent: Place | LogSetName, text: str) -> None:
    assert told(DisplayNameTaken(type, parent, "Same")) == (
        Code.ALREADY_EXISTS,
        "RESOURCE_EXISTS",
        {"parent": text, "display_name": "Same"},
        ((type, f"{text} with display_name Same"),),
    )


@pytest.mark.parametrize(
    ("kind", "full", "reason", "subject"),
    [(LogSetLimit, SET.place, "LOG_SET_LIMIT", PLACE_TEXT), (LogTopicLimit, SET, "LOG_TOPIC_LIMIT", SET_TEXT)],
)
def test_a_limit_that_is_reached(kind: Callable[..., ServiceError], full: object, reason: str, subject: str) -> None:
    assert told(kind(full)) == (Code.RESOURCE_EXHAUSTED, reason, {"limit": "20"}, (subject,))


def test_a_log_set_with_topics() -> None:
    about = (("LOG_SET_NOT_EMPTY", SET_TEXT),)
    assert told(LogSetNotEmpty(SET)) == (Code.FAILED_PRECONDITION, "LOG_SET_NOT_EMPTY", {}, about)


def test_an_entry_past_its_retention() -> None:
    metadata, about = {"kept_since": "2026-03-02T08:00:00+00:00"}, (("PAST_RETENTION", TOPIC_TEXT),)
    assert told(PastRetention(TOPIC, START)) == (Code.FAILED_PRECONDITION, "PAST_RETENTION", metadata, about)
