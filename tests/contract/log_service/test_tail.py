"""TailLogEntries: what it tells, in what order, where it goes on, how it ends."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from autoimage.log.v1.log_pb2 import LogEntry
from autoimage.log.v1.log_service_pb2 import (
    DeleteLogTopicRequest,
    ListLogEntriesRequest,
    LogEntryFilter,
    TailLogEntriesRequest,
    TailLogEntriesResponse,
)
from autoimage.log.v1.log_service_pb2_grpc import LogServiceStub
from log_service.commands import tail_log_entries as command
from log_service.commands.purge import purge
from log_service.main import registration
from servicekit.config import ServerSettings
from servicekit.errors import Code
from servicekit.server import Server
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.log_service import LOG_SET, PLACE, REGIONS, TOPIC, LogService, entry, running_log_service

TIMEOUT = 60
SETTINGS = ServerSettings(listen="127.0.0.1:0", drain_seconds=TIMEOUT)


@pytest.fixture
def with_topic(logs: LogService) -> LogService:
    logs.create_log_set()
    logs.create_topic()
    return logs


def tail(logs: LogService, resume_token: str = "", **filter: Any) -> Any:
    request = TailLogEntriesRequest(parent=TOPIC, filter=LogEntryFilter(**filter), resume_token=resume_token)
    return logs.stub.TailLogEntries(request, timeout=TIMEOUT)


def begun(logs: LogService, resume_token: str = "", **filter: Any) -> tuple[Any, str]:
    """A tail whose first response has come, and its token."""
    call = tail(logs, resume_token, **filter)
    first = next(call)
    assert list(first.entries) == []
    return call, first.resume_token


def entries(call: Iterator[TailLogEntriesResponse], count: int) -> list[LogEntry]:
    """The next entries, exactly so many."""
    found: list[LogEntry] = []
    while len(found) < count:
        found += next(call).entries
    assert len(found) == count
    return found


def ids(call: Iterator[TailLogEntriesResponse], count: int) -> list[str]:
    return [found.insert_id for found in entries(call, count)]


def ended(call: Any) -> Any:
    return error_of(lambda: list(call))


def test_a_tail_tells_what_is_written_after_it_began_as_it_is_listed(with_topic: LogService) -> None:
    with_topic.write(entry("before"))
    call, _ = begun(with_topic)
    with_topic.write(entry("a", message="one"), entry("b"))
    assert entries(call, 2) == with_topic.entries()[1:]
    with_topic.write(entry("b"), entry("c"))
    assert [found.sequence for found in entries(call, 1)] == [4]


def test_what_another_replica_writes_is_told_within_a_second_or_so(with_topic: LogService, tmp_path: Path) -> None:
    """Nobody tells this process of it: it looks once a second. A tail may go on at the other replica."""
    call, token = begun(with_topic)
    with running_log_service(tmp_path) as other:
        other.write(entry("a"), entry("b"))
        assert ids(call, 2) == ["a", "b"]
        resumed = tail(other, token)
        assert [list(next(resumed).entries), ids(resumed, 2)] == [[], ["a", "b"]]


def test_entries_of_other_topics_are_not_told(with_topic: LogService) -> None:
    other = with_topic.create_topic(log_topic_id="other").name
    call, _ = begun(with_topic)
    with_topic.write(entry("foreign", log_topic=other), entry("own"))
    assert ids(call, 1) == ["own"]


@pytest.mark.parametrize(
    "filter",
    [
        {"policy": f"{PLACE}/policies/daily"},
        {"execution": f"{PLACE}/policies/daily/executions/e-1"},
        {"instance": f"{PLACE}/instances/web"},
        {"minimum_severity": LogEntry.SEVERITY_WARNING},
        {"text": "TOO late"},
        {"start_time": to_proto(START + timedelta(hours=1))},
    ],
)
def test_a_filter_chooses_as_it_does_in_a_list(with_topic: LogService, filter: dict[str, Any]) -> None:
    call, _ = begun(with_topic, **filter)
    with_topic.write(entry("plain"))
    fitting = entry(
        "fitting",
        policy=f"{PLACE}/policies/daily",
        execution=f"{PLACE}/policies/daily/executions/e-1",
        instance=f"{PLACE}/instances/web",
        severity=LogEntry.SEVERITY_ERROR,
        message="It was Too Late",
        event_time=to_proto(START + timedelta(hours=1)),
    )
    with_topic.write(fitting)
    assert entries(call, 1) == with_topic.entries(**filter)


def test_what_happened_before_an_end_time_only(with_topic: LogService) -> None:
    call, _ = begun(with_topic, end_time=to_proto(START))
    with_topic.write(entry("at"), entry("before", event_time=to_proto(START - timedelta(microseconds=1))))
    assert ids(call, 1) == ["before"]


def test_an_entry_past_its_retention_is_not_told(with_topic: LogService) -> None:
    call, token = begun(with_topic)
    call.cancel()
    with_topic.write(entry("old", event_time=to_proto(START - timedelta(days=7))), entry("new"))
    with_topic.time.product.advance(timedelta(microseconds=1))
    call, _ = begun(with_topic, token)
    assert ids(call, 1) == ["new"]


def test_a_response_has_at_most_100_entries(with_topic: LogService) -> None:
    call, token = begun(with_topic)
    call.cancel()
    with_topic.write(*(entry(f"e-{number}") for number in range(250)))
    call, _ = begun(with_topic, token)
    assert [len(response.entries) for response in itertools.islice(call, 3)] == [100, 100, 50]


def test_a_filter_that_fits_few_of_many_entries_finds_them(
    with_topic: LogService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "WINDOW", 7)
    call, token = begun(with_topic)
    call.cancel()
    with_topic.write(*(entry(f"e-{number}") for number in range(200)), entry("needle", message="needle"))
    call, _ = begun(with_topic, token, text="")
    assert len(entries(call, 201)) == 201
    call, first = begun(with_topic, text="needle")
    with_topic.write(*(entry(f"f-{number}") for number in range(200)), entry("other", message="a needle"))
    assert ids(call, 1) == ["other"]
    call.cancel()
    call, _ = begun(with_topic, first, text="needle")
    assert ids(call, 1) == ["other"]


@pytest.mark.rule("L3")
def test_a_tail_that_is_resumed_again_and_again_misses_nothing_and_doubles_nothing(with_topic: LogService) -> None:
    """While four writers write at the same time."""

    def write(writer: int) -> None:
        for number in range(0, 60, 3):
            with_topic.write(*(entry(f"w{writer}-{number + offset}") for offset in range(3)))

    got: list[int] = []
    call, token = begun(with_topic)
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, writer) for writer in range(4)]
        while len(got) < 240:
            response = next(call)
            got += [found.sequence for found in response.entries]
            call.cancel()
            call, token = begun(with_topic, response.resume_token)
        for each in writing:
            each.result()
    call.cancel()
    assert got == list(range(1, 241))
    assert token


@pytest.mark.rule("L3")
def test_a_tail_that_a_shutdown_ended_goes_on_at_the_next_server_without_a_gap(tmp_path: Path) -> None:
    with running_log_service(tmp_path) as ending:
        ending.create_log_set()
        ending.create_topic()
        server = Server(SETTINGS, [registration(ending.deps, REGIONS)], lambda: None)
        with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
            call, token = begun(replace(ending, stub=LogServiceStub(channel)))
            ending.write(entry("a"))
            assert ids(call, 1) == ["a"]
            server.drain()
            error = ended(call)
            assert (error.code, error.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
            server.close()
        ending.write(entry("b"))
    with running_log_service(tmp_path) as next_one:
        next_one.write(entry("c"))
        call, _ = begun(next_one, token)
        assert ids(call, 3) == ["a", "b", "c"]
        call.cancel()


def test_tails_leave_the_worker_threads_to_calls(with_topic: LogService) -> None:
    calls = [begun(with_topic)[0] for _ in range(2 * SETTINGS.worker_threads)]
    with_topic.write(entry("a"))
    assert [ids(call, 1) for call in calls] == [["a"]] * len(calls)
    for call in calls:
        call.cancel()


def test_a_deleted_topic_ends_its_tails(with_topic: LogService) -> None:
    call, token = begun(with_topic)
    with_topic.stub.DeleteLogTopic(DeleteLogTopicRequest(name=TOPIC))
    for error in (ended(call), ended(tail(with_topic)), ended(tail(with_topic, token))):
        assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": TOPIC})


@pytest.mark.parametrize("purged", [False, True])
def test_a_tail_does_not_go_on_in_a_later_topic_of_the_same_name(with_topic: LogService, purged: bool) -> None:
    with_topic.write(entry("a"))
    call, token = begun(with_topic)
    call.cancel()
    with_topic.stub.DeleteLogTopic(DeleteLogTopicRequest(name=TOPIC))
    if purged:
        purge(with_topic.deps)
    with_topic.create_topic()
    error = ended(tail(with_topic, token))
    assert (error.code, error.metadata) == (Code.NOT_FOUND, {"name": TOPIC})
    again, _ = begun(with_topic)
    with_topic.write(entry("a"))
    assert ids(again, 1) == ["a"]


def test_a_token_of_another_topic_filter_or_list_is_refused(with_topic: LogService) -> None:
    with_topic.create_topic(log_topic_id="other")
    with_topic.write(entry("a"), entry("b"))
    _, token = begun(with_topic)
    page = with_topic.stub.ListLogEntries(ListLogEntriesRequest(parent=TOPIC, page_size=1)).next_page_token
    wrong = [
        TailLogEntriesRequest(parent=f"{LOG_SET}/logTopics/other", resume_token=token),
        TailLogEntriesRequest(parent=TOPIC, resume_token=token, filter=LogEntryFilter(text="a")),
        TailLogEntriesRequest(parent=TOPIC, resume_token=page),
        TailLogEntriesRequest(parent=TOPIC, resume_token="nonsense"),
    ]
    for request in wrong:
        error = ended(with_topic.stub.TailLogEntries(request, timeout=TIMEOUT))
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
        assert [violation.field for violation in error.violations] == ["resume_token"]
    listing = ListLogEntriesRequest(parent=TOPIC, page_token=token)
    assert error_of(with_topic.stub.ListLogEntries, listing).reason == "PAGE_TOKEN_INVALID"
