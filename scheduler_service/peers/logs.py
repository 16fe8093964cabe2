"""The log service: takes log entries."""

import enum
from collections.abc import Sequence

from google.rpc.status_pb2 import Status

from autoimage.log.v1 import log_pb2, log_service_pb2, log_service_pb2_grpc
from autoimage.type.v1 import disks_pb2, missed_pb2, reason_pb2
from scheduler_service.domain.executions import Missed
from scheduler_service.domain.log_entries import Entry
from servicekit.client import Client
from servicekit.errors import Code
from servicekit.status import from_status
from servicekit.timestamps import to_proto, to_proto_or_none

POLICY_TYPE = "AutoImage"


class Delivery(enum.Enum):
    """What became of an entry."""

    ACCEPTED = "accepted"
    TOPIC_GONE = "its topic does not exist any more"
    PAST_RETENTION = "it is older than its topic keeps entries"
    REFUSED = "the log service will never take it"
    FAILED = "try again"


_BY_CODE = {
    0: Delivery.ACCEPTED,
    Code.NOT_FOUND.value: Delivery.TOPIC_GONE,
    Code.INVALID_ARGUMENT.value: Delivery.REFUSED,
}


class Logs:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._stub = client.stub(log_service_pb2_grpc.LogServiceStub)

    def write(self, entries: Sequence[Entry]) -> list[Delivery]:
        """What became of each entry, in order; takes up to 500. Raises Unavailable when nobody answers."""
        request = log_service_pb2.WriteLogEntriesRequest(entries=[_entry(entry) for entry in entries])
        response = self._client.call(self._stub.WriteLogEntries, request)
        return [_delivery(status) for status in response.statuses]


def _delivery(status: Status) -> Delivery:
    if status.code == Code.FAILED_PRECONDITION.value and from_status(status).reason == "PAST_RETENTION":
        return Delivery.PAST_RETENTION
    return _BY_CODE.get(status.code, Delivery.FAILED)


def _entry(entry: Entry) -> log_pb2.LogEntry:
    return log_pb2.LogEntry(
        log_topic=entry.log_topic,
        insert_id=entry.insert_id,
        event_time=to_proto(entry.event_time),
        severity=log_pb2.LogEntry.Severity.Value(f"SEVERITY_{entry.severity}"),
        event=log_pb2.LogEntry.Event.Value(f"EVENT_{entry.event}"),
        message=entry.message,
        region=entry.region,
        policy=entry.policy,
        policy_type=POLICY_TYPE,
        execution=entry.execution,
        scheduled_time=to_proto(entry.scheduled_time),
        start_time=to_proto_or_none(entry.start_time),
        end_time=to_proto_or_none(entry.end_time),
        instance_count=entry.instance_count,
        task_state=entry.task_state,
        reason=_reason(entry.reason),
        instance=entry.instance,
        image=entry.image,
        included_disks=entry.included,
        left_out_disks=[
            disks_pb2.LeftOutDisk(device_name=disk.device, reason=_reason(disk.reason)) for disk in entry.left_out
        ],
        missed=_missed(entry.missed) if entry.missed else None,
    )


def _missed(missed: Missed) -> missed_pb2.MissedPoints:
    return missed_pb2.MissedPoints(
        first_time=to_proto(missed.first),
        last_time=to_proto(missed.last),
        count=missed.count,
        reason=_reason(missed.reason),
    )


def _reason(reason: str) -> reason_pb2.Reason.ValueType:
    return reason_pb2.Reason.Value(f"REASON_{reason}") if reason else reason_pb2.REASON_UNSPECIFIED
