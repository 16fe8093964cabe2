"""Log topics: create, get, batch get, list, delete."""

import uuid
from pathlib import Path

from autoimage.log.v1.log_pb2 import LogTopic
from autoimage.log.v1.log_service_pb2 import (
    BatchGetLogTopicsRequest,
    CreateLogTopicRequest,
    DeleteLogTopicRequest,
    GetLogSetRequest,
    GetLogTopicRequest,
    ListLogEntriesRequest,
    ListLogTopicsRequest,
)
from servicekit.errors import Code, FieldViolation
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.log_service import LOG_SET, PLACE, TOPIC, LogService, entry, running_log_service, topic

ANY = "accounts/-/regions/-/logSets/-"


def create_request(**fields: object) -> CreateLogTopicRequest:
    defaults = {"parent": LOG_SET, "log_topic_id": "executions", "log_topic": topic(), "request_id": str(uuid.uuid4())}
    return CreateLogTopicRequest(**{**defaults, **fields})  # type: ignore[arg-type]


def topic_count(logs: LogService) -> int:
    return logs.stub.GetLogSet(GetLogSetRequest(name=LOG_SET)).topic_count


def test_a_topic_is_created_as_asked_and_read_back_the_same(logs: LogService) -> None:
    logs.create_log_set()
    created = logs.stub.CreateLogTopic(create_request())
    assert created == LogTopic(
        name=TOPIC,
        display_name="Executions",
        source=LogTopic.SOURCE_CLOUD_PRODUCT,
        product=LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
        log_type=LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
        create_time=to_proto(START),
    )
    assert logs.stub.GetLogTopic(GetLogTopicRequest(name=TOPIC)) == created
    assert logs.stub.ListLogTopics(ListLogTopicsRequest(parent=LOG_SET)).log_topics == [created]
    assert topic_count(logs) == 1


def test_a_topic_of_instances_has_neither_product_nor_log_type(logs: LogService) -> None:
    logs.create_log_set()
    created = logs.create_topic(
        source=LogTopic.SOURCE_INSTANCE,
        product=LogTopic.PRODUCT_UNSPECIFIED,
        log_type=LogTopic.LOG_TYPE_UNSPECIFIED,
    )
    assert created.source == LogTopic.SOURCE_INSTANCE
    assert logs.stub.GetLogTopic(GetLogTopicRequest(name=TOPIC)) == created


def test_a_topic_without_id_gets_one(logs: LogService) -> None:
    logs.create_log_set()
    created = logs.stub.CreateLogTopic(create_request(log_topic_id=""))
    prefix, _, made = created.name.rpartition("-")
    assert prefix == f"{LOG_SET}/logTopics/lt"
    assert len(made) == 10


def test_the_same_request_again_answers_the_same_topic(logs: LogService) -> None:
    logs.create_log_set()
    request = create_request(log_topic_id="")
    assert logs.stub.CreateLogTopic(request) == logs.stub.CreateLogTopic(request)
    assert topic_count(logs) == 1


def test_the_same_request_answers_the_same_topic_also_after_a_restart(tmp_path: Path) -> None:
    request = create_request(log_topic_id="")
    other = create_request(log_topic_id="", request_id=request.request_id, log_topic=topic(display_name="Other"))
    with running_log_service(tmp_path) as before:
        before.create_log_set()
        created = before.stub.CreateLogTopic(request)
    with running_log_service(tmp_path) as after:
        assert after.stub.CreateLogTopic(request) == created
        error = error_of(after.stub.CreateLogTopic, other)
        assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        assert topic_count(after) == 1


def test_a_request_id_with_another_body_is_refused(logs: LogService) -> None:
    logs.create_log_set()
    request = create_request()
    logs.stub.CreateLogTopic(request)
    request.log_topic.display_name = "Other"
    error = error_of(logs.stub.CreateLogTopic, request)
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert topic_count(logs) == 1


