"""Two policy services over one database, stepped by hand."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from autoimage.policy.v1.policy_pb2 import Interval, Schedule
from autoimage.policy.v1.policy_service_pb2 import (
    CreatePolicyRequest,
    ListPoliciesRequest,
    ReplicatePolicyRequest,
    ReplicationTarget,
)
from policy_service.commands import lease_triggers
from policy_service.commands.keep_house import purge_ledger
from policy_service.commands.settling import locked_policy, take_up_due_points
from policy_service.domain.association import Association
from policy_service.domain.policy import Place, PolicyKey
from policy_service.domain.replication import Target, replica
from policy_service.store import associations, limits, policies, schema, sweep, triggers
from policy_service.store.sweep import Position, Sweep
from servicekit.errors import ServiceError
from servicekit.idempotency import Idempotency, remember, remembered
from servicekit.loop import Wake
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.policy_service import (
    FIRST,
    PLACE,
    POLICY,
    PolicyService,
    instance_name,
    policy,
    running_policy_service,
)
from tests.support.races import overtaken

pytestmark = pytest.mark.engines("postgresql")
PLACE_KEY = Place("acme", "cn-north-1")
SOUTH = "accounts/acme/regions/cn-south-1"
TO_SOUTH = ReplicationTarget(region="cn-south-1")
REQUEST = "11111111-2222-4333-8444-55555555555a"


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


@pytest.mark.rule("P8")
def test_the_last_policy_that_a_limit_allows_goes_to_one_of_two(service: PolicyService) -> None:
    service.set_limit(1)

    def take(connection: sa.Connection) -> None:
        limits.take(connection, PLACE_KEY)

    _, error = overtaken(service.deps.database, take, lambda: error_of(service.create, "other"))
    assert (error.reason, error.metadata) == ("POLICY_LIMIT", {"limit": "1", "used": "1"})
    assert service.limit() == (1, 1)


@pytest.mark.rule("P8")
def test_a_place_that_is_just_given_back_is_taken(service: PolicyService) -> None:
    service.set_limit(1)
    service.create("nightly")
    _, made = overtaken(
        service.deps.database,
        lambda connection: limits.give_back(connection, PLACE_KEY),
        lambda: service.create("other"),
    )
    assert (made.name.rpartition("/")[2], service.limit()) == ("other", (1, 1))


@pytest.mark.rule("P14")
def test_a_replication_that_two_replicas_are_asked_for_makes_one_copy(service: PolicyService) -> None:
    """The other one has looked whether there is a copy before the first one was there."""
    source = service.create()
    target = Target("cn-south-1", "", "", "")
    asked = Idempotency.of(ReplicatePolicyRequest(name=POLICY, targets=[TO_SOUTH], request_id=REQUEST))
    scoped = replace(asked, scope=f"{source.uid} cn-south-1")
    copies: list[str] = []

    def copy(connection: sa.Connection) -> None:
        """What `replicate_policy` does in the transaction of a target."""
        assert remembered(connection, schema.requests, scoped, START) is None
        key = PolicyKey("acme", "cn-south-1", "the-first")
        made = replica(policies.get(connection, PolicyKey("acme", "cn-north-1", "nightly")), target, key, "u-1", START)
        policies.insert(connection, made)
        limits.take(connection, key.place)
        remember(connection, schema.requests, scoped, f"{made.uid} {key.policy_id}", START)
        copies.append(key.name)

    _, (result,) = overtaken(service.deps.database, copy, lambda: service.replicate(TO_SOUTH, request_id=REQUEST))
    listed = service.policies.ListPolicies(ListPoliciesRequest(parent=SOUTH)).policies
    assert ([each.name for each in listed], result.policy) == (copies, listed[0])


def test_a_replication_that_is_asked_16_times_at_once_makes_one_copy(service: PolicyService) -> None:
    service.create()
    results = at_once([partial(service.replicate, TO_SOUTH, request_id=REQUEST)] * 16)
    listed = service.policies.ListPolicies(ListPoliciesRequest(parent=SOUTH)).policies
    answers = {result[0].policy.name if isinstance(result, list) else repr(result) for result in results}
    assert [each.name for each in listed] == list(answers)


@pytest.mark.rule("D1", "P11")
def test_an_edit_that_waits_for_a_lease_counts_from_the_point_that_it_triggered(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)

    def lease(connection: sa.Connection) -> None:
        """What `lease_triggers` does in its transaction."""
        lease_triggers._trigger_due_policies(service.deps, connection, FIRST, 10)

    weekly = Schedule(interval=Interval(count=1, unit=Interval.UNIT_WEEK))
    _, edited = overtaken(service.deps.database, lease, lambda: service.update("schedule.interval", schedule=weekly))
    assert (edited.last_execution_time, edited.next_execution_time) == (
        to_proto(FIRST),
        to_proto(FIRST + timedelta(days=7)),
    )
    (trigger,) = service.lease().triggers
    assert trigger.scheduled_time == to_proto(FIRST)
    assert len(service.ledger(edited.uid)) == 1


@pytest.mark.rule("D1")
def test_a_lease_passes_over_what_is_just_edited_and_takes_the_point_that_the_edit_triggered(
    service: PolicyService,
) -> None:
    uid = service.create().uid
    service.time.product.set(FIRST)
    with service.deps.database.write() as connection:
        policy = locked_policy(connection, PolicyKey("acme", "cn-north-1", "nightly"), "")
        meanwhile = service.lease()
        assert (list(meanwhile.triggers), meanwhile.next_due_time) == ([], to_proto(FIRST))
        policies.update(connection, take_up_due_points(service.deps, connection, policy, FIRST))
    (trigger,) = service.lease().triggers
    assert (trigger.policy_uid, trigger.scheduled_time) == (uid, to_proto(FIRST))
    assert service.lease().next_due_time == to_proto(FIRST + timedelta(days=1))
    assert len(service.ledger(uid)) == 1


@pytest.mark.rule("X10")
def test_two_that_forget_history_take_turns(service: PolicyService) -> None:
    """The second one finds that there is nothing left to do, and does not begin once more."""
    tomorrow = START + timedelta(days=1)
    _, wake = overtaken(
        service.deps.database,
        lambda connection: sweep.get(connection, Sweep.OLD_HISTORY),
        lambda: purge_ledger(service.deps),
        then=lambda connection: sweep.put(connection, Sweep.OLD_HISTORY, Position("0", tomorrow)),
    )
    assert wake == Wake(product=tomorrow)
