"""The servicer by itself, under grpcio-testing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message

from autoimage.log.v1.log_service_pb2 import (
    DESCRIPTOR,
    CreateLogSetRequest,
    CreateLogTopicRequest,
    GetLogSetRequest,
    ListLogEntriesRequest,
    WriteLogEntriesRequest,
)
from log_service.dependencies import Dependencies
from log_service.servicer import LogServicer
from tests.support import clocks, database
from tests.support.log_service import LOG_SET, PLACE, REGIONS, TOPIC, entry, log_set, topic

SERVICE = DESCRIPTOR.services_by_name["LogService"]


class Isolated:
    """Calls the servicer's methods; each answers response, code and details."""

    def __init__(self, servicer: LogServicer) -> None:
        self._server = grpc_testing.server_from_dictionary({SERVICE: servicer}, grpc_testing.strict_real_time())

    def call(self, request: Message) -> tuple[Any, grpc.StatusCode, str]:
        method = SERVICE.methods_by_name[request.DESCRIPTOR.name.removesuffix("Request")]
        call = self._server.invoke_unary_unary(method, (), request, None)
        response, _, code, details = call.termination()
        return response, code, details


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Isolated]:
    db = database(tmp_path, "log_service")
    yield Isolated(LogServicer(Dependencies(db, clocks()), REGIONS))
    db.dispose()


def test_a_log_set_a_topic_and_an_entry_are_made_and_listed(isolated: Isolated) -> None:
    requests: list[Message] = [
        CreateLogSetRequest(parent=PLACE, log_set_id="backups", log_set=log_set()),
        CreateLogTopicRequest(parent=LOG_SET, log_topic_id="executions", log_topic=topic()),
        WriteLogEntriesRequest(entries=[entry()]),
        ListLogEntriesRequest(parent=TOPIC),
    ]
    answers = [isolated.call(request) for request in requests]
    assert [code for _, code, _ in answers] == [grpc.StatusCode.OK] * 4
    assert [found.sequence for found in answers[3][0].entries] == [1]


def test_an_unknown_log_set_is_not_found(isolated: Isolated) -> None:
    response, code, _ = isolated.call(GetLogSetRequest(name=LOG_SET))
    assert (response, code) == (None, grpc.StatusCode.NOT_FOUND)


def test_a_wrong_request_is_an_invalid_argument(isolated: Isolated) -> None:
    response, code, _ = isolated.call(GetLogSetRequest(name="nonsense"))
    assert (response, code) == (None, grpc.StatusCode.INVALID_ARGUMENT)
