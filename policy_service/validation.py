"""The shape of each request. What the contract's field behavior says is checked before, by `@rpc`."""

from collections.abc import Collection, Iterable
from typing import Any

import regex

from autoimage.policy.v1 import policy_pb2, policy_service_pb2, trigger_service_pb2
from autoimage.type.v1 import retention_pb2
from policy_service import convert
from policy_service.domain.errors import InstanceElsewhere
from policy_service.domain.policy import Place
from policy_service.domain.schedule import COUNTS
from servicekit import masks
from servicekit import validation as v
from servicekit.errors import FieldViolation, InvalidArgument
from servicekit.names import ACCOUNT_REGION, INSTANCE, LOG_TOPIC, POLICY, POLICY_LIMIT

MAX_BATCH = 100
"""Instances that a user associates or disassociates at once."""
MAX_LOOK_UPS = 500
"""Policies that a scheduler asks or tells about at once."""
MAX_REFERENCES = 5000
"""Triggers or associations that a scheduler refers to at once."""
_MAX_DISPLAY_NAME = 32
_MAX_FILTER_IDS = 100
_MAX_KEEP_DAYS = 36_500
_MAX_KEEP_LAST = 1000
_MAX_POLICY_LIMIT = 1_000_000
_DISPLAY_NAME = regex.compile(r"[\p{Han}A-Za-z0-9_-]+")
_DEVICE = regex.compile(r"vd[a-z]")
_Found = list[FieldViolation]


def policy_name(request: Any) -> _Found:
    return v.name("name", request.name, POLICY)


def create_policy(request: policy_service_pb2.CreatePolicyRequest) -> _Found:
    policy = request.policy
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.resource_id("policy_id", request.policy_id)
        + v.request_id("request_id", request.request_id)
        + _display_name("policy.display_name", policy.display_name)
        + v.length("policy.description", policy.description, 0, 256)
        + _interval("policy.schedule.interval", policy.schedule.interval)
        + _disks("policy.disks", policy.disks)
        + v.name("policy.logging.log_topic", policy.logging.log_topic, LOG_TOPIC, parent=request.parent)
        + _retention("policy.retention", policy.retention)
    )


def _display_name(field: str, value: str) -> _Found:
    """P1."""
    found = v.length(field, value, 1, _MAX_DISPLAY_NAME)
    if value and not found and not _DISPLAY_NAME.fullmatch(value):
        return v.fail(field, "must consist of Han characters, A-Z, a-z, 0-9, _ and -")
    return found


def _interval(field: str, interval: policy_pb2.Interval) -> _Found:
    """P4."""
    unit = convert.UNITS.get(interval.unit)
    return v.within(f"{field}.count", interval.count, *COUNTS[unit]) if unit is not None else []


def _disks(field: str, disks: policy_pb2.DiskSelection) -> _Found:
    """P5."""
    found = v.distinct(f"{field}.devices", disks.devices)
    if disks.all and disks.devices:
        found += v.fail(f"{field}.devices", "must not be set together with all")
    for index, device in enumerate(disks.devices):
        if not _DEVICE.fullmatch(device):
            found += v.fail(f"{field}.devices[{index}]", "must be a device name from vda to vdz")
    return found


def _retention(field: str, retention: retention_pb2.Retention) -> _Found:
    """P9."""
    found: _Found = []
    if retention.keep_days:
        found += v.within(f"{field}.keep_days", retention.keep_days, 1, _MAX_KEEP_DAYS)
    if retention.keep_last:
        found += v.within(f"{field}.keep_last", retention.keep_last, 1, _MAX_KEEP_LAST)
    return found


