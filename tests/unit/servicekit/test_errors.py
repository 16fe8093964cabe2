from datetime import timedelta

import pytest
from google.rpc import code_pb2

from servicekit import errors
from servicekit.errors import Code, FieldViolation, InvalidArgument, ServiceError

NAME = "accounts/acme/regions/cn-north-1/policies/p"


def test_codes_have_the_numbers_of_google_rpc() -> None:
    assert {code.name: code.value for code in Code} == {
        name: number for name, number in code_pb2.Code.items() if name != "OK"
    }


@pytest.mark.parametrize(
    ("reasons", "reason"),
    [
        (["INVALID_FIELD"], "INVALID_ARGUMENT"),
        (["REGION_NOT_SERVED"], "REGION_NOT_SERVED"),
        (["REGION_NOT_SERVED", "REGION_NOT_SERVED"], "REGION_NOT_SERVED"),
        (["REGION_NOT_SERVED", "INVALID_FIELD"], "INVALID_ARGUMENT"),
        (["REGION_NOT_SERVED", "PAGE_TOKEN_INVALID"], "INVALID_ARGUMENT"),
        ([], "INVALID_ARGUMENT"),
    ],
)
def test_the_reason_of_an_invalid_request_is_what_all_its_violations_share(reasons: list[str], reason: str) -> None:
    error = InvalidArgument(FieldViolation("f", "wrong", each) for each in reasons)
    assert error.reason == reason
    assert len(error.violations) == len(reasons)


def test_the_message_of_an_invalid_request_tells_three_violations_and_counts_the_rest() -> None:
    assert str(InvalidArgument([FieldViolation(field, "wrong") for field in "abc"])) == (
        "invalid request: a: wrong; b: wrong; c: wrong"
    )
    assert str(InvalidArgument([FieldViolation(field, "wrong") for field in "abcde"])) == (
        "invalid request: a: wrong; b: wrong; c: wrong; and 2 more"
    )


def test_what_each_error_tells() -> None:
    told = [
        (error.code.name, error.reason, error.message, error.metadata)
        for error in (
            errors.NotFound("policy", NAME),
            errors.AlreadyExists("policy", NAME),
            errors.StaleEtag("policy", NAME),
            errors.RequestIdReused("id"),
            errors.Unavailable("OVERLOADED"),
            errors.InternalError("e-1"),
        )
    ]
    assert told == [
        ("NOT_FOUND", "RESOURCE_NOT_FOUND", f"policy {NAME} does not exist", {"name": NAME}),
        ("ALREADY_EXISTS", "RESOURCE_EXISTS", f"policy {NAME} exists already", {"name": NAME}),
        ("ABORTED", "STALE_ETAG", f"policy {NAME} was changed meanwhile; read it again", {"name": NAME}),
        (
            "ALREADY_EXISTS",
            "REQUEST_ID_REUSED",
            "request_id id was used for a different request; use a new one",
            {"request_id": "id"},
        ),
        ("UNAVAILABLE", "OVERLOADED", "unavailable: OVERLOADED", {}),
        ("INTERNAL", "INTERNAL", "internal error e-1", {"error_id": "e-1"}),
    ]


def test_an_unavailable_says_when_to_come_again() -> None:
    assert errors.Unavailable("OVERLOADED").retry_after == timedelta(seconds=1)
    assert errors.DatabaseUnavailable("DATABASE_FULL", retry_after=timedelta(5)).retry_after == timedelta(5)


def test_a_reason_given_wins_over_that_of_the_class_and_leaves_the_class_alone() -> None:
    assert ServiceError("text", reason="OTHER").reason == "OTHER"
    assert ServiceError("text").reason == "UNKNOWN"
    assert repr(errors.QuotaExceeded("IMAGE_QUOTA_EXCEEDED", "5 of 5", metadata={"limit": "5"})) == (
        "QuotaExceeded(RESOURCE_EXHAUSTED, IMAGE_QUOTA_EXCEEDED, '5 of 5', {'limit': '5'})"
    )
