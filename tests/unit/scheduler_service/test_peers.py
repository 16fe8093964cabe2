"""The adapters to the other services, against servers that speak the real contracts and answer as told."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import status_pb2

from autoimage.compute.v1 import compute_pb2, image_service_pb2, image_service_pb2_grpc
from autoimage.log.v1 import log_pb2, log_service_pb2, log_service_pb2_grpc
from autoimage.policy.v1 import policy_pb2, trigger_service_pb2, trigger_service_pb2_grpc
from autoimage.type.v1 import disks_pb2, missed_pb2, reason_pb2, retention_pb2
from scheduler_service.domain.executions import Kind, Missed, Trigger, TriggeredInstance
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.retention import KEEP_FOREVER, Condition, Retention, Seen
from scheduler_service.domain.tasks import Build, BuildState, LeftOut, Refusal, Trouble
from scheduler_service.peers.compute import Compute, Deletion
from scheduler_service.peers.logs import Delivery, Logs
from scheduler_service.peers.policies import Associated, Leased, Policies
from servicekit.client import Client
from servicekit.errors import (
    Code,
    FailedPrecondition,
    InternalError,
    NotFound,
    QuotaExceeded,
    ServiceError,
    StaleEtag,
    Unavailable,
)
from servicekit.status import DETAILS_KEY, to_status
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.scheduler_values import (
    IMAGE,
    PLACE,
    TOPIC,
    a_kept_image,
    a_task,
    an_entry,
    an_execution,
    association,
    instance_name,
    uid,
)

SECOND = timedelta(seconds=1)
POLICY = f"{PLACE}/policies/daily"
LATEST = START + timedelta(seconds=30, microseconds=1)
Answer = Message | ServiceError | Callable[[grpc.ServicerContext], Any]


class Peer:
    """Stands in for all three services: keeps each request, and gives the answer it was told to."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answer: Answer = status_pb2.Status()

    def __getattr__(self, method: str) -> Callable[[Any, grpc.ServicerContext], Any]:
        if not method[0].isupper():
            raise AttributeError(method)

        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            self.requests.append(request)
            if isinstance(self.answer, ServiceError):
                status = to_status(self.answer)
                context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
                context.abort(grpc.StatusCode[self.answer.code.name], status.message)
            return self.answer(context) if callable(self.answer) else self.answer

        return serve


@contextmanager
def serving(peer: Peer, **options: Any) -> Iterator[Client]:
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        trigger_service_pb2_grpc.add_TriggerServiceServicer_to_server(peer, server)  # type: ignore[arg-type]
        image_service_pb2_grpc.add_ImageServiceServicer_to_server(peer, server)  # type: ignore[arg-type]
        log_service_pb2_grpc.add_LogServiceServicer_to_server(peer, server)  # type: ignore[arg-type]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        client = Client(f"127.0.0.1:{port}", **options)
        try:
            yield client
        finally:
            client.close()
            server.stop(None).wait()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Peer, Client]]:
    peer = Peer()
    with serving(peer) as client:
        yield peer, client


@pytest.fixture
def peer(served: tuple[Peer, Client]) -> Peer:
    served[0].requests.clear()
    return served[0]


@pytest.fixture
def policies(served: tuple[Peer, Client]) -> Policies:
    return Policies(served[1])


@pytest.fixture
def compute(served: tuple[Peer, Client]) -> Compute:
    return Compute(served[1])


@pytest.fixture
def logs(served: tuple[Peer, Client]) -> Logs:
    return Logs(served[1])


# The policy service


