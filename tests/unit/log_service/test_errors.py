"""What each refusal of the log service tells a program."""

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
from log_service.domain.names import LogSetName, LogTopicName
from servicekit.errors import Code, ServiceError
from tests.support import START
from tests.support.told import told

SET = LogSetName("acme", "cn-north-1", "backups")
TOPIC = LogTopicName(*SET, "executions")
PLACE_TEXT = "accounts/acme/regions/cn-north-1"
SET_TEXT = f"{PLACE_TEXT}/logSets/backups"
TOPIC_TEXT = f"{SET_TEXT}/logTopics/executions"


@pytest.mark.parametrize(
    ("error", "code", "reason", "type", "name"),
    [
        (LogSetNotFound(SET), Code.NOT_FOUND, "RESOURCE_NOT_FOUND", "log set", SET_TEXT),
        (LogTopicNotFound(TOPIC), Code.NOT_FOUND, "RESOURCE_NOT_FOUND", "log topic", TOPIC_TEXT),
        (LogSetExists(SET), Code.ALREADY_EXISTS, "RESOURCE_EXISTS", "log set", SET_TEXT),
        (LogTopicExists(TOPIC), Code.ALREADY_EXISTS, "RESOURCE_EXISTS", "log topic", TOPIC_TEXT),
    ],
)
def test_what_is_or_is_not_there(error: ServiceError, code: Code, reason: str, type: str, name: str) -> None:
    assert told(error) == (code, reason, {"name": name}, ((type, name),))


@pytest.mark.parametrize(
    ("error", "type", "parent"),
    [
        (DisplayNameTaken("log set", SET.place, "Same"), "log set", PLACE_TEXT),
        (DisplayNameTaken("log topic", SET, "Same"), "log topic", SET_TEXT),
    ],
)
def test_a_display_name_that_is_taken(error: ServiceError, type: str, parent: str) -> None:
    assert told(error) == (
        Code.ALREADY_EXISTS,
        "RESOURCE_EXISTS",
        {"parent": parent, "display_name": "Same"},
        ((type, f"{parent} with display_name Same"),),
    )


@pytest.mark.parametrize(
    ("error", "reason", "subject"),
    [(LogSetLimit(SET.place), "LOG_SET_LIMIT", PLACE_TEXT), (LogTopicLimit(SET), "LOG_TOPIC_LIMIT", SET_TEXT)],
)
def test_a_limit_that_is_reached(error: ServiceError, reason: str, subject: str) -> None:
    assert told(error) == (Code.RESOURCE_EXHAUSTED, reason, {"limit": "20"}, (subject,))


def test_a_log_set_with_topics() -> None:
    about = (("LOG_SET_NOT_EMPTY", SET_TEXT),)
    assert told(LogSetNotEmpty(SET)) == (Code.FAILED_PRECONDITION, "LOG_SET_NOT_EMPTY", {}, about)


def test_an_entry_past_its_retention() -> None:
    metadata, about = {"kept_since": "2026-03-02T08:00:00+00:00"}, (("PAST_RETENTION", TOPIC_TEXT),)
    assert told(PastRetention(TOPIC, START)) == (Code.FAILED_PRECONDITION, "PAST_RETENTION", metadata, about)
