"""The adapter to compute, against a server that speaks the real contract and answers as told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from autoimage.compute.v1 import compute_pb2, image_service_pb2
from autoimage.type.v1 import disks_pb2, reason_pb2
from scheduler_service.domain.retention import Condition, Seen
from scheduler_service.domain.tasks import Build, BuildState, LeftOut, Refusal, Trouble
from scheduler_service.peers.compute import Compute, Deletion
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
from servicekit.status import to_status
from servicekit.timestamps import to_proto
from tests.support import START
from tests.support.scheduler_peers import Answer, Peer
from tests.support.scheduler_values import IMAGE, PLACE, a_kept_image, a_task, an_execution, instance_name, uid

SECOND = timedelta(seconds=1)
POLICY = f"{PLACE}/policies/daily"
LATEST = START + timedelta(seconds=30, microseconds=1)


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
