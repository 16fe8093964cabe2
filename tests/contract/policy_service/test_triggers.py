"""TriggerService: bounds, and what a scheduler can ask about associations."""

from datetime import timedelta

from autoimage.policy.v1.trigger_service_pb2 import (
    AckTriggersRequest,
    AssociationReference,
    FilterAssociatedRequest,
    FilterAssociatedResponse,
    LeaseTriggersResponse,
    ReportMissingInstancesRequest,
)
from servicekit.timestamps import from_proto
from tests.support import START
from tests.support.policy_service import FIRST, PolicyService, instance_name, schedule

UNKNOWN = "11111111-2222-4333-8444-555555555555"


def filtered(service: PolicyService, *pairs: tuple[str, str]) -> FilterAssociatedResponse:
    asked = [AssociationReference(policy_uid=policy, association_uid=association) for policy, association in pairs]
    return service.triggers.FilterAssociated(FilterAssociatedRequest(associations=asked))


def sizes(response: LeaseTriggersResponse) -> list[int]:
    return [len(trigger.associations) for trigger in response.triggers]


def test_nothing_to_lease_and_nothing_to_come_without_enabled_policies(service: PolicyService) -> None:
    assert service.lease() == LeaseTriggersResponse()
    service.create()
    service.disable()
    assert service.lease() == LeaseTriggersResponse()


def test_next_due_time_is_that_of_the_next_enabled_policy(service: PolicyService) -> None:
    service.create("later", schedule=schedule(timedelta(hours=3)))
    service.create("sooner", schedule=schedule(timedelta(hours=2)))
    service.create("disabled", schedule=schedule(timedelta(hours=1)))
    service.disable("disabled")
    assert from_proto(service.lease().next_due_time) == START + timedelta(hours=2)


def test_idle_poll_writes_nothing(service: PolicyService) -> None:
    service.create()
    with service.deps.database.write():  # a poll that wrote would wait for this
        assert list(service.lease().triggers) == []


def test_triggers_are_leased_up_to_a_number_of_instances_the_rest_afterwards(service: PolicyService) -> None:
    for number, hours in enumerate([1, 2, 3, 4]):
        policy_id = f"policy-{number}"
        service.create(policy_id, schedule=schedule(timedelta(hours=hours)))
        if number != 1:
            service.link(*[f"web-{number}-{index}" for index in range(4)], policy_id=policy_id)
    service.time.product.set(START + timedelta(hours=4))
    first = service.lease(max_instances=9)
    assert sizes(first) == [4, 0, 4]
    assert from_proto(first.next_due_time) <= START + timedelta(hours=4), "there is more to lease now"
    assert sizes(service.lease(max_instances=9)) == [4]
    assert sizes(service.lease(max_instances=9)) == []


def test_one_trigger_is_leased_whatever_its_size(service: PolicyService) -> None:
    service.create()
    service.link("a", "b", "c")
    service.time.product.set(FIRST)
    assert sizes(service.lease(max_instances=2)) == [3]


def test_expired_triggers_do_not_go_beyond_the_number_either(service: PolicyService) -> None:
    for policy_id in ("one", "two"):
        service.create(policy_id)
        service.link(f"{policy_id}-a", f"{policy_id}-b", policy_id=policy_id)
    service.time.product.set(FIRST)
    assert sizes(service.lease()) == [2, 2]
    service.time.operating.advance(timedelta(seconds=30))
    response = service.lease(max_instances=3)
    assert sizes(response) == [2]
    assert from_proto(response.next_due_time) == FIRST, "there is more to lease now"
    assert sizes(service.lease(max_instances=3)) == [2]


def test_acknowledging_several_forgets_exactly_those(service: PolicyService) -> None:
    for policy_id in ("one", "two", "three"):
        service.create(policy_id)
    service.time.product.set(FIRST)
    one, two, three = service.lease().triggers
    uids = [one.uid, UNKNOWN, three.uid, one.uid]
    service.triggers.AckTriggers(AckTriggersRequest(trigger_uids=uids))
    service.time.operating.advance(timedelta(seconds=30))
    assert [trigger.uid for trigger in service.lease().triggers] == [two.uid]


def test_associations_that_hold_are_answered_in_the_order_of_the_request(service: PolicyService) -> None:
    nightly, other, deleted = service.create(), service.create("other"), service.create("deleted")
    a, b, moved, dissolved = service.link("a", "b", "moved", "dissolved")
    (c,) = service.link("c", policy_id="deleted")
    service.link("moved", policy_id="other")
    service.disassociate(instance_name("dissolved"))
    service.delete("deleted")
    answer = filtered(
        service,
        (nightly.uid, b.uid),
        (deleted.uid, c.uid),
        (nightly.uid, moved.uid),
        (nightly.uid, dissolved.uid),
        (other.uid, a.uid),
        (UNKNOWN, a.uid),
        (nightly.uid, a.uid),
        (nightly.uid, UNKNOWN),
    )
    assert list(answer.association_uids) == [b.uid, a.uid]
    assert list(answer.deleted_policy_uids) == [deleted.uid, UNKNOWN]


def test_policies_of_several_accounts_and_regions_are_leased_and_filtered_together(service: PolicyService) -> None:
    places = ["accounts/acme/regions/cn-north-1", "accounts/acme/regions/cn-south-1", "accounts/b/regions/cn-north-1"]
    uids = {service.create(parent=place).uid for place in places}
    service.time.product.set(FIRST)
    assert {trigger.policy_uid for trigger in service.lease().triggers} == uids
    answer = filtered(service, *((uid, UNKNOWN) for uid in uids))
    assert answer == FilterAssociatedResponse()


def test_reporting_unknown_associations_changes_nothing(service: PolicyService) -> None:
    created = service.create()
    service.link("web")
    reported = [AssociationReference(policy_uid=created.uid, association_uid=UNKNOWN)]
    service.triggers.ReportMissingInstances(ReportMissingInstancesRequest(associations=reported))
    assert service.linked() == ["web"]
