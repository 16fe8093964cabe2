"""The shape of each request. What the contract's field behavior says is checked before, by `@rpc`."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import regex

from autoimage.policy.v1 import policy_pb2, policy_service_pb2, trigger_service_pb2
from autoimage.type.v1 import retention_pb2
from policy_service import convert
from policy_service.domain.errors import InstanceElsewhere
from policy_service.domain.policy import MAX_DESCRIPTION, Place, PolicySpec
from policy_service.domain.schedule import CATCH_UP_WINDOW, COUNTS, MAX_EXECUTION_LIMIT, MAX_SPREAD
from servicekit import behavior, masks, zones
from servicekit import validation as v
from servicekit.errors import FieldViolation, InvalidArgument
from servicekit.names import ACCOUNT_REGION, INSTANCE, LOG_TOPIC, POLICY, POLICY_LIMIT
from servicekit.regions import region_of

MAX_BATCH = 100
"""Instances that a user associates or disassociates at once."""
MAX_LOOK_UPS = 500
"""Policies that a scheduler asks or tells about at once."""
MAX_REFERENCES = 5000
"""Triggers or associations that a scheduler refers to at once."""
MAX_PREVIEW = 1000
"""Scheduled times that a preview tells at once."""
POLICY_FIELDS = frozenset(
    {
        "display_name",
        "description",
        "schedule.start_time",
        "schedule.interval",
        "schedule.time_zone",
        "schedule.execution_limit",
        "schedule.catch_up",
        "schedule.catch_up_window",
        "schedule.spread",
        "disks",
        "logging.log_topic",
        "logging.state",
        "retention.keep_days",
        "retention.keep_last",
        "retention.may_delete_newest",
    }
)
"""What an update can change of a policy."""
_MAX_DISPLAY_NAME = 32
_MAX_FILTER_IDS = 100
_MAX_KEEP_DAYS = 36_500
_MAX_KEEP_LAST = 1000
_MAX_TARGETS = 20
_MAX_POLICY_LIMIT = 1_000_000
_DISPLAY_NAME = regex.compile(r"[\p{Han}A-Za-z0-9_-]+")
_DEVICE = regex.compile(r"vd[a-z]")
_Found = list[FieldViolation]


def policy_name(request: Any) -> _Found:
    return v.name("name", request.name, POLICY)


def create_policy(request: policy_service_pb2.CreatePolicyRequest) -> _Found:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.resource_id("policy_id", request.policy_id)
        + v.request_id("request_id", request.request_id)
        + (v.fail("policy.etag", "is made by the server; leave it out") if request.policy.etag else [])
        + _policy(request.policy, request.parent)
    )


def update_policy(request: policy_service_pb2.UpdatePolicyRequest) -> _Found:
    """What can be said before the stored policy is known; see `updated_spec` for the rest."""
    policy, mask = request.policy, request.update_mask
    found = masks.violations(mask, POLICY_FIELDS) + v.name("policy.name", policy.name, POLICY)
    if request.HasField("policy") and not policy.name:
        found += v.fail("policy.name", "is required")
    if policy.state and (not mask.paths or masks.is_everything(mask)):
        found += v.fail("policy.state", "is changed by EnablePolicy and DisablePolicy; leave it out")
    given = tuple(f"policy.{path}" for path in masks.chosen(policy, mask, POLICY_FIELDS))
    place = policy.name.partition("/policies/")[0]
    return found + [violation for violation in _policy(policy, place) if violation.field.startswith(given)]


def updated_spec(spec: PolicySpec, request: policy_service_pb2.UpdatePolicyRequest) -> PolicySpec:
    """What a policy becomes by an update. Raises InvalidArgument for what is wrong with the policy as a whole."""
    policy = request.policy
    merged = masks.merged(convert.specified(spec), policy, masks.chosen(policy, request.update_mask, POLICY_FIELDS))
    place = policy.name.partition("/policies/")[0]
    found = behavior.violations(merged, create=False, path="policy.") + _policy(merged, place)
    if found:
        raise InvalidArgument({violation.field: violation for violation in found}.values())
    updated = convert.policy_spec(merged)
    if spec.logging is None or updated.logging != replace(spec.logging, topic_gone=False):
        return updated
    return replace(updated, logging=spec.logging)  # that its topic is gone was no user's word, and stays


def _policy(policy: policy_pb2.Policy, place: str) -> _Found:
    """What users say of a policy of the account and region."""
    return (
        _display_name("policy.display_name", policy.display_name)
        + v.length("policy.description", policy.description, 0, MAX_DESCRIPTION)
        + _schedule("policy.schedule", policy.schedule)
        + _disks("policy.disks", policy.disks)
        + v.name("policy.logging.log_topic", policy.logging.log_topic, LOG_TOPIC, parent=place)
        + _retention("policy.retention", policy.retention)
    )


def _display_name(field: str, value: str) -> _Found:
    """P1."""
    found = v.length(field, value, 1, _MAX_DISPLAY_NAME)
    if value and not found and not _DISPLAY_NAME.fullmatch(value):
        return v.fail(field, "must consist of Han characters, A-Z, a-z, 0-9, _ and -")
    return found


def _schedule(field: str, schedule: policy_pb2.Schedule) -> _Found:
    """P4, P10, P18, D4, D6; of the start time P3 says what the clock must say."""
    found = _interval(f"{field}.interval", schedule.interval)
    if schedule.time_zone and not zones.is_zone(schedule.time_zone):
        name = schedule.time_zone[:63]
        found += v.fail(f"{field}.time_zone", f"must be a zone such as Asia/Shanghai, is {name!r}", "TIME_ZONE_UNKNOWN")
    found += v.within(f"{field}.execution_limit", schedule.execution_limit, 0, MAX_EXECUTION_LIMIT)
    if schedule.HasField("catch_up_window"):
        found += v.whole_seconds(f"{field}.catch_up_window", schedule.catch_up_window, *CATCH_UP_WINDOW)
    return found + v.whole_seconds(f"{field}.spread", schedule.spread, timedelta(0), MAX_SPREAD)


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


def preview_schedule(request: policy_service_pb2.PreviewScheduleRequest) -> _Found:
    found = (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.name("policy", request.policy, POLICY, parent=request.parent)
        + v.within("count", request.count, 0, MAX_PREVIEW)
    )
    if request.HasField("schedule"):
        return found + _schedule("schedule", request.schedule)
    return found if request.policy else found + v.fail("schedule", "is required where no policy is given")


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


def replicate_policy(request: policy_service_pb2.ReplicatePolicyRequest) -> _Found:
    """What is wrong with a target by itself is that target's result, see `replication_target`."""
    found = v.name("name", request.name, POLICY) + v.request_id("request_id", request.request_id)
    found += v.count("targets", request.targets, _MAX_TARGETS)
    taken = {region_of(request.name)}
    for index, target in enumerate(request.targets):
        if target.region and target.region in taken:
            found += v.fail(f"targets[{index}].region", "must be neither the policy's own region nor there already")
        taken.add(target.region)
    return found