@pytest.mark.rule("D2")
def test_a_leased_trigger_comes_whole(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.LeaseTriggersResponse(
        triggers=[
            trigger_service_pb2.Trigger(
                uid=uid("trigger"),
                kind=trigger_service_pb2.Trigger.KIND_CATCH_UP,
                policy=POLICY,
                policy_uid=uid("daily"),
                policy_display_name="Daily",
                disks=policy_pb2.DiskSelection(devices=["vdb", "vdc"]),
                log_topic=TOPIC,
                associations=[
                    trigger_service_pb2.TriggeredAssociation(uid=association(id), instance=instance_name(id))
                    for id in ("i-1", "i-2")
                ],
                scheduled_time=to_proto(START),
                trigger_time=to_proto(START + SECOND),
                missed=missed_pb2.MissedPoints(
                    first_time=to_proto(START - 3 * SECOND),
                    last_time=to_proto(START - SECOND),
                    count=3,
                    reason=reason_pb2.REASON_NOT_TAKEN_UP,
                ),
                lease_expire_time=to_proto(LATEST),
                lease_count=2,
                spread=Duration(seconds=1800),
                retention=retention_pb2.Retention(keep_days=7, keep_last=2, may_delete_newest=True),
            )
        ],
        next_due_time=to_proto(START + timedelta(hours=1)),
    )
    expected = Trigger(
        uid=uid("trigger"),
        kind=Kind.CATCH_UP,
        account="acme",
        region="cn-north-1",
        policy_id="daily",
        policy_uid=uid("daily"),
        devices=("vdb", "vdc"),
        log_topic=TOPIC,
        scheduled_time=START,
        run_id="",
        trigger_time=START + SECOND,
        instances=tuple(TriggeredInstance(instance_name(id), association(id)) for id in ("i-1", "i-2")),
        missed=Missed(START - 3 * SECOND, START - SECOND, 3, "NOT_TAKEN_UP"),
        spread=timedelta(minutes=30),
        retention=Retention(7, 2, may_delete_newest=True),
    )
    assert policies.lease_triggers("host/1") == Leased([expected], START + timedelta(hours=1))
    assert peer.requests == [trigger_service_pb2.LeaseTriggersRequest(scheduler="host/1", max_instances=5000)]


def test_what_a_trigger_lacks_is_empty(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.LeaseTriggersResponse(
        triggers=[
            trigger_service_pb2.Trigger(
                uid=uid("run"),
                kind=trigger_service_pb2.Trigger.KIND_RUN_NOW,
                policy=POLICY,
                policy_uid=uid("daily"),
                disks=policy_pb2.DiskSelection(all=True),
                scheduled_time=to_proto(START),
                run_id=uid("run id"),
                trigger_time=to_proto(START),
            ),
            trigger_service_pb2.Trigger(
                uid=uid("missed"),
                kind=trigger_service_pb2.Trigger.KIND_MISSED,
                policy=POLICY,
                policy_uid=uid("daily"),
                trigger_time=to_proto(START),
                missed=missed_pb2.MissedPoints(
                    first_time=to_proto(START),
                    last_time=to_proto(START),
                    count=1,
                    reason=reason_pb2.REASON_POISONED,
                ),
            ),
        ]
    )
    leased = policies.lease_triggers("host/1")
    run, missed = leased.triggers
    assert leased.next_due_time is None
    assert (run.kind, run.run_id, run.devices, run.instances, run.missed) == (
        Kind.RUN_NOW,
        uid("run id"),
        (),
        (),
        None,
    )
    assert (missed.kind, missed.scheduled_time, missed.log_topic) == (Kind.MISSED, None, "")
    assert missed.missed == Missed(START, START, 1, "POISONED")
    assert run.retention == missed.retention == KEEP_FOREVER


@pytest.mark.rule("D3")
def test_triggers_are_acknowledged_by_uid(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.AckTriggersResponse()
    policies.acknowledge([uid(1), uid(2)])
    assert peer.requests == [trigger_service_pb2.AckTriggersRequest(trigger_uids=[uid(1), uid(2)])]


@pytest.mark.rule("X6", "A9")
def test_associations_are_asked_after_and_reported_with_their_policies(peer: Peer, policies: Policies) -> None:
    tasks = [a_task("i-1"), a_task("i-2", an_execution("weekly"))]
    references = [
        trigger_service_pb2.AssociationReference(policy_uid=uid("daily"), association_uid=association("i-1")),
        trigger_service_pb2.AssociationReference(
            policy_uid=uid("weekly"), association_uid=association("i-2", "weekly")
        ),
    ]
    peer.answer = trigger_service_pb2.FilterAssociatedResponse(
        association_uids=[association("i-1")], deleted_policy_uids=[uid("weekly")]
    )
    assert policies.filter_associated(tasks) == Associated(frozenset({association("i-1")}), frozenset({uid("weekly")}))
    peer.answer = trigger_service_pb2.ReportMissingInstancesResponse()
    policies.report_missing(tasks)
    assert peer.requests == [
        trigger_service_pb2.FilterAssociatedRequest(associations=references),
        trigger_service_pb2.ReportMissingInstancesRequest(associations=references),
    ]


@pytest.mark.rule("L4")
def test_topics_that_are_gone_are_reported_with_their_policies(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.DisableLoggingResponse()
    policies.disable_logging([(POLICY, TOPIC)])
    assert peer.requests == [
        trigger_service_pb2.DisableLoggingRequest(
            missing_log_topics=[trigger_service_pb2.MissingLogTopic(policy=POLICY, log_topic=TOPIC)]
        )
    ]


# Compute


@pytest.mark.rule("X9")
def test_retentions_are_looked_up_and_those_of_unknown_policies_are_left_out(peer: Peer, policies: Policies) -> None:
    daily, weekly, unknown = sorted([uid("daily"), uid("weekly"), uid("unknown")])
    response = trigger_service_pb2.LookUpRetentionsResponse()
    response.policy_retentions.add(policy_uid=weekly, deleted=True)
    response.policy_retentions.add(policy_uid=daily, retention=retention_pb2.Retention(keep_last=3))
    peer.answer = response
    found = policies.look_up_retentions({unknown, weekly, daily})
    assert found == {weekly: KEEP_FOREVER, daily: Retention(keep_last=3)}
    assert peer.requests == [trigger_service_pb2.LookUpRetentionsRequest(policy_uids=[daily, weekly, unknown])]


def an_image(**changes: Any) -> compute_pb2.Image:
    image = compute_pb2.Image(
        name=IMAGE,
        state=compute_pb2.Image.STATE_CREATING,
        create_time=to_proto(START),
        disks=[compute_pb2.ImageDisk(device_name="vda", size_gib=40), compute_pb2.ImageDisk(device_name="vdb")],
        left_out_disks=[
            disks_pb2.LeftOutDisk(device_name="vdc", reason=reason_pb2.REASON_LOCAL_DISK),
            disks_pb2.LeftOutDisk(device_name="vdd", reason=reason_pb2.REASON_NO_SUCH_DISK),
        ],
    )
    image.MergeFrom(compute_pb2.Image(**changes))
    return image


CREATING = Build(
    IMAGE, BuildState.CREATING, START, ("vda", "vdb"), (LeftOut("vdc", "LOCAL_DISK"), LeftOut("vdd", "NO_SUCH_DISK"))
)


def created(
    *results: compute_pb2.Image | ServiceError | status_pb2.Status,
) -> image_service_pb2.BatchCreateImagesResponse:
    response = image_service_pb2.BatchCreateImagesResponse()
    for result in results:
        if isinstance(result, compute_pb2.Image):
            response.results.add(image=result)
        else:
            response.results.add(error=to_status(result) if isinstance(result, ServiceError) else result)
    return response


def create(compute: Compute, number: int = 1) -> list[Build | Refusal]:
    execution = an_execution(devices=("vda", "vdc"))
    tasks = [a_task(f"i-{index + 1}", execution) for index in range(number)]
    return compute.create_images(tasks, {execution.uid: execution}, LATEST)


@pytest.mark.rule("X1", "X6", "X8")
def test_a_build_is_asked_for_with_all_that_belongs_to_it(peer: Peer, compute: Compute) -> None:
    peer.answer = created(an_image(), an_image())
    daily = an_execution(devices=("vda", "vdc"))
    expiring = {"image_expire_time": START + 7 * SECOND}
    other = an_execution("weekly", account="other", region="cn-south-1", **expiring)
    first = a_task("i-1", daily)
    second = replace(a_task("i-2", other), instance="accounts/other/regions/cn-south-1/instances/i-2")
    compute.create_images([first, second], {daily.uid: daily, other.uid: other}, LATEST)
    assert peer.requests == [
        image_service_pb2.BatchCreateImagesRequest(
            parent="accounts/-/regions/-",
            requests=[
                image_service_pb2.CreateImageRequest(
                    parent=PLACE,
                    image=compute_pb2.Image(
                        display_name="auto-i-1-202603020800",
                        source_instance=instance_name("i-1"),
                        labels={"policy": POLICY, "execution": daily.name, "scheduled-time": "2026-03-02T08:00:00Z"},
                    ),
                    devices=["vda", "vdc"],
                    request_id=first.request_id,
                    not_after=to_proto(LATEST),
                ),
                image_service_pb2.CreateImageRequest(
                    parent="accounts/other/regions/cn-south-1",
                    image=compute_pb2.Image(
                        display_name="auto-i-2-202603020800",
                        source_instance=second.instance,
                        labels={
                            "policy": other.policy,
                            "execution": other.name,
                            "scheduled-time": "2026-03-02T08:00:00Z",
                        },
                        expire_time=to_proto(START + 7 * SECOND),
                    ),
                    request_id=second.request_id,
                    not_after=to_proto(LATEST),
                ),
            ],
        )
    ]


def test_images_come_with_their_disks(peer: Peer, compute: Compute) -> None:
    peer.answer = created(an_image(), an_image(state=compute_pb2.Image.STATE_AVAILABLE))
    assert create(compute, 2) == [CREATING, replace(CREATING, state=BuildState.AVAILABLE)]


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (reason_pb2.REASON_SNAPSHOT_FAILED, "SNAPSHOT_FAILED"),
        (reason_pb2.REASON_UNSPECIFIED, "COMPUTE_REFUSED"),
        (9999, "COMPUTE_REFUSED"),
    ],
)
def test_a_failed_image_comes_with_its_reason_if_this_version_knows_it(
    peer: Peer, compute: Compute, number: int, reason: str
) -> None:
    """A reason of a later version must not stop the others in the batch."""
    failed = an_image(state=compute_pb2.Image.STATE_ERROR)
    failed.reason = number  # type: ignore[assignment]
    peer.answer = created(failed, an_image())
    assert create(compute, 2) == [replace(CREATING, state=BuildState.ERROR, reason=reason), CREATING]


def test_a_disk_left_out_for_a_reason_of_a_later_version_is_left_out_for_none(peer: Peer, compute: Compute) -> None:
    image = an_image()
    image.left_out_disks[1].reason = 9999  # type: ignore[assignment]
    peer.answer = created(image)
    assert create(compute) == [replace(CREATING, left_out=(LeftOut("vdc", "LOCAL_DISK"), LeftOut("vdd", "")))]


@pytest.mark.rule("X3", "X4", "X5")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (QuotaExceeded("IMAGE_QUOTA_EXCEEDED", "5 of 5"), Refusal(Trouble.SKIP, "IMAGE_QUOTA_EXCEEDED")),
        (QuotaExceeded("SNAPSHOT_QUOTA_EXCEEDED", "15 of 15"), Refusal(Trouble.SKIP, "SNAPSHOT_QUOTA_EXCEEDED")),
        (FailedPrecondition("INSTANCE_BUSY", "busy"), Refusal(Trouble.BUSY, "INSTANCE_BUSY")),
        (FailedPrecondition("REQUEST_TOO_LATE", "late"), Refusal(Trouble.TOO_LATE, "REQUEST_TOO_LATE")),
        (FailedPrecondition("LOCAL_SYSTEM_DISK", "local"), Refusal(Trouble.PERMANENT, "LOCAL_SYSTEM_DISK")),
        (FailedPrecondition("OF_A_LATER_VERSION", "?"), Refusal(Trouble.PERMANENT, "COMPUTE_REFUSED")),
        (
            Unavailable("OVERLOADED", retry_after=timedelta(seconds=7)),
            Refusal(Trouble.TRANSIENT, "COMPUTE_UNAVAILABLE", timedelta(seconds=7)),
        ),
    ],
)
def test_refusals_of_single_builds_are_told_apart(
    peer: Peer, compute: Compute, error: ServiceError, expected: Refusal
) -> None:
    peer.answer = created(an_image(), error, an_image())
    assert create(compute, 3) == [CREATING, expected, CREATING]


