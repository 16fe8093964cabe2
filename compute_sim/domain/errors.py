"""The refusals of compute, besides those that every service has."""

from datetime import datetime

from servicekit.errors import FailedPrecondition, NotFound, QuotaExceeded


class InstanceNotFound(NotFound):
    """The instance that an image was to be made of does not exist."""

    reason = "INSTANCE_NOT_FOUND"

    def __init__(self, instance: str) -> None:
        super().__init__("instance", instance)


class InstanceBusy(FailedPrecondition):
    """An image of the instance is being built."""

    def __init__(self, instance: str, image: str) -> None:
        super().__init__(
            "INSTANCE_BUSY",
            f"an image of {instance} is being built; try again when it is done",
            subject=instance,
            metadata={"image": image},
        )


class InstanceInTransition(FailedPrecondition):
    """The instance is busy with something else than an image, as the simulation has it."""

    def __init__(self, instance: str) -> None:
        super().__init__("INSTANCE_BUSY", f"{instance} is in transition; try again later", subject=instance)


class LocalSystemDisk(FailedPrecondition):
    """The instance's system disk is local, so there is nothing to begin an image with (C2)."""

    def __init__(self, instance: str) -> None:
        super().__init__("LOCAL_SYSTEM_DISK", f"the system disk of {instance} is local", subject=instance)


class NoSystemDisk(FailedPrecondition):
    """The instance has no system disk attached (C2)."""

    def __init__(self, instance: str) -> None:
        super().__init__("NO_SYSTEM_DISK", f"{instance} has no system disk attached", subject=instance)


class RequestTooLate(FailedPrecondition):
    """The request arrived after its own `not_after`."""

    def __init__(self, instance: str, not_after: datetime) -> None:
        super().__init__(
            "REQUEST_TOO_LATE",
            "the request arrived after its not_after, nothing was built",
            subject=instance,
            metadata={"not_after": not_after.isoformat()},
        )


class RequestResolved(FailedPrecondition):
    """The request id was given up, and will never build an image."""

    def __init__(self, instance: str, request_id: str) -> None:
        super().__init__(
            "REQUEST_RESOLVED",
            f"request_id {request_id} was given up by ResolveImageRequests",
            subject=instance,
            metadata={"request_id": request_id},
        )


class ImageDeleted(FailedPrecondition):
    """The image that was built for this request id has been deleted since."""

    def __init__(self, image: str, request_id: str) -> None:
        super().__init__(
            "IMAGE_DELETED",
            f"the image of request_id {request_id} was deleted",
            subject=image,
            metadata={"request_id": request_id},
        )


class ImageProtected(FailedPrecondition):
    """A protected image is not deleted."""

    def __init__(self, image: str) -> None:
        super().__init__(
            "IMAGE_PROTECTED", f"{image} is protected; set deletion_protected to false to delete it", subject=image
        )


class ImageNotAvailable(FailedPrecondition):
    """Instances are made from complete images only (C6)."""

    def __init__(self, image: str, state: str) -> None:
        super().__init__(
            "IMAGE_NOT_AVAILABLE",
            f"{image} is not available, its state is {state}",
            subject=image,
            metadata={"state": state},
        )


class SnapshotInUse(FailedPrecondition):
    """A snapshot goes with the image that it is part of."""

    def __init__(self, snapshot: str, image: str) -> None:
        super().__init__(
            "SNAPSHOT_IN_USE",
            f"{snapshot} is part of {image}; delete the image",
            subject=snapshot,
            metadata={"image": image},
        )


class InstanceRunning(FailedPrecondition):
    """The system disk of an instance is changed while it is stopped."""

    def __init__(self, instance: str) -> None:
        super().__init__("INSTANCE_RUNNING", f"{instance} is running; stop it first", subject=instance)


class DiskConflict(FailedPrecondition):
    """The instance has a disk of that name, or as many as it may have."""

    def __init__(self, instance: str, why: str) -> None:
        super().__init__("DISK_CONFLICT", f"{instance} {why}", subject=instance)


_QUOTA_REASONS = {
    "images": "IMAGE_QUOTA_EXCEEDED",
    "snapshots": "SNAPSHOT_QUOTA_EXCEEDED",
    "instances": "INSTANCE_QUOTA_EXCEEDED",
    "disks": "DISK_QUOTA_EXCEEDED",
}


class QuotaUsedUp(QuotaExceeded):
    """The quota does not suffice; nothing was taken of it."""

    def __init__(self, kind: str, quota: str, *, limit: int, used: int, wanted: int) -> None:
        super().__init__(
            _QUOTA_REASONS[kind],
            f"the {kind} quota allows {limit}, {used} exist, {wanted} more were asked for",
            subject=quota,
            metadata={"limit": str(limit), "used": str(used), "wanted": str(wanted)},
        )