def replication_target(
    target: policy_service_pb2.ReplicationTarget, *, account: str, served: Collection[str]
) -> _Found:
    place = Place(account, target.region).name
    return (
        (v.resource_id("region", target.region) or v.region_served("region", place, served))
        + v.resource_id("policy_id", target.policy_id)
        + _display_name("display_name", target.display_name)
        + v.name("log_topic", target.log_topic, LOG_TOPIC, parent=place)
    )


def execute_policy(request: policy_service_pb2.ExecutePolicyRequest) -> _Found:
    return v.name("name", request.name, POLICY) + v.request_id("request_id", request.request_id)


def associate_instances(request: policy_service_pb2.AssociateInstancesRequest) -> _Found:
    found = v.name("policy", request.policy, POLICY) + v.request_id("request_id", request.request_id)
    return found + _batch(request.instances)


def disassociate_instances(request: policy_service_pb2.DisassociateInstancesRequest) -> _Found:
    return _any_policy("policy", request.policy) + _batch(request.instances)


def _any_policy(field: str, name: str) -> _Found:
    """A policy's name whose last id, and no other, may be `-`."""
    prefix, _, last = name.rpartition("/")
    return v.name(field, f"{prefix}/any" if last == "-" else name, POLICY)


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


def list_associable_instances(request: policy_service_pb2.ListAssociableInstancesRequest) -> _Found:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.page(request)
        + v.resource_id("filter.instance_id", request.filter.instance_id)
        + v.length("filter.display_name", request.filter.display_name, 1, _MAX_DISPLAY_NAME)
    )


def list_schedule_events(request: policy_service_pb2.ListScheduleEventsRequest) -> _Found:
    found = _any_policy("parent", request.parent) + v.page(request)
    for index, kind in enumerate(request.filter.kinds):
        if kind == policy_pb2.ScheduleEvent.KIND_UNSPECIFIED:
            found += v.fail(f"filter.kinds[{index}]", "must be a kind of event")
    return found


def get_policy_limit(request: policy_service_pb2.GetPolicyLimitRequest) -> _Found:
    return v.name("name", request.name, POLICY_LIMIT)


def update_policy_limit(request: policy_service_pb2.UpdatePolicyLimitRequest) -> _Found:
    wanted = request.policy_limit
    found = v.within("policy_limit.limit", wanted.limit, 0, _MAX_POLICY_LIMIT)
    found += v.name("policy_limit.name", wanted.name, POLICY_LIMIT)
    if request.HasField("policy_limit") and not wanted.name:
        found += v.fail("policy_limit.name", "is required")
    return found + masks.violations(request.update_mask, {"limit"})


def disable_logging(request: trigger_service_pb2.DisableLoggingRequest) -> _Found:
    found = v.count("missing_log_topics", request.missing_log_topics, MAX_LOOK_UPS)
    for index, missing in enumerate(request.missing_log_topics):
        found += v.name(f"missing_log_topics[{index}].policy", missing.policy, POLICY)
        found += v.name(f"missing_log_topics[{index}].log_topic", missing.log_topic, LOG_TOPIC)
    return found


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
