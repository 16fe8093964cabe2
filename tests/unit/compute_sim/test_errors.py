"""What each refusal of compute tells a program."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from compute_sim.domain.errors import (
    DiskConflict,
    ImageDeleted,
    ImageNotAvailable,
    ImageProtected,
    InstanceBusy,
    InstanceInTransition,
    InstanceNotFound,
    InstanceRunning,
    LocalSystemDisk,
    NoSystemDisk,
    QuotaUsedUp,
    RequestResolved,
    RequestTooLate,
    SnapshotInUse,
)
from servicekit.errors import Code, ServiceError
from tests.support.told import told

PLACE = "accounts/acme/regions/cn-north-1"
INSTANCE, IMAGE, SNAPSHOT = f"{PLACE}/instances/web", f"{PLACE}/images/img-1", f"{PLACE}/snapshots/snapshot-1"
ID = "123e4567-e89b-42d3-a456-426614174000"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "arguments", "reason", "metadata", "subject"),
    [
        (InstanceBusy, [INSTANCE, IMAGE], "INSTANCE_BUSY", {"image": IMAGE}, INSTANCE),
        (InstanceInTransition, [INSTANCE], "INSTANCE_BUSY", {}, INSTANCE),
        (LocalSystemDisk, [INSTANCE], "LOCAL_SYSTEM_DISK", {}, INSTANCE),
        (NoSystemDisk, [INSTANCE], "NO_SYSTEM_DISK", {}, INSTANCE),
        (RequestTooLate, [INSTANCE, NOON], "REQUEST_TOO_LATE", {"not_after": "2026-03-02T12:00:00+00:00"}, INSTANCE),
        (RequestResolved, [INSTANCE, ID], "REQUEST_RESOLVED", {"request_id": ID}, INSTANCE),
        (ImageDeleted, [IMAGE, ID], "IMAGE_DELETED", {"request_id": ID}, IMAGE),
        (ImageProtected, [IMAGE], "IMAGE_PROTECTED", {}, IMAGE),
        (ImageNotAvailable, [IMAGE, "ERROR"], "IMAGE_NOT_AVAILABLE", {"state": "ERROR"}, IMAGE),
        (SnapshotInUse, [SNAPSHOT, IMAGE], "SNAPSHOT_IN_USE", {"image": IMAGE}, SNAPSHOT),
        (InstanceRunning, [INSTANCE], "INSTANCE_RUNNING", {}, INSTANCE),
        (DiskConflict, [INSTANCE, "has vdb already"], "DISK_CONFLICT", {}, INSTANCE),
    ],
)
def test_a_rule_that_the_state_breaks(
    kind: Callable[..., ServiceError], arguments: list[Any], reason: str, metadata: dict[str, str], subject: str
) -> None:
    assert told(kind(*arguments)) == (Code.FAILED_PRECONDITION, reason, metadata, ((reason, subject),))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("images", "IMAGE_QUOTA_EXCEEDED"),
        ("snapshots", "SNAPSHOT_QUOTA_EXCEEDED"),
        ("instances", "INSTANCE_QUOTA_EXCEEDED"),
        ("disks", "DISK_QUOTA_EXCEEDED"),
    ],
)
def test_a_quota_that_is_used_up(kind: str, reason: str) -> None:
    error = QuotaUsedUp(kind, f"{PLACE}/quotas/{kind}", limit=5, used=4, wanted=2)
    metadata = {"limit": "5", "used": "4", "wanted": "2"}
    assert told(error) == (Code.RESOURCE_EXHAUSTED, reason, metadata, (f"{PLACE}/quotas/{kind}",))


def test_an_instance_that_is_not_there() -> None:
    error = InstanceNotFound(INSTANCE)
    assert told(error) == (Code.NOT_FOUND, "INSTANCE_NOT_FOUND", {"name": INSTANCE}, (("instance", INSTANCE),))
