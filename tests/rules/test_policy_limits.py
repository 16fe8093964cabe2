"""Rule P8, through the public RPCs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from autoimage.policy.v1.policy_pb2 import Policy
from policy_service.domain.limits import DEFAULT_LIMIT
from servicekit.errors import Code, QuotaViolation
from tests.support import at_once, error_of
from tests.support.compute_sim import facts
from tests.support.policy_service import LIMIT, PolicyService, running_policy_service

WRITERS = 16
SOUTH = "accounts/acme/regions/cn-south-1"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


def fill(service: PolicyService, count: int) -> None:
    for number in range(count):
        service.create(f"policy-{number}")


@pytest.mark.rule("P8")
def test_account_has_20_policies_in_a_region_and_the_21st_is_refused(service: PolicyService) -> None:
    assert (service.limit(), DEFAULT_LIMIT) == ((20, 0), 20)
    fill(service, 20)
    error = error_of(service.create, "one-more")
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "POLICY_LIMIT")
    assert error.metadata == {"limit": "20", "used": "20"}
    assert error.quota == QuotaViolation(LIMIT, "20 policies are allowed, 20 exist")
    assert error_of(service.get, "one-more").code == Code.NOT_FOUND
    assert service.limit() == (20, 20)


@pytest.mark.rule("P8")
def test_accounts_and_regions_have_limits_of_their_own(service: PolicyService) -> None:
    service.set_limit(1)
    service.create()
    for place in (SOUTH, "accounts/other/regions/cn-north-1"):
        service.create("first", parent=place)
        service.create("second", parent=place)
    assert error_of(service.create, "second").reason == "POLICY_LIMIT"


@pytest.mark.rule("P8")
def test_deleted_policy_makes_room_for_one(service: PolicyService) -> None:
    service.set_limit(1)
    service.create()
    assert error_of(service.create, "other").reason == "POLICY_LIMIT"
    service.delete()
    assert service.limit() == (1, 0)
    service.create("other")
    assert service.limit() == (1, 1)


@pytest.mark.rule("P8")
def test_raised_limit_makes_room_and_one_lowered_below_use_refuses_new_policies_only(service: PolicyService) -> None:
    fill(service, 3)
    changed = service.set_limit(2)
    assert (changed.name, changed.limit, changed.used) == (LIMIT, 2, 3)
    assert error_of(service.create, "new").metadata == {"limit": "2", "used": "3"}
    service.delete("policy-0")
    assert error_of(service.create, "new").metadata == {"limit": "2", "used": "2"}
    assert service.disable("policy-1").state == service.get("policy-1").state
    service.set_limit(3)
    service.create("new")
    assert service.limit() == (3, 3)
    service.set_limit(0)
    assert service.limit() == (0, 3)


@pytest.mark.rule("P8")
def test_policy_that_is_refused_for_another_reason_takes_no_place(service: PolicyService) -> None:
    service.create()
    for _ in range(3):
        assert error_of(service.create).reason == "RESOURCE_EXISTS"
    assert service.limit() == (20, 1)


@pytest.mark.rule("P8")
def test_last_place_goes_to_one_of_many_that_ask_at_once(service: PolicyService) -> None:
    service.set_limit(3)
    fill(service, 2)
    outcomes = at_once([partial(service.create, f"racer-{number}") for number in range(WRITERS)])
    made = [outcome for outcome in outcomes if isinstance(outcome, Policy)]
    refused = [facts(outcome) for outcome in outcomes if outcome not in made]
    assert (len(made), set(refused)) == (1, {(Code.RESOURCE_EXHAUSTED, "POLICY_LIMIT")})
    assert service.limit() == (3, 3)


@pytest.mark.rule("P8")
def test_creating_and_deleting_side_by_side_leaks_no_place(service: PolicyService) -> None:
    service.set_limit(WRITERS)

    def come_and_go(number: int) -> None:
        for _ in range(3):
            service.create(f"racer-{number}")
            service.delete(f"racer-{number}")
        if number % 2:
            service.create(f"racer-{number}")

    assert at_once([partial(come_and_go, number) for number in range(WRITERS)]) == [None] * WRITERS
    assert service.limit() == (WRITERS, WRITERS // 2)
