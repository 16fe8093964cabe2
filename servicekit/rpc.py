"""The boundary of every servicer method: checks the request, runs the method, turns errors into statuses, and logs."""

import contextlib
import functools
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, NoReturn, TypeVar, cast

import grpc
import structlog
from google.protobuf.message import Message

from servicekit import behavior, calls, status
from servicekit import regions as region_rules
from servicekit.errors import Code, FieldViolation, InternalError, InvalidArgument, ServiceError

_LOG = structlog.get_logger("servicekit.rpc")
_UPDATED = re.compile(r"(?<!^)(?=[A-Z])")
_READS = ("Get", "List", "BatchGet", "Preview")

S = TypeVar("S")
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Context = grpc.ServicerContext
Validator = Callable[[Request], Iterable[FieldViolation]]


def rpc(
    validator: Validator[Request] | None = None, *, audit: bool | None = None, per_item: str = ""
) -> Callable[[Callable[[S, Request, Context], Response]], Callable[[S, Request, Context], Response]]:
    """Makes a unary servicer method safe to serve; one without it cannot be registered.

    Before the method: the contract's field behavior, the regions in `self.regions`, and `validator`, all violations at
    once. A batch method that answers each item by itself names their field in `per_item`: then only whether it is empty
    is looked at here, and the method looks at each item with `violations`. The field `shelf_mark` of a request for
    `UpdateShelfMark`, and single messages inside it, may lack fields of their own: it says what to change.

    If the servicer has `admit`, a method that is not a Get, List or Preview is not run before that was given the
    account of the first resource name in the request; it raises if that account may change nothing.

    After it: a ServiceError goes out with its details, any other exception as INTERNAL with an id and never its text.
    One `rpc` line is logged per failure and, unless `audit` says otherwise, per success of a method that is not a Get,
    List or Preview.
    """

    def decorate(method: Callable[[S, Request, Context], Response]) -> Callable[[S, Request, Context], Response]:
        name = method.__name__
        create = name.startswith(("Create", "BatchCreate"))
        updated = _UPDATED.sub("_", name.removeprefix("Update")).lower() if name.startswith("Update") else ""
        violations_of = functools.partial(
            violations, validator=validator, create=create, per_item=per_item, partial=updated
        )
        changes = not name.startswith(_READS)
        audited = changes if audit is None else audit

        @functools.wraps(method)
        def serve(self: S, request: Request, context: Context) -> Response:
            with serving(self, name, request, context):
                started = time.perf_counter()
                try:
                    check(self, request, violations_of)
                    if changes:
                        _admit(self, request)
                    response = method(self, request, context)
                except Exception as error:  # noqa: BLE001 - a bug: whatever it is, its text stays here
                    failure = failure_of(error)
                else:
                    if audited:
                        log_success(request, response, started)
                    return response
                log_failure(request, failure, started)
            refuse(context, failure)

        serve.is_rpc = True  # type: ignore[attr-defined]
        return serve

    return decorate


def is_rpc(method: object) -> bool:
    """Whether `@rpc` guards this servicer method."""
    return getattr(method, "is_rpc", False)


def refuse(context: Context, error: ServiceError) -> NoReturn:
    """Ends the call with the error. Sets the trailer by hand: grpcio-testing has no `abort_with_status`."""
    context.abort(*prepare_refusal(context, error))
    raise AssertionError("abort returned")


def prepare_refusal(context: Context, error: ServiceError) -> tuple[grpc.StatusCode, str]:
    """Sets the trailer of a call that is to end with the error; its code and message."""
    sent = status.to_status(error)
    context.set_trailing_metadata(((status.DETAILS_KEY, sent.SerializeToString()),))
    return grpc.StatusCode[error.code.name], sent.message


