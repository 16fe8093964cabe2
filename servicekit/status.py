"""ServiceError ↔ google.rpc.Status with details, and what a failed call becomes at its caller."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2 as details_pb2
from google.rpc import status_pb2

from servicekit import errors
from servicekit.errors import Code, FieldViolation, ServiceError

DOMAIN = "autoimage"
DETAILS_KEY = "grpc-status-details-bin"

# Everything below travels in one trailer, base64 encoded, beside the message, percent encoded. From about 8 KB of
# trailers clients receive RESOURCE_EXHAUSTED instead, at random.
_MAX_VIOLATIONS = 20
_MAX_VIOLATIONS_BYTES = 4096
_MAX_STATUS_BYTES = 5000
_MAX_MESSAGE_BYTES = 250
_MAX_TEXT_BYTES = 450
_MAX_METADATA_BYTES = 600
_COUNT_RESERVE_BYTES = 64

_TRANSPORT = frozenset(
    {
        Code.CANCELLED,
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.RESOURCE_EXHAUSTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
    }
)
_CLASSES: dict[Code, type[ServiceError]] = {
    Code.INVALID_ARGUMENT: errors.InvalidArgument,
    Code.NOT_FOUND: errors.NotFound,
    Code.PERMISSION_DENIED: errors.PermissionDenied,
    Code.ALREADY_EXISTS: errors.AlreadyExists,
    Code.ABORTED: errors.Aborted,
    Code.FAILED_PRECONDITION: errors.FailedPrecondition,
    Code.RESOURCE_EXHAUSTED: errors.QuotaExceeded,
    Code.INTERNAL: errors.InternalError,
    Code.UNAVAILABLE: errors.Unavailable,
}
_CLASSES_BY_REASON: dict[str, type[ServiceError]] = {
    kind.reason: kind for kind in (errors.RequestIdReused, errors.StaleEtag)
}
D = TypeVar("D", bound=Message)


def to_status(error: ServiceError) -> status_pb2.Status:
    """The error as it is sent: always with ErrorInfo, with what else it carries, and within 5,000 bytes.

    At most 20 violations in at most 4 KiB; what does not fit is counted in the last one. Longer texts are cut.
    """
    status = status_pb2.Status(code=error.code.value, message=_cut(error.message, _MAX_MESSAGE_BYTES))
    for detail in _details(error):
        status.details.add().Pack(detail)
    if error.violations:
        room = min(_MAX_VIOLATIONS_BYTES, _MAX_STATUS_BYTES - status.ByteSize())
        status.details.add().Pack(_bad_request(error.violations, room))
    return status


def _details(error: ServiceError) -> Iterable[Message]:
    yield details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_bounded(error.metadata))
    if error.precondition is not None:
        broken = error.precondition
        yield details_pb2.PreconditionFailure(
            violations=[
                details_pb2.PreconditionFailure.Violation(
                    type=broken.type,
                    subject=_cut(broken.subject, _MAX_TEXT_BYTES),
                    description=_cut(broken.description, _MAX_MESSAGE_BYTES),
                )
            ]
        )
    if error.quota is not None:
        yield details_pb2.QuotaFailure(
            violations=[
                details_pb2.QuotaFailure.Violation(
                    subject=_cut(error.quota.subject, _MAX_TEXT_BYTES),
                    description=_cut(error.quota.description, _MAX_MESSAGE_BYTES),
                )
            ]
        )
    if error.resource is not None:
        yield details_pb2.ResourceInfo(
            resource_type=error.resource.type, resource_name=_cut(error.resource.name, _MAX_TEXT_BYTES)
        )
    if error.retry_after is not None:
        info = details_pb2.RetryInfo()
        info.retry_delay.FromTimedelta(error.retry_after)
        yield info


def _bad_request(violations: tuple[FieldViolation, ...], room: int) -> details_pb2.BadRequest:
    """As many violations as fit, in order; if not all fit, the last one counts the rest."""
    request = details_pb2.BadRequest()
    for sent, violation in enumerate(violations):
        request.field_violations.add(
            field=_cut(violation.field, _MAX_TEXT_BYTES),
            description=_cut(violation.description, _MAX_TEXT_BYTES),
            reason=violation.reason,
        )
        is_last = sent + 1 == len(violations)
        full = len(request.field_violations) == _MAX_VIOLATIONS and not is_last
        reserve = 0 if is_last else _COUNT_RESERVE_BYTES
        if full or request.ByteSize() + reserve > room:
            request.field_violations.pop()
            request.field_violations.add(description=f"and {len(violations) - sent} more")
            break
    return request


def _bounded(metadata: dict[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = _MAX_METADATA_BYTES
    for key, value in metadata.items():
        short = _cut(value, _MAX_TEXT_BYTES)
        room -= len(key) + len(short.encode())
        if room < 0:
            break
        kept[key] = short
    return kept


def _cut(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[: limit - 3].decode("utf-8", "ignore") + "…"


def from_status(status: status_pb2.Status) -> ServiceError:
    """The typed error that `to_status` was given. Without our ErrorInfo it came from the transport: see `_foreign`."""
    found = {detail.type_url.rpartition(".")[2]: detail for detail in status.details}

    def unpacked(kind: type[D]) -> D:
        message = kind()
        if kind.DESCRIPTOR.name in found:
            found[kind.DESCRIPTOR.name].Unpack(message)
        return message

    info = unpacked(details_pb2.ErrorInfo)
    code = _code(status.code)
    if info.domain != DOMAIN:
        return _foreign(code, status.message)
    kind = _CLASSES_BY_REASON.get(info.reason) or _CLASSES.get(code, ServiceError)
    error = kind.__new__(kind)
    retry = unpacked(details_pb2.RetryInfo)
    ServiceError.__init__(
        error,
        status.message,
        reason=info.reason,
        metadata=dict(sorted(info.metadata.items())),  # a map has no order of its own
        violations=[
            FieldViolation(wrong.field, wrong.description, wrong.reason)
            for wrong in unpacked(details_pb2.BadRequest).field_violations
        ],
        precondition=_precondition(unpacked(details_pb2.PreconditionFailure)),
        quota=_quota(unpacked(details_pb2.QuotaFailure)),
        resource=_resource(unpacked(details_pb2.ResourceInfo)),
        retry_after=retry.retry_delay.ToTimedelta() if "RetryInfo" in found else None,
    )
    error.code = code
    return error


def _code(number: int) -> Code:
    try:
        return Code(number)
    except ValueError:
        return Code.UNKNOWN


def _foreign(code: Code, message: str) -> ServiceError:
    """Not from a servicer of ours. Retryable where the transport can have failed; else a bug or a wrong address."""
    if code in _TRANSPORT:
        return errors.Unavailable("TRANSPORT", f"{code.name}: {message}", retry_after=timedelta(seconds=1))
    error = ServiceError(message, reason=code.name)
    error.code = code
    return error


def _precondition(failure: details_pb2.PreconditionFailure) -> errors.Precondition | None:
    for broken in failure.violations:
        return errors.Precondition(broken.type, broken.subject, broken.description)
    return None


def _quota(failure: details_pb2.QuotaFailure) -> errors.QuotaViolation | None:
    for broken in failure.violations:
        return errors.QuotaViolation(broken.subject, broken.description)
    return None


def _resource(info: details_pb2.ResourceInfo) -> errors.ResourceRef | None:
    return errors.ResourceRef(info.resource_type, info.resource_name) if info.resource_name else None


def from_rpc_error(error: grpc.RpcError) -> ServiceError:
    """What a failed call means to its caller. A CANCELLED not asked for here is retryable, like a lost connection."""
    call: Any = error  # what a stub raises is a grpc.Call too
    code = Code[call.code().name]
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY:
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    return _foreign(code, call.details() or "")
