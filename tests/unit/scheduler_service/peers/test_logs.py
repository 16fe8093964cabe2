"""The adapter to the log service, against a server that speaks the real contract and answers as told."""

from datetime import timedelta

import pytest
from google.rpc import status_pb2

from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.type.v1 import disks_pb2, missed_pb2, reason_pb2
from scheduler_service.domain.executions import Missed
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.tasks import LeftOut
from scheduler_service.peers.logs import Delivery, Logs
from servicekit.errors import Code, FailedPrecondition
from servicekit.status import to_status
from servicekit.timestamps import to_proto
from tests.support import START
from tests.support.scheduler_peers import Peer
from tests.support.scheduler_values import IMAGE, PLACE, TOPIC, an_entry, instance_name

SECOND = timedelta(seconds=1)
POLICY = f"{PLACE}/policies/daily"


@pytest.mark.rule("L2")
def test_an_entry_is_written_whole(peer: Peer, logs: Logs) -> None:
    entry = an_entry(
        "1",
        severity="ERROR",
        event="IMAGE_TASK_ENDED",
        start_time=START + SECOND,
        end_time=START + 2 * SECOND,
        instance_count=7,
        task_state="FAILED",
        reason="SNAPSHOT_FAILED",
        instance=instance_name("i-1"),
        image=IMAGE,
        included=("vda", "vdb"),
        left_out=(LeftOut("vdc", "LOCAL_DISK"), LeftOut("vdd", "")),
        missed=Missed(START - SECOND, START, 2, "POLICY_DISABLED"),
    )
    peer.answer = log_service_pb2.WriteLogEntriesResponse(statuses=[status_pb2.Status()])
    assert logs.write([entry]) == [Delivery.ACCEPTED]
    assert peer.requests == [
        log_service_pb2.WriteLogEntriesRequest(
            entries=[
                log_pb2.LogEntry(
                    log_topic=TOPIC,
                    insert_id="1",
                    event_time=to_proto(START),
                    severity=log_pb2.LogEntry.SEVERITY_ERROR,
                    event=log_pb2.LogEntry.EVENT_IMAGE_TASK_ENDED,
                    message=entry.message,
                    region="cn-north-1",
                    policy=POLICY,
                    policy_type="AutoImage",
                    execution=entry.execution,
                    scheduled_time=to_proto(START),
                    start_time=to_proto(START + SECOND),
                    end_time=to_proto(START + 2 * SECOND),
                    instance_count=7,
                    task_state="FAILED",
                    reason=reason_pb2.REASON_SNAPSHOT_FAILED,
                    instance=instance_name("i-1"),
                    image=IMAGE,
                    included_disks=["vda", "vdb"],
                    left_out_disks=[
                        disks_pb2.LeftOutDisk(device_name="vdc", reason=reason_pb2.REASON_LOCAL_DISK),
                        disks_pb2.LeftOutDisk(device_name="vdd"),
                    ],
                    missed=missed_pb2.MissedPoints(
                        first_time=to_proto(START - SECOND),
                        last_time=to_proto(START),
                        count=2,
                        reason=reason_pb2.REASON_POLICY_DISABLED,
                    ),
                )
            ]
        )
    ]


@pytest.mark.rule("L2")
@pytest.mark.parametrize(
    "event",
    [
        "EXECUTION_STARTED",
        "EXECUTION_ENDED",
        "EXECUTION_MISSED",
        "IMAGE_TASK_STARTED",
        "IMAGE_TASK_ENDED",
        "LATE_IMAGE",
    ],
)
def test_every_event_and_severity_has_a_word_in_the_contract(peer: Peer, logs: Logs, event: str) -> None:
    entries: list[Entry] = [an_entry(event=event, severity=severity) for severity in ("INFO", "WARNING", "ERROR")]
    peer.answer = log_service_pb2.WriteLogEntriesResponse(statuses=[status_pb2.Status()] * 3)
    logs.write(entries)
    sent = peer.requests[0].entries
    assert [entry.event for entry in sent] == [log_pb2.LogEntry.Event.Value(f"EVENT_{event}")] * 3
    assert [entry.severity for entry in sent] == [1, 2, 3]
    assert not sent[0].HasField("start_time")
    assert not sent[0].HasField("missed")


@pytest.mark.rule("L3")
def test_what_became_of_each_entry_is_told_by_its_code(peer: Peer, logs: Logs) -> None:
    codes = [0, Code.NOT_FOUND.value, Code.INVALID_ARGUMENT.value, Code.UNAVAILABLE.value, 99]
    peer.answer = log_service_pb2.WriteLogEntriesResponse(statuses=[status_pb2.Status(code=code) for code in codes])
    assert logs.write([an_entry(str(code)) for code in codes]) == [
        Delivery.ACCEPTED,
        Delivery.TOPIC_GONE,
        Delivery.REFUSED,
        Delivery.FAILED,
        Delivery.FAILED,
    ]


@pytest.mark.rule("L3")
def test_an_entry_past_its_topic_s_retention_is_told_by_its_reason(peer: Peer, logs: Logs) -> None:
    refusals = [FailedPrecondition("PAST_RETENTION", "too old"), FailedPrecondition("LOG_TOPIC_UNSUITABLE", "other")]
    peer.answer = log_service_pb2.WriteLogEntriesResponse(statuses=map(to_status, refusals))
    assert logs.write([an_entry("1"), an_entry("2")]) == [Delivery.PAST_RETENTION, Delivery.FAILED]
