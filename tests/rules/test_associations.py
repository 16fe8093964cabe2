"""Rules A1–A6, A8 and A9, through the public RPCs."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from autoimage.policy.v1.policy_service_pb2 import AssociateInstanceResult
from autoimage.policy.v1.trigger_service_pb2 import (
    AssociationReference,
    FilterAssociatedRequest,
    FilterAssociatedResponse,
    ReportMissingInstancesRequest,
)
from policy_service.commands.keep_house import sweep_missing_instances
from servicekit.errors import Code, NotFound, ServiceError, Unavailable
from servicekit.loop import Wake
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.policy_service import (
    FIRST,
    LOCAL,
    POLICY,
    PolicyService,
    instance_name,
    policy_name,
    running_policy_service,
)

DAY = timedelta(days=1)
UNKNOWN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        running.create()
        yield running


def refusal(result: AssociateInstanceResult) -> ServiceError:
    """Why an instance was refused; nothing else is in its result."""
    assert result == AssociateInstanceResult(instance=result.instance, error=result.error)
    return from_status(result.error)


def references(policy_uid: str, *association_uids: str) -> list[AssociationReference]:
    return [AssociationReference(policy_uid=policy_uid, association_uid=uid) for uid in association_uids]


def filtered(service: PolicyService, asked: list[AssociationReference]) -> FilterAssociatedResponse:
    return service.triggers.FilterAssociated(FilterAssociatedRequest(associations=asked))


@pytest.mark.rule("A1")
def test_instance_of_the_same_account_and_region_is_associated(service: PolicyService) -> None:
    service.compute.add(instance_name("web"))
    (result,) = service.associate(instance_name("web"))
    assert result.instance == result.association.instance == instance_name("web")
    assert result.association.name == f"{POLICY}/associations/web"
    assert result.association.create_time == to_proto(START)
    assert (result.previous_policy, result.HasField("error")) == ("", False)
    assert service.linked() == ["web"]


@pytest.mark.rule("A1")
@pytest.mark.parametrize(
    "place",
    ["accounts/other/regions/cn-north-1", "accounts/acme/regions/cn-south-1", "accounts/acme/regions/not-served"],
)
def test_instance_of_another_account_or_region_is_refused(service: PolicyService, place: str) -> None:
    elsewhere, here = instance_name("web", place), instance_name("here")
    service.compute.add(elsewhere, here)
    first, second = service.associate(here, elsewhere)
    assert first.association.instance == here
    error = refusal(second)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INSTANCE_ELSEWHERE")
    assert [each.field for each in error.violations] == ["instances[1]"]
    assert service.linked() == ["here"]
    (untouched,) = service.disassociate(elsewhere)
    assert from_status(untouched.error).reason == "INSTANCE_ELSEWHERE"


@pytest.mark.rule("A2")
def test_instance_with_a_local_system_disk_is_refused(service: PolicyService) -> None:
    service.compute.add(instance_name("local"), system_disk=LOCAL)
    error = refusal(service.associate(instance_name("local"))[0])
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LOCAL_SYSTEM_DISK")
    assert error.precondition is not None
    assert error.precondition.subject == instance_name("local")
    assert service.linked() == []


@pytest.mark.rule("A2")
def test_instance_whose_system_disk_is_detached_for_now_is_associated(service: PolicyService) -> None:
    service.compute.add(instance_name("stopped"), system_disk=None)
    service.associate(instance_name("stopped"))
    assert service.linked() == ["stopped"]


@pytest.mark.rule("A3")
def test_policy_takes_100_instances_and_refuses_the_101st(service: PolicyService) -> None:
    service.link(*[f"web-{number:03}" for number in range(99)])
    names = [instance_name(instance_id) for instance_id in ("b", "a", "c")]
    service.compute.add(*names)
    fits, *others = service.associate(*names)
    assert fits.association.instance == instance_name("b")
    for result in others:
        error = refusal(result)
        assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "ASSOCIATION_LIMIT")
        assert error.metadata == {"limit": "100", "used": "100"}
        assert error.quota is not None
        assert error.quota.subject == POLICY
    assert len(service.linked()) == 100


@pytest.mark.rule("A3")
def test_last_of_100_places_goes_to_one_of_many_that_ask_at_once(service: PolicyService) -> None:
    service.link(*[f"web-{number:03}" for number in range(99)])
    racers = [instance_name(f"racer-{number}") for number in range(16)]
    service.compute.add(*racers)
    answers = at_once([partial(service.associate, racer) for racer in racers])
    refused = [result.error for results in answers for result in results if result.HasField("error")]  # type: ignore[union-attr]
    assert [from_status(error).reason for error in refused] == ["ASSOCIATION_LIMIT"] * 15
    assert len(service.linked()) == 100


@pytest.mark.rule("A3")
def test_full_policy_still_answers_for_those_it_has_and_takes_others_when_there_is_room(
    service: PolicyService,
) -> None:
    service.link(*[f"web-{number:03}" for number in range(100)])
    service.compute.add(instance_name("new"))
    new, known = service.associate(instance_name("new"), instance_name("web-007"))
    assert refusal(new).reason == "ASSOCIATION_LIMIT"
    assert known.association.instance == instance_name("web-007")
    service.disassociate(instance_name("web-000"))
    service.associate(instance_name("new"))
    assert len(service.linked()) == 100
    assert "new" in service.linked()


@pytest.mark.rule("A3")
def test_moving_to_a_full_policy_leaves_the_instance_where_it_is(service: PolicyService) -> None:
    service.create("other")
    service.link("mover", policy_id="other")
    service.link(*[f"web-{number:03}" for number in range(100)])
    (result,) = service.associate(instance_name("mover"))
    assert refusal(result).reason == "ASSOCIATION_LIMIT"
    assert service.linked("other") == ["mover"]


@pytest.mark.rule("A4")
def test_instance_of_another_policy_is_moved_and_the_answer_names_that_policy(service: PolicyService) -> None:
    other = service.create("other")
    (before,) = service.link("mover", policy_id="other")
    service.link("stays", policy_id="other")
    (result,) = service.associate(instance_name("mover"))
    assert result.previous_policy == policy_name("other")
    assert result.association.name == f"{POLICY}/associations/mover"
    assert result.association.uid != before.uid
    assert (service.linked(), service.linked("other")) == (["mover"], ["stays"])
    assert list(filtered(service, references(other.uid, before.uid)).association_uids) == []


@pytest.mark.rule("A5")
def test_associating_again_changes_nothing(service: PolicyService) -> None:
    (before,) = service.link("web")
    service.time.product.advance(DAY)
    (result,) = service.associate(instance_name("web"))
    assert result == AssociateInstanceResult(instance=instance_name("web"), association=before)
    assert service.linked() == ["web"]


@pytest.mark.rule("A5")
def test_disassociating_again_changes_nothing(service: PolicyService) -> None:
    service.link("web", "other")
    (first,) = service.disassociate(instance_name("web"))
    (second,) = service.disassociate(instance_name("web"))
    assert (first.previous_policy, first.HasField("error")) == (POLICY, False)
    assert (second.previous_policy, second.HasField("error")) == ("", False)
    assert service.linked() == ["other"]


@pytest.mark.rule("A5")
def test_disassociating_from_a_policy_leaves_instances_of_others_alone(service: PolicyService) -> None:
    service.create("other")
    service.link("web", policy_id="other")
    (result,) = service.disassociate(instance_name("web"))
    assert (result.previous_policy, result.HasField("error")) == ("", False)
    assert service.linked("other") == ["web"]


@pytest.mark.rule("A5")
def test_disassociating_from_whichever_policy_names_each(service: PolicyService) -> None:
    service.create("other")
    service.link("a")
    service.link("b", policy_id="other")
    results = service.disassociate(*map(instance_name, ["a", "b", "c"]), policy_id="-")
    assert [result.previous_policy for result in results] == [POLICY, policy_name("other"), ""]
    assert service.linked() == service.linked("other") == []


@pytest.mark.rule("A6")
def test_one_bad_instance_does_not_spoil_the_others(service: PolicyService) -> None:
    service.compute.add(instance_name("good"), instance_name("fine"))
    service.compute.add(instance_name("local"), system_disk=LOCAL)
    service.compute.add(instance_name("shaky"))
    service.compute.item_errors[instance_name("shaky")] = Unavailable("OVERLOADED")
    names = ["nonsense", *map(instance_name, ["good", "local", "gone", "shaky", "fine"]), ""]
    results = service.associate(*names)
    assert [result.instance for result in results] == names
    errors = [from_status(result.error) if result.HasField("error") else None for result in results]
    assert [error and (error.code, error.reason) for error in errors] == [
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        None,
        (Code.FAILED_PRECONDITION, "LOCAL_SYSTEM_DISK"),
        (Code.NOT_FOUND, "INSTANCE_NOT_FOUND"),
        (Code.UNAVAILABLE, "OVERLOADED"),
        None,
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    ]
    assert service.linked() == ["fine", "good"]


@pytest.mark.rule("A6")
def test_one_bad_instance_does_not_keep_the_others_associated(service: PolicyService) -> None:
    service.link("web")
    bad, good = service.disassociate("nonsense", instance_name("web"))
    assert [each.field for each in from_status(bad.error).violations] == ["instances[0]"]
    assert good.previous_policy == POLICY
    assert service.linked() == []


@pytest.mark.rule("A6")
@pytest.mark.parametrize("call", ["associate", "disassociate"])
def test_batch_of_100_is_taken_and_of_101_refused(service: PolicyService, call: str) -> None:
    names = [instance_name(f"web-{number:03}") for number in range(101)]
    service.compute.add(*names)
    error = error_of(getattr(service, call), *names)
    assert (error.code, [each.field for each in error.violations]) == (Code.INVALID_ARGUMENT, ["instances"])
    assert service.linked() == []
    assert len(getattr(service, call)(*names[:100])) == 100


@pytest.mark.rule("A8")
def test_disassociating_leaves_what_was_triggered_as_it_was(service: PolicyService) -> None:
    service.link("web")
    service.time.product.set(FIRST)
    (before,) = service.lease().triggers
    service.disassociate(instance_name("web"))
    service.time.operating.advance(timedelta(seconds=30))
    (after,) = service.lease().triggers
    assert (after.uid, after.associations) == (before.uid, before.associations)


@pytest.mark.rule("A8")
def test_disassociating_asks_compute_for_nothing(service: PolicyService) -> None:
    service.link("web")
    service.compute.requests.clear()
    service.compute.error = Unavailable("OVERLOADED")
    service.disassociate(instance_name("web"))
    assert (service.linked(), service.compute.requests) == ([], [])


@pytest.mark.rule("A9")
def test_associating_a_deleted_instance_dissolves_the_association_it_had(service: PolicyService) -> None:
    service.create("other")
    service.link("gone", "web")
    service.compute.instances.clear()
    for policy_id in ("nightly", "other"):
        (result,) = service.associate(instance_name("gone"), policy_id=policy_id)
        error = refusal(result)
        assert (error.code, error.reason) == (Code.NOT_FOUND, "INSTANCE_NOT_FOUND")
        assert error.resource is not None
        assert error.resource.name == instance_name("gone")
    assert (service.linked(), service.linked("other")) == (["web"], [])


@pytest.mark.rule("A9")
def test_reported_instances_lose_exactly_the_associations_reported(service: PolicyService) -> None:
    nightly, other = service.get(), service.create("other")
    first, second, third = service.link("a", "b", "c")
    (moved,) = service.link("c", policy_id="other")
    reported = [
        *references(nightly.uid, first.uid, third.uid, UNKNOWN),
        *references(other.uid, second.uid),  # not this policy's
    ]
    service.triggers.ReportMissingInstances(ReportMissingInstancesRequest(associations=reported))
    assert (service.linked(), service.linked("other")) == (["b"], ["c"])
    service.triggers.ReportMissingInstances(ReportMissingInstancesRequest(associations=reported))
    assert list(filtered(service, references(other.uid, moved.uid)).association_uids) == [moved.uid]


@pytest.mark.rule("A9")
def test_daily_sweep_dissolves_associations_of_deleted_instances_only(service: PolicyService) -> None:
    service.create("other")
    service.link("gone", "web", "shaky")
    service.link("gone-too", policy_id="other")
    del service.compute.instances[instance_name("gone")]
    del service.compute.instances[instance_name("gone-too")]
    service.compute.item_errors[instance_name("shaky")] = Unavailable("OVERLOADED")
    assert sweep_missing_instances(service.deps) == Wake(product=START + DAY)
    assert (service.linked(), service.linked("other")) == (["shaky", "web"], [])


@pytest.mark.rule("A9")
def test_sweep_dissolves_nothing_while_compute_is_away(service: PolicyService) -> None:
    service.link("gone")
    service.compute.instances.clear()
    service.compute.error = Unavailable("OVERLOADED")
    assert error_of(sweep_missing_instances, service.deps).code == Code.UNAVAILABLE
    assert service.linked() == ["gone"]
    service.compute.error = NotFound("region", "cn-north-1")  # of the call as a whole: says nothing of an instance
    assert error_of(sweep_missing_instances, service.deps).code == Code.NOT_FOUND
    assert service.linked() == ["gone"]
    service.compute.error = None
    sweep_missing_instances(service.deps)
    assert service.linked() == []


@pytest.mark.rule("A9")
def test_sweep_comes_again_after_a_day_of_product_time(service: PolicyService) -> None:
    sweep_missing_instances(service.deps)
    service.link("gone")
    service.compute.instances.clear()
    service.time.product.advance(DAY - timedelta(microseconds=1))
    assert sweep_missing_instances(service.deps) == Wake(product=START + DAY)
    assert service.linked() == ["gone"]
    service.time.product.advance(timedelta(microseconds=1))
    assert sweep_missing_instances(service.deps) == Wake(product=START + 2 * DAY)
    assert service.linked() == []


@pytest.mark.rule("A9")
def test_sweep_goes_over_all_associations_in_pieces_of_500(service: PolicyService) -> None:
    for number in range(6):
        policy_id = f"policy-{number}"
        service.create(policy_id)
        service.link(*[f"web-{number}-{index:03}" for index in range(90)], policy_id=policy_id)
    service.compute.instances.clear()
    service.compute.requests.clear()
    assert sweep_missing_instances(service.deps) == Wake(product=START)
    assert sweep_missing_instances(service.deps) == Wake(product=START + DAY)
    assert [len(request.names) for request in service.compute.requests] == [500, 40]
    assert [service.linked(f"policy-{number}") for number in range(6)] == [[]] * 6
