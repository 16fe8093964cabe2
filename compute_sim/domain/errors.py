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