def test_a_taken_id_is_refused(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    error = error_of(logs.stub.CreateLogTopic, create_request(log_topic=topic(display_name="Other")))
    assert (error.code, error.reason, error.metadata) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS", {"name": TOPIC})
    assert topic_count(logs) == 1


def test_a_topic_of_an_unknown_log_set_is_not_found(logs: LogService) -> None:
    for error in (
        error_of(logs.stub.CreateLogTopic, create_request()),
        error_of(logs.stub.ListLogTopics, ListLogTopicsRequest(parent=LOG_SET)),
    ):
        assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": LOG_SET})


def test_unknown_topics_are_not_found(logs: LogService) -> None:
    logs.create_log_set()
    for error in (
        error_of(logs.stub.GetLogTopic, GetLogTopicRequest(name=TOPIC)),
        error_of(logs.stub.DeleteLogTopic, DeleteLogTopicRequest(name=TOPIC)),
        error_of(logs.stub.ListLogEntries, ListLogEntriesRequest(parent=TOPIC)),
    ):
        assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": TOPIC})


def test_a_deleted_topic_is_gone_with_its_entries_and_its_id_and_name_are_free(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    logs.write(entry())
    logs.stub.DeleteLogTopic(DeleteLogTopicRequest(name=TOPIC))
    assert error_of(logs.stub.GetLogTopic, GetLogTopicRequest(name=TOPIC)).code == Code.NOT_FOUND
    assert topic_count(logs) == 0
    logs.create_topic()
    assert logs.entries() == []
    logs.write(entry())
    assert [found.sequence for found in logs.entries()] == [1]


def test_a_list_shows_one_log_set_in_the_order_of_ids_in_pages(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_log_set(log_set_id="other")
    for log_topic_id in ("c", "a", "b"):
        logs.create_topic(log_topic_id=log_topic_id)
    logs.create_topic(parent=f"{PLACE}/logSets/other", log_topic_id="elsewhere")
    first = logs.stub.ListLogTopics(ListLogTopicsRequest(parent=LOG_SET, page_size=2))
    second = logs.stub.ListLogTopics(
        ListLogTopicsRequest(parent=LOG_SET, page_size=2, page_token=first.next_page_token)
    )
    assert [found.name for page in (first, second) for found in page.log_topics] == [
        f"{LOG_SET}/logTopics/{log_topic_id}" for log_topic_id in ("a", "b", "c")
    ]
    assert (len(first.log_topics), second.next_page_token) == (2, "")


def test_a_batch_answers_each_name_for_itself_and_in_order(logs: LogService) -> None:
    logs.create_log_set()
    created = logs.create_topic()
    unknown, elsewhere = f"{LOG_SET}/logTopics/unknown", TOPIC.replace("cn-north-1", "mars")
    names = [unknown, TOPIC, "nonsense", "", elsewhere, TOPIC]
    results = logs.stub.BatchGetLogTopics(BatchGetLogTopicsRequest(parent=ANY, names=names)).results
    assert [result.log_topic for result in (results[1], results[5])] == [created, created]
    errors = [from_status(results[index].error) for index in (0, 2, 3, 4)]
    assert [(error.code, error.reason) for error in errors] == [
        (Code.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED"),
    ]
    assert errors[0].metadata == {"name": unknown}
    assert [violation.field for error in errors for violation in error.violations] == [
        "names[2]",
        "names[3]",
        "names[4]",
    ]


def test_a_batch_below_one_log_set_refuses_the_names_of_others(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    other = f"{PLACE}/logSets/other/logTopics/executions"
    results = logs.stub.BatchGetLogTopics(BatchGetLogTopicsRequest(parent=LOG_SET, names=[other, TOPIC])).results
    assert from_status(results[0].error).violations == (FieldViolation("names[0]", f"must lie below {LOG_SET}"),)
    assert results[1].log_topic.name == TOPIC


def test_a_batch_of_500_names_is_answered(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    names = [*(f"{LOG_SET}/logTopics/t{number}" for number in range(499)), TOPIC]
    results = logs.stub.BatchGetLogTopics(BatchGetLogTopicsRequest(parent=LOG_SET, names=names)).results
    assert [result.WhichOneof("result") for result in results] == ["error"] * 499 + ["log_topic"]