@contextlib.contextmanager
def serving(servicer: object, method: str, request: Message, context: Context) -> Iterator[None]:
    """Within the block, log lines and calls made tell which call they are for."""
    request_id = calls.request_id_of(context.invocation_metadata())
    with (
        structlog.contextvars.bound_contextvars(
            request_id=request_id, method=full_name(cast("type", type(servicer)), method), account=_account(request)
        ),
        calls.serving(request_id, context.time_remaining()),
    ):
        yield


def failure_of(error: Exception) -> ServiceError:
    """What the caller is told of the exception being handled: a bug is logged, and its text stays here."""
    if isinstance(error, ServiceError):
        return error
    failure = InternalError(uuid.uuid4().hex)
    _LOG.exception("internal_error", **failure.metadata, exc_info=error)
    return failure


def violations(
    message: Request,
    validator: Validator[Request] | None,
    *,
    regions: Collection[str],
    create: bool,
    path: str = "",
    per_item: str = "",
    partial: str = "",
) -> list[FieldViolation]:
    """All that is wrong with a request, or with an item of a batch: `path` (`requests[3].`) begins each field's name.

    `validator` names fields from the message on, and is not heard about fields of which something was told already.
    For `per_item` and `partial` see `behavior.violations`.
    """
    found = behavior.violations(message, create=create, path=path, items=per_item, partial=partial)
    found += region_rules.violations(message, regions, path=path, items=per_item)
    if validator is not None:
        told = {violation.field for violation in found}
        own = [replace(violation, field=path + violation.field) for violation in validator(message)]
        found += [violation for violation in own if violation.field not in told]
    return found


def invalid(found: Iterable[FieldViolation], regions: Collection[str]) -> InvalidArgument:
    """The error for these violations; where the region is all that is wrong, it tells which are served."""
    error = InvalidArgument(found)
    if error.reason == region_rules.REASON:
        error.metadata["regions"] = ",".join(sorted(regions))
    return error


def check(servicer: object, request: Message, violations_of: Callable[..., list[FieldViolation]]) -> None:
    """Raises InvalidArgument with all that `violations_of` finds."""
    served: Collection[str] = servicer.regions  # type: ignore[attr-defined] # whoever lacks them cannot be registered
    found = violations_of(request, regions=served)
    if found:
        raise invalid(found, served)


@functools.cache
def full_name(servicer: type, method: str) -> str:
    """As the contract names it, `PolicyService/GetPolicy`."""
    for base in servicer.__mro__:
        if base.__module__.endswith("_pb2_grpc") and base.__name__.endswith("Servicer"):
            return f"{base.__name__.removesuffix('Servicer')}/{method}"
    return f"{servicer.__name__}/{method}"


def _resource(message: Any) -> str:
    """The name that a message is about: its own, else its parent's, else the first it holds, else none."""
    names = (getattr(message, field) for field in _name_fields(message.DESCRIPTOR))
    return next((name[:500] for name in names if name), "")


_name_fields = functools.cache(region_rules.name_fields)


def _admit(servicer: object, request: Message) -> None:
    admit = getattr(servicer, "admit", None)
    if admit is not None:
        admit(_account(request))


def _account(request: Message) -> str:
    parts = region_rules.first_name(request).split("/", 2)
    return parts[1][:63] if len(parts) > 1 and parts[0] == "accounts" else ""


def log_success(request: Message, response: Message, started: float) -> None:
    _LOG.info(
        "rpc", code="OK", resource=_resource(response) or _resource(request), milliseconds=_milliseconds_since(started)
    )


def log_failure(request: Message, failure: ServiceError, started: float) -> None:
    _LOG.log(
        _LEVELS.get(failure.code, _INFO),
        "rpc",
        code=failure.code.name,
        reason=failure.reason,
        message=failure.message,
        resource=_resource(request),
        milliseconds=_milliseconds_since(started),
    )


_INFO, _WARNING, _ERROR = 20, 30, 40
_LEVELS = {Code.INTERNAL: _ERROR, Code.UNAVAILABLE: _WARNING}


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
