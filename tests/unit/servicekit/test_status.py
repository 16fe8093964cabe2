import random
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details_pb2
from google.rpc import status_pb2

from servicekit import errors
from servicekit.errors import Code, FieldViolation, InvalidArgument, ServiceError
from servicekit.status import DETAILS_KEY, from_rpc_error, from_status, to_status
from tests.support import error_of, running_server
from tests.unit.servicekit.example import NAME, GetBookRequest, ShelfServicer, ShelfStub, registration

EVERY_ERROR = [
    InvalidArgument([FieldViolation("a.b", "is wrong"), FieldViolation("c", "is required", "OTHER")]),
    errors.PermissionDenied("not you", metadata={"account": "acme"}),
    errors.NotFound("policy", NAME),
    errors.AlreadyExists("policy", NAME),
    errors.RequestIdReused("123e4567-e89b-42d3-a456-426614174000"),
    errors.Aborted("another came first"),
    errors.StaleEtag("policy", NAME),
    errors.FailedPrecondition("INSTANCE_BUSY", "it is busy", subject=NAME, metadata={"instance": NAME}),
    errors.QuotaExceeded("IMAGE_QUOTA_EXCEEDED", "5 of 5 used", subject=NAME, metadata={"limit": "5"}),
    errors.Unavailable("OVERLOADED", "come later", retry_after=timedelta(milliseconds=1500)),
    errors.InternalError("e-1"),
    ServiceError("说明", reason="SOMETHING", metadata={"键": "值"}),
]


def _attributes(error: ServiceError) -> dict[str, Any]:
    return {"code": error.code, "text": str(error), **vars(error)}


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_every_error_survives_the_way_there_and_back(error: ServiceError) -> None:
    back = from_status(to_status(error))
    want = _attributes(error)
    assert _attributes(back) == {**want, "reason": error.reason}
    assert type(back) is type(error)


def test_error_info_is_always_there() -> None:
    for error in EVERY_ERROR:
        info = details_pb2.ErrorInfo()
        assert to_status(error).details[0].Unpack(info)
        assert (info.reason, info.domain, dict(info.metadata)) == (error.reason, "autoimage", error.metadata)


def _bad_request(violations: list[FieldViolation]) -> details_pb2.BadRequest:
    found = details_pb2.BadRequest()
    assert to_status(InvalidArgument(violations)).details[-1].Unpack(found)
    return found


def test_twenty_violations_are_all_told() -> None:
    found = _bad_request([FieldViolation(f"f{number}", "wrong") for number in range(20)])
    assert [violation.field for violation in found.field_violations] == [f"f{number}" for number in range(20)]


def test_of_more_than_twenty_violations_the_rest_is_counted_in_the_last() -> None:
    found = _bad_request([FieldViolation(f"f{number}", "wrong") for number in range(21)])
    assert [violation.field for violation in found.field_violations[:-1]] == [f"f{number}" for number in range(19)]
    assert found.field_violations[-1].description == "and 2 more"


def test_violations_that_do_not_fit_into_four_kib_are_counted() -> None:
    found = _bad_request([FieldViolation(f"f{number}", "长" * 100) for number in range(20)])
    assert found.ByteSize() <= 4096
    told = len(found.field_violations) - 1
    assert told > 10
    assert found.field_violations[-1].description == f"and {20 - told} more"


def test_any_error_is_small_enough_for_a_trailer_and_a_long_text_is_cut_between_characters() -> None:
    chance = random.Random(5)
    for _ in range(200):
        text = "".join(chance.choices("aé长😀", k=chance.randrange(2000)))
        error = ServiceError(
            text,
            metadata={str(key): text for key in range(5)},
            violations=[FieldViolation(text, text)] * chance.randrange(40),
            precondition=errors.Precondition("T", text, text),
            resource=errors.ResourceRef("t", text),
            retry_after=timedelta(1),
        )
        status = to_status(error)
        assert status.ByteSize() <= 5100  # about 6,800 in base64, and the message percent encoded beside it
        assert "�" not in str(status)


def test_the_largest_error_arrives_whole() -> None:
    error = ServiceError(
        "长" * 500,
        metadata={str(key): "x" * 500 for key in range(5)},
        violations=[FieldViolation("f" * 500, "长" * 500)] * 100,
        precondition=errors.Precondition("T", "s" * 500, "长" * 500),
        resource=errors.ResourceRef("t", "n" * 500),
    )
    error.code = Code.FAILED_PRECONDITION
    error.reason = "SOMETHING"

    def act(_request: object) -> object:
        raise error

    with running_server(registration(ShelfServicer(act))) as channel:
        arrived = [error_of(ShelfStub(channel).GetBook, GetBookRequest(name=NAME)) for _ in range(50)]
    assert {error.reason for error in arrived} == {"SOMETHING"}
    assert to_status(arrived[0]) == to_status(from_status(to_status(error)))


class _Failure(grpc.RpcError):
    """What a stub raises, as far as anyone looks at it."""

    def __init__(self, code: grpc.StatusCode, trailer: bytes | None = None) -> None:
        self._code = code
        self._trailer = trailer

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "connection lost"

    def trailing_metadata(self) -> Any:
        return None if self._trailer is None else ((DETAILS_KEY, self._trailer),)


@pytest.mark.parametrize(
    "name", ["CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE"]
)
def test_what_the_transport_alone_can_say_is_unavailable_and_to_be_repeated(name: str) -> None:
    error = from_rpc_error(_Failure(grpc.StatusCode[name]))
    assert isinstance(error, errors.Unavailable)
    assert (error.reason, error.message) == ("TRANSPORT", f"{name}: connection lost")
    assert error.retry_after == timedelta(seconds=1)


@pytest.mark.parametrize("name", ["UNIMPLEMENTED", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"])
def test_another_code_without_our_details_is_not_to_be_repeated(name: str) -> None:
    error = from_rpc_error(_Failure(grpc.StatusCode[name]))
    assert type(error) is ServiceError
    assert (error.code, error.reason) == (Code[name], name)


def test_details_of_another_domain_or_garbled_ones_are_the_transport_s() -> None:
    foreign = status_pb2.Status(code=8, message="throttled")
    foreign.details.add().Pack(details_pb2.ErrorInfo(reason="QUOTA", domain="elsewhere"))
    for trailer in (foreign.SerializeToString(), b"\xff\xff\xff", b""):
        error = from_rpc_error(_Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, trailer))
        assert error.reason in ("TRANSPORT", "UNKNOWN")
        assert isinstance(error, errors.Unavailable)


def test_an_unknown_code_number_is_unknown() -> None:
    status = to_status(errors.NotFound("t", "n"))
    status.code = 99
    assert from_status(status).code is Code.UNKNOWN
