"""The servicer by itself, under grpcio-testing: no server, no interceptors, no trailers, but every method."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf import message_factory
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from autoimage.log.v1.log_pb2 import LogSet, LogTopic
from autoimage.log.v1.log_service_pb2 import (
    DESCRIPTOR,
    BatchGetLogTopicsRequest,
    BatchGetLogTopicsResponse,
    CreateLogSetRequest,
    CreateLogTopicRequest,
    DeleteLogSetRequest,
    DeleteLogTopicRequest,
    GetLogSetRequest,
    GetLogTopicRequest,
    ListLogEntriesRequest,
    ListLogSetsRequest,
    ListLogSetsResponse,
    ListLogTopicsRequest,
    ListLogTopicsResponse,
    LogTopicResult,
    TailLogEntriesRequest,
    UpdateLogSetRequest,
    UpdateLogTopicRequest,
    WriteLogEntriesRequest,
)
from log_service.dependencies import Dependencies
from log_service.servicer import LogServicer
from tests.support import clocks, database
from tests.support.log_service import LOG_SET, PLACE, REGIONS, TOPIC, entry, log_set, topic

SERVICE = DESCRIPTOR.services_by_name["LogService"]
UNKNOWN = f"{LOG_SET}/logTopics/unknown"


class Isolated:
    """Calls the servicer's methods; each answers response, code and details."""

    def __init__(self, servicer: LogServicer) -> None:
        self._server = grpc_testing.server_from_dictionary({SERVICE: servicer}, grpc_testing.strict_real_time())

    def call(self, request: Message) -> tuple[Any, grpc.StatusCode, str]:
        method = SERVICE.methods_by_name[request.DESCRIPTOR.name.removesuffix("Request")]
        if method.server_streaming:
            return None, *self.stream(request).termination()[1:]
        call = self._server.invoke_unary_unary(method, (), request, None)
        response, _, code, details = call.termination()
        return response, code, details

    def stream(self, request: Message) -> Any:
        method = SERVICE.methods_by_name[request.DESCRIPTOR.name.removesuffix("Request")]
        return self._server.invoke_unary_stream(method, (), request, None)

    def answer(self, request: Message) -> Any:
        response, code, details = self.call(request)
        assert (code, details) == (grpc.StatusCode.OK, "")
        return response


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Isolated]:
    db = database(tmp_path, "log_service")
    yield Isolated(LogServicer(Dependencies(db, clocks()), REGIONS))
    db.dispose()


@pytest.fixture
def with_topic(isolated: Isolated) -> Isolated:
    isolated.answer(CreateLogSetRequest(parent=PLACE, log_set_id="backups", log_set=log_set()))
    isolated.answer(CreateLogTopicRequest(parent=LOG_SET, log_topic_id="executions", log_topic=topic()))
    return isolated


def test_a_log_set_is_made_read_changed_listed_and_deleted(isolated: Isolated) -> None:
    created = isolated.answer(CreateLogSetRequest(parent=PLACE, log_set_id="backups", log_set=log_set()))
    assert isolated.answer(GetLogSetRequest(name=LOG_SET)) == created
    changed = isolated.answer(UpdateLogSetRequest(log_set=LogSet(name=LOG_SET, display_name="New")))
    created.display_name = "New"
    assert changed == created
    assert isolated.answer(ListLogSetsRequest(parent=PLACE)) == ListLogSetsResponse(log_sets=[created])
    assert isolated.answer(DeleteLogSetRequest(name=LOG_SET)) == Empty()
    assert isolated.answer(ListLogSetsRequest(parent=PLACE)) == ListLogSetsResponse()


def test_a_topic_is_made_read_changed_listed_and_deleted(with_topic: Isolated) -> None:
    created = with_topic.answer(GetLogTopicRequest(name=TOPIC))
    changed = with_topic.answer(UpdateLogTopicRequest(log_topic=LogTopic(name=TOPIC, display_name="New")))
    created.display_name = "New"
    assert changed == created
    found = with_topic.answer(BatchGetLogTopicsRequest(parent=LOG_SET, names=[TOPIC, UNKNOWN]))
    assert isinstance(found, BatchGetLogTopicsResponse)
    assert found.results[0] == LogTopicResult(log_topic=created)
    assert found.results[1].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert with_topic.answer(ListLogTopicsRequest(parent=LOG_SET)) == ListLogTopicsResponse(log_topics=[created])
    assert with_topic.answer(DeleteLogTopicRequest(name=TOPIC)) == Empty()
    assert with_topic.answer(ListLogTopicsRequest(parent=LOG_SET)) == ListLogTopicsResponse()


def test_entries_are_written_and_listed(with_topic: Isolated) -> None:
    written = with_topic.answer(WriteLogEntriesRequest(entries=[entry("a"), entry("b", log_topic=UNKNOWN)]))
    assert [status.code for status in written.statuses] == [0, grpc.StatusCode.NOT_FOUND.value[0]]
    listed = with_topic.answer(ListLogEntriesRequest(parent=TOPIC))
    assert [(found.insert_id, found.sequence) for found in listed.entries] == [("a", 1)]


def test_a_tail_tells_what_is_written_until_its_caller_cancels(with_topic: Isolated) -> None:
    tail = with_topic.stream(TailLogEntriesRequest(parent=TOPIC))
    begun = tail.take_response()
    assert (list(begun.entries), bool(begun.resume_token)) == ([], True)
    with_topic.answer(WriteLogEntriesRequest(entries=[entry("a"), entry("b")]))
    assert [(found.insert_id, found.sequence) for found in tail.take_response().entries] == [("a", 1), ("b", 2)]
    tail.cancel()
    resumed = with_topic.stream(TailLogEntriesRequest(parent=TOPIC, resume_token=begun.resume_token))
    resumed.take_response()
    assert [found.sequence for found in resumed.take_response().entries] == [1, 2]
    resumed.cancel()


UNKNOWN_THINGS: list[Message] = [
    GetLogSetRequest(name=LOG_SET),
    UpdateLogSetRequest(log_set=LogSet(name=LOG_SET, display_name="New")),
    DeleteLogSetRequest(name=LOG_SET),
    CreateLogTopicRequest(parent=LOG_SET, log_topic=topic()),
    GetLogTopicRequest(name=TOPIC),
    ListLogTopicsRequest(parent=LOG_SET),
    UpdateLogTopicRequest(log_topic=LogTopic(name=TOPIC, display_name="New")),
    DeleteLogTopicRequest(name=TOPIC),
    ListLogEntriesRequest(parent=TOPIC),
    TailLogEntriesRequest(parent=TOPIC),
]


@pytest.mark.parametrize("request_message", UNKNOWN_THINGS, ids=lambda each: type(each).__name__)
def test_what_does_not_exist_is_not_found(isolated: Isolated, request_message: Message) -> None:
    response, code, details = isolated.call(request_message)
    assert (response, code) == (None, grpc.StatusCode.NOT_FOUND)
    assert details.endswith("does not exist")


@pytest.mark.parametrize("name", [method.name for method in SERVICE.methods])
def test_an_empty_request_is_an_invalid_argument(isolated: Isolated, name: str) -> None:
    method = SERVICE.methods_by_name[name]
    response, code, details = isolated.call(message_factory.GetMessageClass(method.input_type)())
    assert (response, code) == (None, grpc.StatusCode.INVALID_ARGUMENT)
    assert "is required" in details