@pytest.mark.rule("X3")
def test_exhaustion_without_our_details_is_never_a_quota(peer: Peer, compute: Compute) -> None:
    bare = status_pb2.Status(code=Code.RESOURCE_EXHAUSTED.value, message="image quota, honestly")
    peer.answer = created(bare)
    (found,) = create(compute)
    assert isinstance(found, Refusal)
    assert (found.trouble, found.reason) == (Trouble.TRANSIENT, "COMPUTE_UNAVAILABLE")


def test_images_are_looked_at_by_name_and_missing_ones_are_none(peer: Peer, compute: Compute) -> None:
    names = [f"{PLACE}/images/img-{number}" for number in range(3)]
    response = image_service_pb2.BatchGetImagesResponse()
    response.results.add(image=an_image())
    response.results.add(error=to_status(NotFound("image", names[1])))
    response.results.add(error=to_status(Unavailable("DATABASE_LOCKED", retry_after=SECOND)))
    peer.answer = response
    assert compute.get_images(names) == [CREATING, None, Refusal(Trouble.TRANSIENT, "COMPUTE_UNAVAILABLE", SECOND)]
    assert peer.requests == [image_service_pb2.BatchGetImagesRequest(parent="accounts/-/regions/-", names=names)]


KEPT = a_kept_image("img-kept")
OURS: dict[str, Any] = {
    "name": KEPT.name,
    "source_instance": KEPT.instance,
    "request_id": KEPT.request_id,
    "state": compute_pb2.Image.STATE_AVAILABLE,
    "etag": '"7"',
}


