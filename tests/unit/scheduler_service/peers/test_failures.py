"""All adapters, when those whom they call fail or do not answer."""

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import grpc
import pytest
from google.rpc import status_pb2

from scheduler_service.domain.retention import Condition, Seen
from scheduler_service.peers.compute import Compute
from scheduler_service.peers.logs import Logs
from scheduler_service.peers.policies import Policies
from servicekit.client import Client
from servicekit.errors import Unavailable
from tests.support import START, error_of
from tests.support.scheduler_peers import Peer, serving
from tests.support.scheduler_values import IMAGE, a_kept_image, a_task, an_entry, an_execution, uid

LATEST = START + timedelta(seconds=30, microseconds=1)


CALLS: list[Callable[[Client], object]] = [
    lambda client: Policies(client).lease_triggers("host/1"),
    lambda client: Policies(client).acknowledge([uid(1)]),
    lambda client: Policies(client).filter_associated([a_task()]),
    lambda client: Policies(client).report_missing([a_task()]),
    lambda client: Policies(client).look_up_retentions([uid("daily")]),
    lambda client: Compute(client).create_images([a_task()], {an_execution().uid: an_execution()}, LATEST),
    lambda client: Compute(client).get_images([IMAGE]),
    lambda client: Compute(client).look_at([a_kept_image()]),
    lambda client: Compute(client).delete_image(Seen(a_kept_image(), Condition.AVAILABLE), LATEST),
    lambda client: Compute(client).resolve([a_task()]),
    lambda client: Logs(client).write([an_entry()]),
]


@pytest.mark.rule("X5")
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_throttled_says_for_how_long(
    served: tuple[Peer, Client], call: Callable[[Client], object]
) -> None:
    peer, client = served
    peer.answer = Unavailable("OVERLOADED", retry_after=timedelta(seconds=3, milliseconds=250))
    error = error_of(call, client)
    assert isinstance(error, Unavailable)
    assert (error.reason, error.retry_after) == ("OVERLOADED", timedelta(seconds=3, milliseconds=250))


@pytest.mark.rule("X5")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN", "INTERNAL"])
def test_a_failure_of_the_transport_is_told_as_such(
    served: tuple[Peer, Client], call: Callable[[Client], object], code: str
) -> None:
    peer, client = served
    peer.answer = lambda context: context.abort(grpc.StatusCode[code], "by the transport")
    error = error_of(call, client)
    assert isinstance(error, Unavailable)
    assert error.reason == "TRANSPORT"


@pytest.mark.rule("X5")
def test_a_service_that_does_not_answer_in_time_is_unavailable() -> None:
    peer, over = Peer(), threading.Event()
    peer.answer = lambda _: over.wait(60) and status_pb2.Status()
    with serving(peer, deadline=timedelta(seconds=0.1)) as client:
        try:
            error = error_of(Policies(client).lease_triggers, "host/1")
        finally:
            over.set()
    assert isinstance(error, Unavailable)
    assert error.reason == "TRANSPORT"


@pytest.mark.rule("X5")
def test_a_service_that_is_not_there_is_unavailable() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        client = Client(f"127.0.0.1:{taken.getsockname()[1]}")
        try:
            errors = [error_of(call, client) for call in CALLS]
        finally:
            client.close()
    assert {(type(error), error.reason) for error in errors} == {(Unavailable, "TRANSPORT")}
