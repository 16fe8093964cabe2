"""What a request id is answered with, once it is known (C5)."""

import pytest

from compute_sim.domain.errors import ImageDeleted, RequestResolved
from compute_sim.domain.requests import ImageRequest, ImageRequestReference, RequestFate
from servicekit.errors import Code, RequestIdReused, ServiceError
from tests.support import error_of
from tests.support.told import Told, told
from tests.unit.compute_sim.examples import ACME

ID = "123e4567-e89b-42d3-a456-426614174000"
KEY = ACME.key(ID)
IMAGE = "accounts/acme/regions/cn-north-1/images/img-1"
WEB = "accounts/acme/regions/cn-north-1/instances/web"
DB = "accounts/acme/regions/cn-north-1/instances/db"
ACCEPTED = ImageRequest(KEY, "web", RequestFate.ACCEPTED, "img-1")
DELETED = ImageRequest(KEY, "web", RequestFate.DELETED, "img-1")
RESOLVED = ImageRequest(KEY, "web", RequestFate.RESOLVED)


def refusal(reason: str, subject: str) -> Told:
    return Code.FAILED_PRECONDITION, reason, {"request_id": ID}, ((reason, subject),)


def test_an_accepted_request_is_answered_with_its_image() -> None:
    assert ACCEPTED.repeated("web") == ACCEPTED.settled("web") == ACME.key("img-1")


@pytest.mark.parametrize(
    ("request_", "kind", "expected"),
    [
        (DELETED, ImageDeleted, refusal("IMAGE_DELETED", IMAGE)),
        (RESOLVED, RequestResolved, refusal("REQUEST_RESOLVED", WEB)),
    ],
)
def test_a_request_without_an_image_says_why(request_: ImageRequest, kind: type[ServiceError], expected: Told) -> None:
    outcome = request_.settled("web")
    assert isinstance(outcome, kind)
    assert told(outcome) == told(error_of(request_.repeated, "web")) == expected


@pytest.mark.parametrize("request_", [ACCEPTED, DELETED, RESOLVED])
def test_a_request_id_of_another_instance_is_reused_and_settles_as_given_up(request_: ImageRequest) -> None:
    assert isinstance(error_of(request_.repeated, "db"), RequestIdReused)
    outcome = request_.settled("db")
    assert isinstance(outcome, RequestResolved)
    assert told(outcome) == refusal("REQUEST_RESOLVED", DB)


def test_a_request_is_given_up_for_its_instance() -> None:
    assert ImageRequestReference(KEY, "web").given_up() == RESOLVED