@pytest.mark.rule("X9")
@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({}, Condition.AVAILABLE),
        ({"deletion_protected": True}, Condition.AVAILABLE),
        ({"state": compute_pb2.Image.STATE_CREATING}, Condition.NOT_AVAILABLE),
        ({"state": compute_pb2.Image.STATE_ERROR}, Condition.NOT_AVAILABLE),
        ({"state": 99}, Condition.NOT_AVAILABLE),
        ({"request_id": uid("another")}, Condition.NOT_AVAILABLE),
        ({"request_id": ""}, Condition.NOT_AVAILABLE),
        ({"source_instance": instance_name("i-another")}, Condition.NOT_AVAILABLE),
        ({"etag": ""}, Condition.NOT_AVAILABLE),
    ],
)
def test_of_a_kept_image_only_what_is_known_to_be_ours_and_complete_is_available(
    peer: Peer, compute: Compute, changes: dict[str, Any], condition: Condition
) -> None:
    response = image_service_pb2.BatchGetImagesResponse()
    image = compute_pb2.Image(**OURS | changes)
    response.results.add(image=image)
    peer.answer = response
    assert compute.look_at([KEPT]) == [Seen(KEPT, condition, image.deletion_protected, image.etag)]
    assert peer.requests == [image_service_pb2.BatchGetImagesRequest(parent="accounts/-/regions/-", names=[KEPT.name])]