def list_policies(request: policy_service_pb2.ListPoliciesRequest) -> _Found:
    filter = request.filter
    found = (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.page(request)
        + v.count("filter.policy_ids", filter.policy_ids, _MAX_FILTER_IDS)
        + v.length("filter.display_name", filter.display_name, 1, _MAX_DISPLAY_NAME)
        + v.name("filter.instance", filter.instance, INSTANCE, parent=request.parent)
    )
    for index, policy_id in enumerate(filter.policy_ids):
        field = f"filter.policy_ids[{index}]"
        found += v.resource_id(field, policy_id) if policy_id else v.fail(field, "must not be empty")
    for index, state in enumerate(filter.states):
        if state == policy_pb2.Policy.STATE_UNSPECIFIED:
            found += v.fail(f"filter.states[{index}]", "must be STATE_ENABLED or STATE_DISABLED")
    return found


def execute_policy(request: policy_service_pb2.ExecutePolicyRequest) -> _Found:
    return v.name("name", request.name, POLICY) + v.request_id("request_id", request.request_id)


def associate_instances(request: policy_service_pb2.AssociateInstancesRequest) -> _Found:
    return v.name("policy", request.policy, POLICY) + _batch(request.instances)


def disassociate_instances(request: policy_service_pb2.DisassociateInstancesRequest) -> _Found:
    """Of the policy's name, only the last id may be `-`."""
    prefix, _, last = request.policy.rpartition("/")
    name = f"{prefix}/any" if last == "-" else request.policy
    return v.name("policy", name, POLICY) + _batch(request.instances)


def _batch(instances: Iterable[str]) -> _Found:
    names = list(instances)
    return v.count("instances", names, MAX_BATCH) + v.distinct("instances", names)


def instance_of(place: Place, field: str, name: str) -> InvalidArgument | None:
    """What is wrong with one instance's name of a batch; None if it is an instance of the place."""
    ids = INSTANCE.match(name)
    if ids is None:
        return InvalidArgument(v.fail(field, f"must be a name like {INSTANCE.pattern}"))
    if (ids["account"], ids["region"]) != place:
        return InstanceElsewhere(field, place.name)
    return None


def list_associations(request: policy_service_pb2.ListAssociationsRequest) -> _Found:
    return v.name("parent", request.parent, POLICY) + v.page(request)


def get_policy_limit(request: policy_service_pb2.GetPolicyLimitRequest) -> _Found:
    return v.name("name", request.name, POLICY_LIMIT)


def update_policy_limit(request: policy_service_pb2.UpdatePolicyLimitRequest) -> _Found:
    wanted = request.policy_limit
    found = v.within("policy_limit.limit", wanted.limit, 0, _MAX_POLICY_LIMIT)
    found += v.name("policy_limit.name", wanted.name, POLICY_LIMIT)
    if request.HasField("policy_limit") and not wanted.name:
        found += v.fail("policy_limit.name", "is required")
    return found + masks.violations(request.update_mask, {"limit"})


def lease_triggers(request: trigger_service_pb2.LeaseTriggersRequest) -> _Found:
    found = v.length("scheduler", request.scheduler, 1, 128)
    if request.max_instances < 0:
        found += v.fail("max_instances", "must not be negative")
    return found


def ack_triggers(request: trigger_service_pb2.AckTriggersRequest) -> _Found:
    return _uids("trigger_uids", request.trigger_uids, MAX_REFERENCES)


def look_up_retentions(request: trigger_service_pb2.LookUpRetentionsRequest) -> _Found:
    return _uids("policy_uids", request.policy_uids, MAX_LOOK_UPS)


def references(request: Any) -> _Found:
    """Requests about associations, by uid."""
    found = v.count("associations", request.associations, MAX_REFERENCES)
    for index, reference in enumerate(request.associations):
        found += _uid(f"associations[{index}].policy_uid", reference.policy_uid)
        found += _uid(f"associations[{index}].association_uid", reference.association_uid)
    return found


def _uids(field: str, uids: Collection[str], maximum: int) -> _Found:
    found = v.count(field, uids, maximum)
    for index, uid in enumerate(uids):
        found += _uid(f"{field}[{index}]", uid)
    return found


def _uid(field: str, value: str) -> _Found:
    return v.request_id(field, value) if value else v.fail(field, "must not be empty")
