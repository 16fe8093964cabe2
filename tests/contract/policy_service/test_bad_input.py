"""Every field of every request that is missing, malformed, too long, out of range or of another place is refused.

The refusal names exactly that field, and nothing is written.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from autoimage.policy.v1 import policy_service_pb2 as users
from autoimage.policy.v1 import trigger_service_pb2 as schedulers
from autoimage.policy.v1.policy_pb2 import DiskSelection, Interval, Logging, Policy
from servicekit.errors import Code
from servicekit.status import from_status
from tests.support import error_of
from tests.support.policy_service import PLACE, POLICY, PolicyService, instance_name, policy, policy_name, schedule

ELSEWHERE = "accounts/other/regions/cn-north-1"
UID = "11111111-2222-4333-8444-555555555555"
BAD_UIDS = ["", "x", UID[:-1], UID + "0", UID.replace("-", ""), "00000000-0000-0000-0000-000000000000"]
BAD_PLACES = ["", "x", "accounts/acme", f"{PLACE}/", "accounts/Acme/regions/cn-north-1", "accounts/-/regions/-"]
OTHER_KINDS = [PLACE, f"{PLACE}/instances/web", f"{PLACE}/images/img-1", f"{POLICY}/associations/web"]
MALFORMED_POLICIES = ["", "x", f"{PLACE}/policies/", f"{POLICY}/x", f"{POLICY}\n", f"{PLACE}/policies/UPPER"]
BAD_POLICIES = [*OTHER_KINDS, *MALFORMED_POLICIES, f"{PLACE}/policies/-"]
BAD_IDS = ["1a", "a-", "A", "a_b", "a" * 64, "é"]
MALFORMED_UUIDS = [uid for uid in BAD_UIDS if uid]
OUTPUT_ONLY = {
    "uid": "x",
    "last_execution_time": {"seconds": 1},
    "next_execution_time": {"seconds": 1},
    "execution_count": 1,
    "instance_count": 1,
    "create_time": {"seconds": 1},
    "update_time": {"seconds": 1},
    "name": POLICY,
}

BY_UID = ("AckTriggers", "FilterAssociated", "ReportMissingInstances")
"""Methods that name no resource."""

Case = tuple[str, Message, str]


NO_TIMES = [{"seconds": -62_135_596_801}, {"seconds": 253_402_300_800}, {"nanos": 1_000_000_000}]
"""Before year 1, after 9999, and with more than a second of nanoseconds."""
FAR_TIMES: list[dict[str, int]] = [{"seconds": -1}, {"seconds": -62_135_596_800}, {}, {"seconds": 253_402_300_799}]
"""Just before 1970, the first of year 1, 1970 itself, and the last second of 9999."""


def schedule_at(start_time: dict[str, int]) -> dict[str, Any]:
    return {"start_time": start_time, "interval": schedule().interval}


def good() -> dict[str, Message]:
    """A request of each method that is taken."""
    reference = schedulers.AssociationReference(policy_uid=UID, association_uid=UID)
    return {
        "CreatePolicy": users.CreatePolicyRequest(parent=PLACE, policy=policy()),
        "GetPolicy": users.GetPolicyRequest(name=POLICY),
        "ListPolicies": users.ListPoliciesRequest(parent=PLACE),
        "DeletePolicy": users.DeletePolicyRequest(name=POLICY),
        "EnablePolicy": users.EnablePolicyRequest(name=POLICY),
        "DisablePolicy": users.DisablePolicyRequest(name=POLICY),
        "ExecutePolicy": users.ExecutePolicyRequest(name=POLICY),
        "AssociateInstances": users.AssociateInstancesRequest(policy=POLICY, instances=[instance_name("web")]),
        "DisassociateInstances": users.DisassociateInstancesRequest(policy=POLICY, instances=[instance_name("web")]),
        "ListAssociations": users.ListAssociationsRequest(parent=POLICY),
        "LeaseTriggers": schedulers.LeaseTriggersRequest(scheduler="s"),
        "AckTriggers": schedulers.AckTriggersRequest(trigger_uids=[UID]),
        "FilterAssociated": schedulers.FilterAssociatedRequest(associations=[reference]),
        "ReportMissingInstances": schedulers.ReportMissingInstancesRequest(associations=[reference]),
    }


def bad() -> Iterator[Case]:
    """Requests that are right but for one field: the method, the request, the field."""
    yield from _bad_names()
    yield from _bad_policies()
    yield from _bad_lists()
    yield from _bad_batches()
    yield from _bad_scheduler_requests()


def _with(method: str, field: str, **fields: Any) -> Case:
    request = good()[method]
    for name in fields:
        request.ClearField(name)
    request.MergeFrom(type(request)(**fields))
    return method, request, field


def _bad_names() -> Iterator[Case]:
    for method in ("CreatePolicy", "ListPolicies"):
        yield from (_with(method, "parent", parent=value) for value in BAD_PLACES)
    for method in ("GetPolicy", "DeletePolicy", "EnablePolicy", "DisablePolicy", "ExecutePolicy"):
        yield from (_with(method, "name", name=value) for value in BAD_POLICIES)
    yield from (_with("ListAssociations", "parent", parent=value) for value in BAD_POLICIES)
    yield from (_with("AssociateInstances", "policy", policy=value) for value in BAD_POLICIES)
    wild = [*BAD_POLICIES[:-1], "accounts/-/regions/cn-north-1/policies/-", "accounts/-/regions/-/policies/-", "-"]
    yield from (_with("DisassociateInstances", "policy", policy=value) for value in wild)


def _bad_policies() -> Iterator[Case]:
    yield _with("CreatePolicy", "policy", policy=None)
    yield from (_with("CreatePolicy", "policy_id", policy_id=value) for value in BAD_IDS)
    for method in ("CreatePolicy", "ExecutePolicy"):
        yield from (_with(method, "request_id", request_id=value) for value in MALFORMED_UUIDS)
    for field, value in OUTPUT_ONLY.items():
        yield _with("CreatePolicy", f"policy.{field}", policy=policy(**{field: value}))
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("display_name", {"display_name": ""}),
        ("display_name", {"display_name": "a" * 33}),
        ("display_name", {"display_name": "a b"}),
        ("description", {"description": "a" * 257}),
        ("state", {"state": 3}),
        ("schedule", {"schedule": None}),
        ("schedule.start_time", {"schedule": {"interval": schedule().interval}}),
        ("schedule.start_time", {"schedule": {"start_time": {"nanos": -1}, "interval": schedule().interval}}),
        *(("schedule.start_time", {"schedule": schedule_at(wrong)}) for wrong in NO_TIMES),
        *(("schedule.start_time", {"schedule": schedule_at(wrong)}) for wrong in FAR_TIMES),
        ("schedule.interval", {"schedule": {"start_time": schedule().start_time}}),
        ("schedule.interval.count", {"schedule": schedule(count=0)}),
        ("schedule.interval.count", {"schedule": schedule(count=366)}),
        ("schedule.interval.unit", {"schedule": schedule(unit=0)}),  # type: ignore[arg-type]
        ("schedule.interval.unit", {"schedule": schedule(unit=4)}),  # type: ignore[arg-type]
        ("disks.devices", {"disks": DiskSelection(all=True, devices=["vda"])}),
        ("disks.devices[0]", {"disks": DiskSelection(devices=["xvda"])}),
        ("disks.devices[1]", {"disks": DiskSelection(devices=["vdb", "vdb"])}),
        ("logging.log_topic", {"logging": Logging(state=Logging.STATE_ENABLED)}),
        ("logging.log_topic", {"logging": Logging(log_topic=f"{PLACE}/logSets/a")}),
        ("logging.log_topic", {"logging": Logging(log_topic=f"{ELSEWHERE}/logSets/a/logTopics/b")}),
        ("logging.state", {"logging": {"log_topic": f"{PLACE}/logSets/a/logTopics/b", "state": 3}}),
    ]
    for field, fields in wrong:
        yield _with("CreatePolicy", f"policy.{field}", policy=policy(**fields))


def _bad_lists() -> Iterator[Case]:
    for method in ("ListPolicies", "ListAssociations"):
        yield _with(method, "page_size", page_size=-1)
        yield _with(method, "page_token", page_token="x")
    ids = [f"policy-{number}" for number in range(101)]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("policy_ids", {"policy_ids": ids}),
        ("policy_ids[0]", {"policy_ids": [""]}),
        ("policy_ids[1]", {"policy_ids": ["a", "A"]}),
        ("states[0]", {"states": [Policy.STATE_UNSPECIFIED]}),
        ("states[1]", {"states": [Policy.STATE_ENABLED, 3]}),
        ("display_name", {"display_name": "a" * 33}),
        ("display_name", {"display_name": "a\0"}),
        ("instance", {"instance": "web"}),
        ("instance", {"instance": instance_name("web", ELSEWHERE)}),
    ]
    for field, filter in wrong:
        yield _with("ListPolicies", f"filter.{field}", filter=users.PolicyFilter(**filter))


def _bad_batches() -> Iterator[Case]:
    many = [instance_name(f"web-{number}") for number in range(1000)]
    twice = [instance_name("a"), instance_name("b"), instance_name("a")]
    for method in ("AssociateInstances", "DisassociateInstances"):
        yield _with(method, "instances", instances=[])
        yield _with(method, "instances", instances=many[:101])
        yield _with(method, "instances", instances=many)
        yield _with(method, "instances[2]", instances=twice)


def _bad_scheduler_requests() -> Iterator[Case]:
    yield from (_with("LeaseTriggers", "scheduler", scheduler=value) for value in ("", "a" * 129, "a\0"))
    yield _with("LeaseTriggers", "max_instances", max_instances=-1)
    yield from (_with("AckTriggers", "trigger_uids[0]", trigger_uids=[value]) for value in BAD_UIDS)
    yield _with("AckTriggers", "trigger_uids", trigger_uids=[])
    yield _with("AckTriggers", "trigger_uids", trigger_uids=[UID] * 5001)
    for method in ("FilterAssociated", "ReportMissingInstances"):
        yield _with(method, "associations", associations=[])
        yield _with(method, "associations", associations=[{"policy_uid": UID, "association_uid": UID}] * 5001)
        for value in BAD_UIDS:
            policy_uid = {"policy_uid": value, "association_uid": UID}
            association_uid = {"policy_uid": UID, "association_uid": value}
            yield _with(method, "associations[0].policy_uid", associations=[policy_uid])
            yield _with(method, "associations[0].association_uid", associations=[association_uid])


def call(service: PolicyService, method: str, request: Message) -> Any:
    stub = service.policies if hasattr(service.policies, method) else service.triggers
    return getattr(stub, method)(request)


def stored(service: PolicyService) -> str:
    with service.deps.database.read() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        return "\n".join(driver.iterdump())


def test_bad_requests_are_refused_for_their_field_and_write_nothing(service: PolicyService) -> None:
    service.create()
    service.link("web")
    before = stored(service)
    for method, request, field in bad():
        error = error_of(call, service, method, request)
        told = [each.field for each in error.violations]
        assert (error.code, told) == (Code.INVALID_ARGUMENT, [field]), f"{method}: {str(request)[:500]}: {error!r}"
    assert stored(service) == before


@pytest.mark.parametrize("method", good())
def test_requests_that_bad_ones_are_made_of_are_taken(service: PolicyService, method: str) -> None:
    service.create()
    call(service, method, good()[method])


@pytest.mark.parametrize("start_time", FAR_TIMES)
def test_a_start_time_ages_away_is_out_of_range(service: PolicyService, start_time: dict[str, int]) -> None:
    request = users.CreatePolicyRequest(parent=PLACE, policy=policy(schedule=schedule_at(start_time)))
    error = error_of(service.policies.CreatePolicy, request)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "START_TIME_OUT_OF_RANGE")


@pytest.mark.parametrize("method", ["AssociateInstances", "DisassociateInstances"])
def test_a_name_of_the_wrong_kind_is_its_item_s_own_error(service: PolicyService, method: str) -> None:
    service.create()
    service.link("web")
    wrong = [POLICY, f"{PLACE}/disks/vol-1", f"{PLACE}/images/img-1", f"{POLICY}/associations/web", PLACE, "web", ""]
    wild = ["accounts/-/regions/-/instances/-", f"{PLACE}/instances/-", f"{PLACE}/instances/web\n"]
    request = type(good()[method])(policy=POLICY, instances=[*wrong, *wild])
    results = call(service, method, request).results
    told = [from_status(result.error) for result in results]
    assert {error.code for error in told} == {Code.INVALID_ARGUMENT}
    fields = [each.field for error in told for each in error.violations]
    assert fields == [f"instances[{index}]" for index in range(len([*wrong, *wild]))]
    assert service.linked() == ["web"]


@pytest.mark.parametrize("method", [method for method in good() if method not in ("LeaseTriggers", *BY_UID)])
def test_a_region_that_is_not_served_is_refused(service: PolicyService, method: str) -> None:
    request = good()[method]
    for field in ("parent", "name", "policy"):
        if isinstance(getattr(request, field, None), str):
            setattr(request, field, getattr(request, field).replace("cn-north-1", "mars-1"))
    error = error_of(call, service, method, request)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")


def test_page_tokens_of_other_lists_and_other_parents_are_refused(service: PolicyService) -> None:
    for policy_id in ("nightly", "weekly"):
        service.create(policy_id)
        service.link(*(f"{policy_id}-{number}" for number in range(2)), policy_id=policy_id)
    lists: list[users.ListPoliciesRequest | users.ListAssociationsRequest] = [
        users.ListPoliciesRequest(parent=PLACE, page_size=1),
        users.ListPoliciesRequest(parent=PLACE, page_size=1, filter=users.PolicyFilter(states=[Policy.STATE_ENABLED])),
        users.ListAssociationsRequest(parent=POLICY, page_size=1),
        users.ListAssociationsRequest(parent=policy_name("weekly"), page_size=1),
    ]
    tokens = [call(service, _method(request), request).next_page_token for request in lists]
    for request, own in zip(lists, tokens, strict=True):
        for token in {*tokens} - {own}:
            request.page_token = token
            error = error_of(call, service, _method(request), request)
            assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
            assert [each.field for each in error.violations] == ["page_token"]


def _method(request: Message) -> str:
    return request.DESCRIPTOR.name.removesuffix("Request")


def test_all_that_is_wrong_is_told_at_once(service: PolicyService) -> None:
    request = users.CreatePolicyRequest(
        parent="nowhere",
        policy_id="A",
        request_id="x",
        policy=Policy(
            uid="x",
            display_name="a b",
            description="a" * 257,
            schedule=schedule(count=11, unit=Interval.UNIT_HOUR),
            disks=DiskSelection(devices=["x", "y"]),
            logging=Logging(log_topic="x"),
        ),
    )
    error = error_of(service.policies.CreatePolicy, request)
    assert {each.field for each in error.violations} == {
        "parent",
        "policy_id",
        "request_id",
        "policy.uid",
        "policy.display_name",
        "policy.description",
        "policy.schedule.interval.count",
        "policy.disks.devices[0]",
        "policy.disks.devices[1]",
        "policy.logging.log_topic",
    }
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
