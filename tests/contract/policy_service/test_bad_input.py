"""Every field of every request that is missing, malformed, too long, out of range or of another place is refused.

The refusal names exactly that field, and nothing is written.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from autoimage.policy.v1 import policy_service_pb2 as users
from autoimage.policy.v1 import trigger_service_pb2 as schedulers
from autoimage.policy.v1.policy_pb2 import DiskSelection, Interval, Logging, Policy, PolicyLimit
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.errors import Code
from tests.support import error_of
from tests.support.policy_service import LIMIT, PLACE, POLICY, PolicyService, instance_name, policy, schedule

ELSEWHERE = "accounts/other/regions/cn-north-1"
UID = "11111111-2222-4333-8444-555555555555"
BAD_UIDS = ["", "x", UID[:-1], UID + "0", UID.replace("-", ""), "00000000-0000-0000-0000-000000000000"]
BAD_PLACES = ["", "x", "accounts/acme", f"{PLACE}/", "accounts/Acme/regions/cn-north-1", "accounts/-/regions/-"]
BAD_POLICIES = ["", "x", PLACE, f"{PLACE}/policies/", f"{POLICY}/x", f"{PLACE}/policies/UPPER", f"{PLACE}/policies/-"]
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

Case = tuple[str, Message, str]


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
        "GetPolicyLimit": users.GetPolicyLimitRequest(name=LIMIT),
        "UpdatePolicyLimit": users.UpdatePolicyLimitRequest(policy_limit=PolicyLimit(name=LIMIT, limit=30)),
        "LeaseTriggers": schedulers.LeaseTriggersRequest(scheduler="s"),
        "AckTriggers": schedulers.AckTriggersRequest(trigger_uids=[UID]),
        "FilterAssociated": schedulers.FilterAssociatedRequest(associations=[reference]),
        "LookUpRetentions": schedulers.LookUpRetentionsRequest(policy_uids=[UID]),
        "ReportMissingInstances": schedulers.ReportMissingInstancesRequest(associations=[reference]),
    }


def bad() -> Iterator[Case]:
    """Requests that are right but for one field: the method, the request, the field."""
    yield from _bad_names()
    yield from _bad_policies()
    yield from _bad_lists()
    yield from _bad_batches()
    yield from _bad_limits()
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
        ("retention.keep_days", {"retention": Retention(keep_days=-1)}),
        ("retention.keep_days", {"retention": Retention(keep_days=36_501)}),
        ("retention.keep_last", {"retention": Retention(keep_last=-1)}),
        ("retention.keep_last", {"retention": Retention(keep_last=1001)}),
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
    many = [instance_name(f"web-{number}") for number in range(101)]
    twice = [instance_name("a"), instance_name("b"), instance_name("a")]
    for method in ("AssociateInstances", "DisassociateInstances"):
        yield _with(method, "instances", instances=[])
        yield _with(method, "instances", instances=many)
        yield _with(method, "instances[2]", instances=twice)


def _bad_limits() -> Iterator[Case]:
    names = ["", "x", PLACE, f"{LIMIT}/", f"{LIMIT}s", POLICY, "accounts/acme/regions/-/policyLimit"]
    yield from (_with("GetPolicyLimit", "name", name=name) for name in names)
    yield _with("UpdatePolicyLimit", "policy_limit", policy_limit=None)
    wrong: list[tuple[str, dict[str, Any]]] = [
        *(("name", {"name": name, "limit": 1}) for name in names),
        ("limit", {"name": LIMIT, "limit": -1}),
        ("limit", {"name": LIMIT, "limit": 1_000_001}),
        ("used", {"name": LIMIT, "limit": 1, "used": 1}),
    ]
    for field, fields in wrong:
        yield _with("UpdatePolicyLimit", f"policy_limit.{field}", policy_limit=PolicyLimit(**fields))
    for path in ("used", "name", "limits", ""):
        yield _with("UpdatePolicyLimit", "update_mask", update_mask={"paths": [path]})


def _bad_scheduler_requests() -> Iterator[Case]:
    yield from (_with("LeaseTriggers", "scheduler", scheduler=value) for value in ("", "a" * 129, "a\0"))
    yield _with("LeaseTriggers", "max_instances", max_instances=-1)
    yield from (_with("AckTriggers", "trigger_uids[0]", trigger_uids=[value]) for value in BAD_UIDS)
    yield _with("AckTriggers", "trigger_uids", trigger_uids=[])
    yield _with("AckTriggers", "trigger_uids", trigger_uids=[UID] * 5001)
    yield from (_with("LookUpRetentions", "policy_uids[0]", policy_uids=[value]) for value in BAD_UIDS)
    yield _with("LookUpRetentions", "policy_uids", policy_uids=[])
    yield _with("LookUpRetentions", "policy_uids", policy_uids=[UID] * 501)
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
            retention=Retention(keep_days=-1, keep_last=1001),
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
        "policy.retention.keep_days",
        "policy.retention.keep_last",
    }
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
