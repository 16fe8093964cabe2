"""Two policy services over one database, stepped by hand."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from autoimage.policy.v1.policy_service_pb2 import CreatePolicyRequest
from policy_service.domain.association import Association
from policy_service.store import associations, policies, triggers
from servicekit.errors import ServiceError
from servicekit.status import from_status
from tests.support import START, at_once
from tests.support.policy_service import (
    FIRST,
    PLACE,
    PolicyService,
    instance_name,
    policy,
    running_policy_service,
)
from tests.support.races import overtaken

pytestmark = pytest.mark.engines("postgresql")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


@pytest.mark.rule("D3")
def test_two_leases_of_the_same_triggers_do_not_meet(service: PolicyService) -> None:
    service.create()
    service.link("web")
    service.time.product.set(FIRST)
    with service.deps.database.write() as connection:
        (candidate,) = policies.due(connection, FIRST, 10)
        assert len(policies.lock_due(connection, [candidate.uid], FIRST)) == 1
        meanwhile = service.lease()
        assert list(meanwhile.triggers) == []
        assert meanwhile.next_due_time.ToDatetime(FIRST.tzinfo) == FIRST
    (leased,) = service.lease().triggers
    service.time.operating.advance(timedelta(seconds=30))
    with service.deps.database.write() as connection:
        (locked,) = triggers.lock_leasable(connection, service.time.operating.now(), 10)
        assert locked.uid == leased.uid
        assert list(service.lease().triggers) == []
    assert [each.uid for each in service.lease().triggers] == [leased.uid]


@pytest.mark.rule("A3")
def test_the_last_place_of_a_policy_goes_to_one_of_two(service: PolicyService) -> None:
    uid = service.create().uid
    service.link(*(f"i-{number}" for number in range(99)))
    service.compute.add(instance_name("one"), instance_name("other"))

    def link_one(connection: sa.Connection) -> None:
        locked = policies.lock(connection, [uid])[uid]
        seen = associations.of_policies(connection, [uid])[uid]
        one = Association("a-one", uid, locked.key, "one", START)
        assert len(seen) == 99
        associations.link(connection, [one])

    _, (refused,) = overtaken(service.deps.database, link_one, lambda: service.associate(instance_name("other")))
    assert from_status(refused.error).metadata == {"limit": "100", "used": "100"}
    linked = service.linked()
    assert (len(linked), "one" in linked, "other" in linked) == (100, True, False)


@pytest.mark.rule("A4")
def test_instances_that_two_policies_take_in_opposite_orders_end_with_one_each(service: PolicyService) -> None:
    """Neither waits for the other in a circle: no call is refused, and none had to be begun anew by the database."""
    for policy_id in ("nightly", "weekly"):
        service.create(policy_id)
    names = [instance_name(f"i-{number}") for number in range(50)]
    service.compute.add(*names)
    for _ in range(3):
        outcomes = at_once(
            [
                partial(service.associate, *names, policy_id="nightly"),
                partial(service.associate, *reversed(names), policy_id="weekly"),
            ]
        )
        assert not any(isinstance(outcome, ServiceError) for outcome in outcomes)
        assert sorted([len(service.linked("nightly")), len(service.linked("weekly"))]) == [0, 50]
        service.disassociate(*names, policy_id="-")


def test_a_request_that_is_asked_16_times_at_once_makes_one_policy(service: PolicyService) -> None:
    request = CreatePolicyRequest(
        parent=PLACE, policy=policy(), policy_id="nightly", request_id="b2d7fb0a-b0a4-4d46-9a4e-8a7f3c8f1c11"
    )
    made = at_once([partial(service.policies.CreatePolicy, request)] * 16)
    assert {getattr(each, "uid", each) for each in made} == {service.get().uid}
    runs = at_once([partial(service.execute, request_id="7e0c2c1e-90aa-4e21-8a0c-0b6a3f0e3d11")] * 16)
    assert len({getattr(run, "run_id", repr(run)) for run in runs}) == 1


def test_associations_are_added_in_the_order_of_the_instances(service: PolicyService) -> None:
    service.create()
    service.link("b", "a", "c")
    with service.deps.database.read() as connection:
        in_order = connection.execute(sa.text("SELECT instance_id FROM associations ORDER BY ctid")).scalars().all()
    assert in_order == ["a", "b", "c"]
