"""The one typed error of the suite: raised anywhere, sent by `@rpc`, raised again by the caller's client."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta


class Code(enum.Enum):
    """The canonical codes; the values are those of google.rpc.Code."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field: its path in the request (`requests[3].parent`), and what is wanted.

    `reason` is INVALID_FIELD, or the name of a Reason of the contract.
    """

    field: str
    description: str
    reason: str = "INVALID_FIELD"


@dataclass(frozen=True)
class Precondition:
    """The rule that the present state breaks: its type, the resource that breaks it, and what to do about it."""

    type: str
    subject: str
    description: str


@dataclass(frozen=True)
class QuotaViolation:
    """The limit that is reached (its resource name), and how far."""

    subject: str
    description: str


@dataclass(frozen=True)
class ResourceRef:
    """The resource that an error is about: type (`policy`) and full name."""

    type: str
    name: str


class ServiceError(Exception):
    """What a caller is told: a canonical code, a reason of the contract, metadata for programs, a message for people.

    Subclasses say `code` and `reason` once, as class attributes; a reason given here wins.
    """

    code: Code = Code.UNKNOWN
    reason: str = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        precondition: Precondition | None = None,
        quota: QuotaViolation | None = None,
        resource: ResourceRef | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations = tuple(violations)
        self.precondition = precondition
        self.quota = quota
        self.resource = resource
        self.retry_after = retry_after

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code.name}, {self.reason}, {self.message!r}, {self.metadata})"


class InvalidArgument(ServiceError):
    """The request is wrong whatever the state is; carries every violation.

    The reason is the violations' own when all share one other than INVALID_FIELD, else INVALID_ARGUMENT.
    """

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(self, violations: Iterable[FieldViolation], *, metadata: Mapping[str, str] | None = None) -> None:
        found = tuple(violations)
        reasons = {violation.reason for violation in found} - {"INVALID_FIELD"}
        shared = len(reasons) == 1 and all(violation.reason in reasons for violation in found)
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in found[:3])
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        super().__init__(
            f"invalid request: {text}{more}",
            reason=reasons.pop() if shared else None,
            metadata=metadata,
            violations=found,
        )


class PermissionDenied(ServiceError):
    """The caller is known, and may not do this."""

    code = Code.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class NotFound(ServiceError):
    """There is no resource of this name."""

    code = Code.NOT_FOUND
    reason = "RESOURCE_NOT_FOUND"

    def __init__(self, type: str, name: str) -> None:
        super().__init__(f"{type} {name} does not exist", metadata={"name": name}, resource=ResourceRef(type, name))


class AlreadyExists(ServiceError):
    """The id, or another thing that must be unique, is taken."""

    code = Code.ALREADY_EXISTS
    reason = "RESOURCE_EXISTS"

    def __init__(self, type: str, name: str) -> None:
        super().__init__(f"{type} {name} exists already", metadata={"name": name}, resource=ResourceRef(type, name))


class RequestIdReused(ServiceError):
    """The request id was used within the last 24 hours for a request with another body."""

    code = Code.ALREADY_EXISTS
    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id} was used for a different request; use a new one",
            metadata={"request_id": request_id},
        )


class Aborted(ServiceError):
    """A concurrent change came first; read again and decide anew."""

    code = Code.ABORTED
    reason = "ABORTED"


class StaleEtag(Aborted):
    """The etag is not that of the stored resource."""

    reason = "STALE_ETAG"

    def __init__(self, type: str, name: str) -> None:
        super().__init__(
            f"{type} {name} was changed meanwhile; read it again",
            metadata={"name": name},
            resource=ResourceRef(type, name),
        )


class FailedPrecondition(ServiceError):
    """The present state does not allow it. `subject` is the full name of what stands in the way."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"

    def __init__(
        self, reason: str, message: str, *, subject: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, precondition=Precondition(reason, subject, message))


class QuotaExceeded(ServiceError):
    """A limit of ours is reached. `subject` is the full name of what is limited."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "QUOTA_EXCEEDED"

    def __init__(
        self, reason: str, message: str, *, subject: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, quota=QuotaViolation(subject, message))


class Unavailable(ServiceError):
    """Not now; the same request may succeed after `retry_after`."""

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        retry_after: timedelta = timedelta(seconds=1),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or f"unavailable: {reason}", reason=reason, retry_after=retry_after, metadata=metadata)


class DatabaseUnavailable(Unavailable):
    """The database cannot serve now. DATABASE_LOCKED, DATABASE_READ_ONLY, DATABASE_FULL or DATABASE_UNAVAILABLE."""

    reason = "DATABASE_UNAVAILABLE"


class InternalError(ServiceError):
    """A bug. The id stands beside the full story in this service's log; the story is never sent."""

    code = Code.INTERNAL
    reason = "INTERNAL"

    def __init__(self, error_id: str) -> None:
        super().__init__(f"internal error {error_id}", metadata={"error_id": error_id})
