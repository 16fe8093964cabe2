"""UpdateLogSet and UpdateLogTopic: masks, what changes, what stays."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.log.v1.log_pb2 import LogSet, LogTopic
from autoimage.log.v1.log_service_pb2 import (
    GetLogSetRequest,
    GetLogTopicRequest,
    UpdateLogSetRequest,
    UpdateLogTopicRequest,
)
from servicekit.errors import Code, FieldViolation
from tests.support import error_of
from tests.support.log_service import LOG_SET, TOPIC, LogService


def change_set(*paths: str, **fields: Any) -> UpdateLogSetRequest:
    return UpdateLogSetRequest(log_set=LogSet(name=LOG_SET, **fields), update_mask=FieldMask(paths=paths))


def change_topic(*paths: str, **fields: Any) -> UpdateLogTopicRequest:
    return UpdateLogTopicRequest(log_topic=LogTopic(name=TOPIC, **fields), update_mask=FieldMask(paths=paths))


def get_set(logs: LogService) -> LogSet:
    return logs.stub.GetLogSet(GetLogSetRequest(name=LOG_SET))


def get_topic(logs: LogService) -> LogTopic:
    return logs.stub.GetLogTopic(GetLogTopicRequest(name=TOPIC))


@pytest.mark.parametrize(
    ("paths", "fields", "display_name", "retention_days"),
    [
        ((), {}, "backups", 15),
        ((), {"display_name": "New"}, "New", 15),
        ((), {"retention_days": 30}, "backups", 30),
        ((), {"display_name": "备份", "retention_days": 7}, "备份", 7),
        (("display_name",), {"display_name": "New", "retention_days": 30}, "New", 15),
        (("retention_days",), {"display_name": "New", "retention_days": 30}, "backups", 30),
        (("retention_days",), {}, "backups", 7),
        (("*",), {"display_name": "New", "retention_days": 30}, "New", 30),
        (("*",), {"display_name": "New"}, "New", 7),
        (("display_name", "retention_days"), {"display_name": "backups", "retention_days": 15}, "backups", 15),
    ],
)
def test_the_mask_chooses_what_changes_of_a_log_set(
    logs: LogService, paths: tuple[str, ...], fields: dict[str, Any], display_name: str, retention_days: int
) -> None:
    created = logs.create_log_set(retention_days=15)
    logs.create_topic()
    changed = logs.stub.UpdateLogSet(change_set(*paths, **fields))
    assert changed == LogSet(
        name=LOG_SET,
        display_name=display_name,
        retention_days=retention_days,
        create_time=created.create_time,
        topic_count=1,
    )
    assert get_set(logs) == changed


@pytest.mark.parametrize("paths", [(), ("display_name",), ("*",)])
def test_the_display_name_of_a_topic_can_be_changed(logs: LogService, paths: tuple[str, ...]) -> None:
    logs.create_log_set()
    created = logs.create_topic()
    changed = logs.stub.UpdateLogTopic(change_topic(*paths, display_name="New"))
    created.display_name = "New"
    assert changed == created
    assert get_topic(logs) == changed


def test_an_update_that_sets_nothing_answers_the_topic_as_it_is(logs: LogService) -> None:
    logs.create_log_set()
    created = logs.create_topic()
    assert logs.stub.UpdateLogTopic(change_topic()) == created


@pytest.mark.parametrize("path", ["name", "topic_count", "create_time", "retention", "log_set.display_name", "", "*.x"])
def test_a_mask_of_a_log_set_with_another_path_is_refused(logs: LogService, path: str) -> None:
    created = logs.create_log_set()
    error = error_of(logs.stub.UpdateLogSet, change_set("display_name", path, display_name="New"))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "UPDATE_MASK_INVALID")
    assert [violation.field for violation in error.violations] == ["update_mask"]
    assert get_set(logs) == created


@pytest.mark.parametrize("path", ["name", "source", "product", "log_type", "create_time", "retention_days"])
def test_a_mask_of_a_topic_with_another_path_is_refused(logs: LogService, path: str) -> None:
    logs.create_log_set()
    created = logs.create_topic()
    error = error_of(logs.stub.UpdateLogTopic, change_topic("display_name", path, display_name="New"))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "UPDATE_MASK_INVALID")
    assert get_topic(logs) == created


@pytest.mark.parametrize("path", ["display_name", "*"])
def test_a_display_name_cannot_be_cleared(logs: LogService, path: str) -> None:
    """By a mask that names it while it is not set."""
    log_set, topic = logs.create_log_set(retention_days=15), logs.create_topic()
    log_set.topic_count = 1
    for call, request, field in (
        (logs.stub.UpdateLogSet, change_set(path, retention_days=30), "log_set.display_name"),
        (logs.stub.UpdateLogTopic, change_topic(path), "log_topic.display_name"),
    ):
        error = error_of(call, request)
        assert error.violations == (FieldViolation(field, "is required"),)
    assert (get_set(logs), get_topic(logs)) == (log_set, topic)


def test_the_wildcard_stands_alone(logs: LogService) -> None:
    created = logs.create_log_set()
    error = error_of(logs.stub.UpdateLogSet, change_set("*", "display_name", display_name="New"))
    assert error.reason == "UPDATE_MASK_INVALID"
    assert get_set(logs) == created


def test_what_does_not_exist_is_not_found(logs: LogService) -> None:
    for call, request, name in (
        (logs.stub.UpdateLogSet, change_set(display_name="New"), LOG_SET),
        (logs.stub.UpdateLogSet, change_set(), LOG_SET),
        (logs.stub.UpdateLogTopic, change_topic(display_name="New"), TOPIC),
        (logs.stub.UpdateLogTopic, change_topic(), TOPIC),
    ):
        error = error_of(call, request)
        assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": name})
