"""Log entries: what is written is read back whole, and lists show what their filters choose."""

from datetime import timedelta
from typing import Any

import pytest

from autoimage.log.v1.log_pb2 import LogEntry
from autoimage.log.v1.log_service_pb2 import ListLogEntriesRequest, LogEntryFilter
from autoimage.type.v1.disks_pb2 import LeftOutDisk
from autoimage.type.v1.missed_pb2 import MissedPoints
from autoimage.type.v1.reason_pb2 import REASON_LOCAL_DISK, REASON_NOT_TAKEN_UP
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.log_service import PLACE, TOPIC, LogService, entry

POLICY = f"{PLACE}/policies/daily"
EXECUTION = f"{POLICY}/executions/exec-0123456789"
INSTANCE = f"{PLACE}/instances/web-01"
HOUR = timedelta(hours=1)


@pytest.fixture
def topics(logs: LogService) -> LogService:
    """With a topic and five entries, of which all but `b` say something of their own."""
    logs.create_log_set()
    logs.create_topic()
    logs.write(
        entry("a", policy=POLICY, message="Execution started"),
        entry("b", event_time=to_proto(START + HOUR)),
        entry("c", execution=EXECUTION, severity=LogEntry.SEVERITY_WARNING, event_time=to_proto(START + 2 * HOUR)),
        entry("d", instance=INSTANCE, severity=LogEntry.SEVERITY_ERROR, message="100% of vd_ lost: ÄRGER 快照"),
        entry("e", policy=f"{POLICY}-2", execution=f"{EXECUTION}-2", instance=f"{INSTANCE}-2", message="vdx"),
    )
    return logs


def test_an_entry_is_read_back_as_it_was_written(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    moment = to_proto(START - HOUR)
    written = entry(
        region="cn-north-1",
        severity=LogEntry.SEVERITY_WARNING,
        event=LogEntry.EVENT_IMAGE_TASK_ENDED,
        event_time=moment,
        message="备份完成",
        policy=POLICY,
        policy_type="AutoImage",
        execution=EXECUTION,
        scheduled_time=moment,
        start_time=moment,
        end_time=moment,
        instance_count=100,
        task_state="SUCCEEDED",
        reason=REASON_NOT_TAKEN_UP,
        instance=INSTANCE,
        image=f"{PLACE}/images/img-0123456789",
        included_disks=["vda", "vdb"],
        left_out_disks=[LeftOutDisk(device_name="vdc", reason=REASON_LOCAL_DISK)],
        missed=MissedPoints(first_time=moment, last_time=moment, count=1, reason=REASON_NOT_TAKEN_UP),
    )
    assert [status.code for status in logs.write(written)] == [0]
    expected = LogEntry()
    expected.CopyFrom(written)
    expected.sequence = 1
    expected.receive_time.CopyFrom(to_proto(START))
    assert logs.entries() == [expected]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, "abcde"),
        ({"start_time": to_proto(START + HOUR)}, "bc"),
        ({"start_time": to_proto(START + HOUR + timedelta(microseconds=1))}, "c"),
        ({"end_time": to_proto(START + HOUR)}, "ade"),
        ({"end_time": to_proto(START + HOUR + timedelta(microseconds=1))}, "abde"),
        ({"start_time": to_proto(START), "end_time": to_proto(START)}, ""),
        ({"policy": POLICY}, "a"),
        ({"execution": EXECUTION}, "c"),
        ({"instance": INSTANCE}, "d"),
        ({"instance": f"{PLACE}/instances/unknown"}, ""),
        ({"minimum_severity": LogEntry.SEVERITY_INFO}, "abcde"),
        ({"minimum_severity": LogEntry.SEVERITY_WARNING}, "cd"),
        ({"minimum_severity": LogEntry.SEVERITY_ERROR}, "d"),
        ({"text": "STARTED"}, "a"),
        ({"text": "ärger"}, "d"),
        ({"text": "快照"}, "d"),
        ({"text": "100%"}, "d"),
        ({"text": "1%0"}, ""),
        ({"text": "vd_"}, "d"),
        ({"text": "/"}, ""),
        ({"policy": POLICY, "execution": EXECUTION}, ""),
        ({"minimum_severity": LogEntry.SEVERITY_WARNING, "start_time": to_proto(START + HOUR)}, "c"),
    ],
)
def test_a_filter_chooses_entries_that_fit_all_of_it(topics: LogService, filter: dict[str, Any], expected: str) -> None:
    assert "".join(found.insert_id for found in topics.entries(**filter)) == expected


def test_entries_are_listed_in_pages_in_the_order_of_their_sequence(topics: LogService) -> None:
    found, token = [], ""
    while True:
        page = topics.stub.ListLogEntries(ListLogEntriesRequest(parent=TOPIC, page_size=2, page_token=token))
        found.append([each.insert_id for each in page.entries])
        token = page.next_page_token
        if not token:
            break
        topics.write(entry(f"late-{len(found)}"))
    assert found == [["a", "b"], ["c", "d"], ["e", "late-1"], ["late-2", "late-3"]]


def test_a_page_token_goes_on_within_the_filter_and_fits_no_other(topics: LogService) -> None:
    chosen = LogEntryFilter(minimum_severity=LogEntry.SEVERITY_WARNING)
    request = ListLogEntriesRequest(parent=TOPIC, page_size=1, filter=chosen)
    request.page_token = topics.stub.ListLogEntries(request).next_page_token
    assert [each.insert_id for each in topics.stub.ListLogEntries(request).entries] == ["d"]
    request.filter.minimum_severity = LogEntry.SEVERITY_INFO
    error = error_of(topics.stub.ListLogEntries, request)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert [violation.field for violation in error.violations] == ["page_token"]


def test_a_page_has_20_entries_unless_asked_otherwise_and_never_more_than_100(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    logs.write(*(entry(f"e{number}") for number in range(120)))
    sizes = [
        len(logs.stub.ListLogEntries(ListLogEntriesRequest(parent=TOPIC, page_size=size)).entries)
        for size in (0, 1, 100, 101)
    ]
    assert sizes == [20, 1, 100, 100]


def test_a_batch_of_500_entries_for_many_topics_is_written_whole(logs: LogService) -> None:
    logs.create_log_set()
    topics = [logs.create_topic(log_topic_id=f"t{number}").name for number in range(20)]
    statuses = logs.write(*(entry(f"e{number}", log_topic=topics[number % 20]) for number in range(500)))
    assert [status.code for status in statuses] == [0] * 500
    for topic in topics:
        assert [each.sequence for each in logs.entries(topic)] == list(range(1, 26))
