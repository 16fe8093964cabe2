"""What compute's refusals mean."""

from datetime import timedelta

import pytest

from scheduler_service.domain.refusals import refusal
from scheduler_service.domain.tasks import Refusal, Trouble

DELAY = timedelta(seconds=5)


@pytest.mark.rule("X3", "X4")
@pytest.mark.parametrize(
    ("code", "reason", "trouble"),
    [
        ("RESOURCE_EXHAUSTED", "IMAGE_QUOTA_EXCEEDED", Trouble.SKIP),
        ("RESOURCE_EXHAUSTED", "SNAPSHOT_QUOTA_EXCEEDED", Trouble.SKIP),
        ("NOT_FOUND", "INSTANCE_NOT_FOUND", Trouble.SKIP),
        ("FAILED_PRECONDITION", "INSTANCE_BUSY", Trouble.BUSY),
        ("FAILED_PRECONDITION", "REQUEST_TOO_LATE", Trouble.TOO_LATE),
    ],
)
def test_some_reasons_are_foreseen(code: str, reason: str, trouble: Trouble) -> None:
    assert refusal(code, reason, known_reason=True, retry_after=None) == Refusal(trouble, reason)


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    "code",
    ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "UNKNOWN", "INTERNAL"],
)
def test_what_may_pass_is_tried_again_after_the_delay_that_was_asked_for(code: str) -> None:
    for retry_after, waits in ((None, timedelta(0)), (DELAY, DELAY)):
        found = refusal(code, "OVERLOADED", known_reason=True, retry_after=retry_after)
        assert found == Refusal(Trouble.TRANSIENT, "COMPUTE_UNAVAILABLE", waits)


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    "code",
    [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ],
)
def test_all_else_is_final_and_keeps_computes_reason_if_the_contract_has_it(code: str) -> None:
    for known, told in ((True, "LOCAL_SYSTEM_DISK"), (False, "COMPUTE_REFUSED")):
        found = refusal(code, "LOCAL_SYSTEM_DISK", known_reason=known, retry_after=DELAY)
        assert found == Refusal(Trouble.PERMANENT, told)