@pytest.mark.rule("X9")
def test_a_kept_image_is_gone_only_if_compute_says_so(peer: Peer, compute: Compute) -> None:
    others = [a_kept_image(f"img-{number}") for number in range(3)]
    response = image_service_pb2.BatchGetImagesResponse()
    response.results.add(error=to_status(NotFound("image", others[0].name)))
    response.results.add(error=to_status(Unavailable("DATABASE_LOCKED")))
    response.results.add()
    peer.answer = response
    gone, *unknown = compute.look_at(others)
    assert gone == Seen(others[0], Condition.GONE)
    assert unknown == [Seen(image, Condition.NOT_AVAILABLE) for image in others[1:]]


@pytest.mark.rule("X9")
@pytest.mark.parametrize(
    ("answer", "deletion"),
    [
        (empty_pb2.Empty(), Deletion.DELETED),
        (NotFound("image", KEPT.name), Deletion.GONE),
        (StaleEtag("image", KEPT.name), Deletion.REFUSED),
        (FailedPrecondition("IMAGE_PROTECTED", "protected"), Deletion.REFUSED),
        (FailedPrecondition("REQUEST_TOO_LATE", "late"), Deletion.TOO_LATE),
        (InternalError("1"), Deletion.FAILED),
    ],
)
def test_an_image_is_deleted_as_it_was_seen_and_in_time(
    peer: Peer, compute: Compute, answer: Answer, deletion: Deletion
) -> None:
    peer.answer = answer
    assert compute.delete_image(Seen(KEPT, Condition.AVAILABLE, etag='"7"'), LATEST) is deletion
    wanted = image_service_pb2.DeleteImageRequest(name=KEPT.name, etag='"7"', not_after=to_proto(LATEST))
    assert peer.requests == [wanted]


@pytest.mark.rule("X6")
def test_requests_are_resolved_to_an_image_or_to_none(peer: Peer, compute: Compute) -> None:
    tasks = [a_task("i-1"), a_task("i-2"), a_task("i-3")]
    response = image_service_pb2.ResolveImageRequestsResponse()
    response.results.add(image=an_image())
    response.results.add(refused=reason_pb2.REASON_REQUEST_RESOLVED)
    response.results.add(refused=reason_pb2.REASON_IMAGE_DELETED)
    peer.answer = response
    assert compute.resolve(tasks) == [CREATING, None, None]
    assert peer.requests == [
        image_service_pb2.ResolveImageRequestsRequest(
            requests=[
                image_service_pb2.ImageRequestReference(source_instance=task.instance, request_id=task.request_id)
                for task in tasks
            ]
        )
    ]


# The log service


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


# When they do not answer

CALLS: list[Callable[[Client], object]] = [
    lambda client: Policies(client).lease_triggers("host/1"),
    lambda client: Policies(client).acknowledge([uid(1)]),
    lambda client: Policies(client).filter_associated([a_task()]),
    lambda client: Policies(client).report_missing([a_task()]),
    lambda client: Policies(client).look_up_retentions([uid("daily")]),
    lambda client: create(Compute(client)),
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
