"""Every field of every request that is missing, malformed, too long, out of range or of another place is refused.

The refusal names exactly that field, and nothing is written.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from autoimage.policy.v1 import policy_service_pb2 as users
from autoimage.policy.v1 import trigger_service_pb2 as schedulers
from autoimage.policy.v1.policy_pb2 import (
    DiskSelection,
    Interval,
    Logging,
    Policy,
    PolicyLimit,
    Schedule,
    ScheduleEvent,
)
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.errors import Code
from servicekit.status import from_status
from tests.support import error_of
from tests.support.policy_service import (
    LIMIT,
    PLACE,
    POLICY,
    PolicyService,
    instance_name,
    policy,
    policy_name,
    schedule,
)

ELSEWHERE = "accounts/other/regions/cn-north-1"
MISSING: Any = {"policy": POLICY, "log_topic": f"{PLACE}/logSets/a/logTopics/b"}
SOUTH = users.ReplicationTarget(region="cn-south-1")
UID = "11111111-2222-4333-8444-555555555555"
BAD_UIDS = ["", "x", UID[:-1], UID + "0", UID.replace("-", ""), "00000000-0000-0000-0000-000000000000"]
BAD_PLACES = ["", "x", "accounts/acme", f"{PLACE}/", "accounts/Acme/regions/cn-north-1", "accounts/-/regions/-"]
OTHER_KINDS = [PLACE, f"{PLACE}/instances/web", f"{PLACE}/images/img-1", f"{POLICY}/associations/web"]
MALFORMED_POLICIES = ["", "x", f"{PLACE}/policies/", f"{POLICY}/x", f"{POLICY}\n", f"{PLACE}/policies/UPPER"]
BAD_POLICIES = [*OTHER_KINDS, *MALFORMED_POLICIES, f"{PLACE}/policies/-"]
BAD_IDS = ["1a", "a-", "A", "a_b", "a" * 64, "é"]
MALFORMED_UUIDS = [uid for uid in BAD_UIDS if uid]
OUTPUT_ONLY = {
    "replicated_from": POLICY,
    "warnings": [{"kind": 1}],
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
        "UpdatePolicy": users.UpdatePolicyRequest(policy=Policy(name=POLICY, display_name="x")),
        "DeletePolicy": users.DeletePolicyRequest(name=POLICY),
        "EnablePolicy": users.EnablePolicyRequest(name=POLICY),
        "DisablePolicy": users.DisablePolicyRequest(name=POLICY),
        "ExecutePolicy": users.ExecutePolicyRequest(name=POLICY),
        "AssociateInstances": users.AssociateInstancesRequest(policy=POLICY, instances=[instance_name("web")]),
        "DisassociateInstances": users.DisassociateInstancesRequest(policy=POLICY, instances=[instance_name("web")]),
        "ListAssociations": users.ListAssociationsRequest(parent=POLICY),
        "ListAssociableInstances": users.ListAssociableInstancesRequest(parent=PLACE),
        "ListScheduleEvents": users.ListScheduleEventsRequest(parent=POLICY),
        "ReplicatePolicy": users.ReplicatePolicyRequest(name=POLICY, targets=[SOUTH]),
        "GetPolicyLimit": users.GetPolicyLimitRequest(name=LIMIT),
        "UpdatePolicyLimit": users.UpdatePolicyLimitRequest(policy_limit=PolicyLimit(name=LIMIT, limit=30)),
        "PreviewSchedule": users.PreviewScheduleRequest(parent=PLACE, policy=POLICY, schedule=schedule()),
        "LeaseTriggers": schedulers.LeaseTriggersRequest(scheduler="s"),
        "AckTriggers": schedulers.AckTriggersRequest(trigger_uids=[UID]),
        "FilterAssociated": schedulers.FilterAssociatedRequest(associations=[reference]),
        "DisableLogging": schedulers.DisableLoggingRequest(missing_log_topics=[MISSING]),
        "LookUpRetentions": schedulers.LookUpRetentionsRequest(policy_uids=[UID]),
        "ReportMissingInstances": schedulers.ReportMissingInstancesRequest(associations=[reference]),
    }


def bad() -> Iterator[Case]:
    """Requests that are right but for one field: the method, the request, the field."""
    yield from _bad_names()
    yield from _bad_policies()
    yield from _bad_updates()
    yield from _bad_previews()
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
    for method in ("CreatePolicy", "ListPolicies", "ListAssociableInstances"):
        yield from (_with(method, "parent", parent=value) for value in BAD_PLACES)
    for method in ("GetPolicy", "DeletePolicy", "EnablePolicy", "DisablePolicy", "ExecutePolicy", "ReplicatePolicy"):
        yield from (_with(method, "name", name=value) for value in BAD_POLICIES)
    yield from (_with("ListAssociations", "parent", parent=value) for value in BAD_POLICIES)
    yield from (_with("AssociateInstances", "policy", policy=value) for value in BAD_POLICIES)
    wild = [*BAD_POLICIES[:-1], "accounts/-/regions/cn-north-1/policies/-", "accounts/-/regions/-/policies/-", "-"]
    yield from (_with("DisassociateInstances", "policy", policy=value) for value in wild)
    yield from (_with("ListScheduleEvents", "parent", parent=value) for value in wild)


def _bad_schedules() -> Iterator[tuple[str, Schedule]]:
    """By the field of a schedule that is wrong. What the clock must say of a start time comes after all else."""
    start = schedule().start_time
    yield "start_time", Schedule(interval=schedule().interval)
    yield "start_time", Schedule(start_time=Timestamp(nanos=-1), interval=schedule().interval)
    for seconds in (-1, 0, 1, 253_402_300_799):
        yield "start_time", Schedule(start_time=Timestamp(seconds=seconds), interval=schedule().interval)
    yield "start_time", Schedule(start_time=Timestamp(seconds=253_402_300_800), interval=schedule().interval)
    yield "interval", Schedule(start_time=start)
    for count in (-1, 0, 366, 2**31 - 1):
        yield "interval.count", schedule(count=count)
    for unit in (0, 4):
        yield "interval.unit", schedule(unit=unit)  # type: ignore[arg-type]
    for zone in ("Asia/Nowhere", "utc", "Factory", "../UTC", "UTC\0", "x" * 1000):
        yield "time_zone", schedule(time_zone=zone)
    for limit in (-1, 1_000_001):
        yield "execution_limit", schedule(execution_limit=limit)
    yield "catch_up", schedule(catch_up=3)
    days = 86_400
    for seconds, nanos in ((0, 0), (-300, 0), (299, 0), (300, 1), (365 * days + 1, 0), (2**40, 0), (300, -1)):
        yield "catch_up_window", schedule(catch_up_window={"seconds": seconds, "nanos": nanos})
    for seconds, nanos in ((-1, 0), (3601, 0), (0, 1), (3600, 1), (2**40, 0), (1, -1)):
        yield "spread", schedule(spread={"seconds": seconds, "nanos": nanos})


def _bad_updates() -> Iterator[Case]:
    yield _with("UpdatePolicy", "policy", policy=None)
    for name in BAD_POLICIES:
        yield _with("UpdatePolicy", "policy.name", policy=Policy(name=name, display_name="x"))
    for path in ("", "name", "uid", "state", "etag", "create_time", "nothing", "schedule.nothing", "display_name.x"):
        yield _with("UpdatePolicy", "update_mask", update_mask={"paths": [path]})
        yield _with("UpdatePolicy", "update_mask", update_mask={"paths": ["description", path, "*"][:2]})
    yield _with("UpdatePolicy", "policy.state", policy=Policy(name=POLICY, state=Policy.STATE_DISABLED))
    for field in OUTPUT_ONLY.keys() - {"name"}:
        wrong_policy: dict[str, Any] = {"name": POLICY, field: OUTPUT_ONLY[field]}
        yield _with("UpdatePolicy", f"policy.{field}", policy=Policy(**wrong_policy))
    for field, wrong in _bad_schedules():
        if wrong.HasField("start_time") and wrong.HasField("interval"):
            yield _with("UpdatePolicy", f"policy.schedule.{field}", policy=Policy(name=POLICY, schedule=wrong))
        yield _with(
            "UpdatePolicy",
            f"policy.schedule.{field}",
            policy=Policy(name=POLICY, schedule=wrong),
            update_mask={"paths": ["schedule"]},
        )


def _bad_previews() -> Iterator[Case]:
    yield from (_with("PreviewSchedule", "parent", parent=value, policy="") for value in BAD_PLACES)
    for name in BAD_POLICIES:
        if name:
            yield _with("PreviewSchedule", "policy", policy=name)
    yield _with("PreviewSchedule", "policy", policy=POLICY.replace("acme", "other"))
    yield _with("PreviewSchedule", "schedule", policy="", schedule=None)
    yield from (_with("PreviewSchedule", "count", count=count) for count in (-1, 1001, 2**31 - 1))
    for field, wrong in _bad_schedules():
        yield _with("PreviewSchedule", f"schedule.{field}", schedule=wrong)
        yield _with("PreviewSchedule", f"schedule.{field}", policy="", schedule=wrong)


def _bad_policies() -> Iterator[Case]:
    yield _with("CreatePolicy", "policy", policy=None)
    yield from (_with("CreatePolicy", "policy_id", policy_id=value) for value in BAD_IDS)
    for method in ("CreatePolicy", "ExecutePolicy", "ReplicatePolicy", "AssociateInstances"):
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
        ("etag", {"etag": "x"}),
        *(("schedule.start_time", {"schedule": schedule_at(wrong)}) for wrong in (*NO_TIMES, *FAR_TIMES)),
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
        ("logging.reason", {"logging": {"log_topic": f"{PLACE}/logSets/a/logTopics/b", "reason": 31}}),
        ("logging.state", {"logging": {"log_topic": f"{PLACE}/logSets/a/logTopics/b", "state": 3}}),
    ]
    wrong += [(f"schedule.{field}", {"schedule": schedule}) for field, schedule in _bad_schedules()]
    for field, fields in wrong:
        yield _with("CreatePolicy", f"policy.{field}", policy=policy(**fields))


def _bad_lists() -> Iterator[Case]:
    for method in ("ListPolicies", "ListAssociations", "ListAssociableInstances", "ListScheduleEvents"):
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
    for value in BAD_IDS:
        yield _with("ListAssociableInstances", "filter.instance_id", filter={"instance_id": value})
    for value in ("a" * 33, "a\0"):
        yield _with("ListAssociableInstances", "filter.display_name", filter={"display_name": value})
    for kind in (0, 10):
        yield _with("ListScheduleEvents", "filter.kinds[1]", filter={"kinds": [ScheduleEvent.KIND_MISSED, kind]})
    for field in ("start_time", "end_time"):
        yield _with("ListScheduleEvents", f"filter.{field}", filter={field: {"nanos": -1}})
    for field, filter in wrong:
        yield _with("ListPolicies", f"filter.{field}", filter=users.PolicyFilter(**filter))


def _bad_batches() -> Iterator[Case]:
    north = users.ReplicationTarget(region="cn-north-1")
    yield _with("ReplicatePolicy", "targets", targets=[])
    yield _with("ReplicatePolicy", "targets", targets=[{"region": f"region-{number}"} for number in range(21)])
    yield _with("ReplicatePolicy", "targets[1].region", targets=[SOUTH, SOUTH])
    yield _with("ReplicatePolicy", "targets[1].region", targets=[SOUTH, north])
    many = [instance_name(f"web-{number}") for number in range(1000)]
    twice = [instance_name("a"), instance_name("b"), instance_name("a")]
    for method in ("AssociateInstances", "DisassociateInstances"):
        yield _with(method, "instances", instances=[])
        yield _with(method, "instances", instances=many[:101])
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
    for value in BAD_POLICIES:
        yield _with("DisableLogging", "missing_log_topics[0].policy", missing_log_topics=[{**MISSING, "policy": value}])
    for value in ("", "x", POLICY, f"{PLACE}/logSets/a"):
        missing = {**MISSING, "log_topic": value}
        yield _with("DisableLogging", "missing_log_topics[1].log_topic", missing_log_topics=[MISSING, missing])
    yield _with("DisableLogging", "missing_log_topics", missing_log_topics=[])
    yield _with("DisableLogging", "missing_log_topics", missing_log_topics=[MISSING] * 501)
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
