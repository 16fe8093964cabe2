"""Requests about policies, their copies in other regions, and how many there may be."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import regex

from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.type.v1 import retention_pb2
from policy_service.convert.policies import policy_spec, specified
from policy_service.domain.policy import MAX_DESCRIPTION, Place, PolicySpec
from policy_service.validation.schedules import schedule
from servicekit import behavior, masks
from servicekit import validation as v
from servicekit.errors import InvalidArgument
from servicekit.names import ACCOUNT_REGION, INSTANCE, LOG_TOPIC, POLICY, POLICY_LIMIT
from servicekit.regions import region_of

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


def policy_name(request: Any) -> v.Violations:
    return v.name("name", request.name, POLICY)


def create_policy(request: policy_service_pb2.CreatePolicyRequest) -> v.Violations:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.resource_id("policy_id", request.policy_id)
        + v.request_id("request_id", request.request_id)
        + (v.fail("policy.etag", "is made by the server; leave it out") if request.policy.etag else [])
        + _policy(request.policy, request.parent)
    )


def update_policy(request: policy_service_pb2.UpdatePolicyRequest) -> v.Violations:
    """What can be said before the stored policy is known; see `updated_spec` for the rest."""
    policy, mask = request.policy, request.update_mask
    found = masks.violations(mask, POLICY_FIELDS) + v.name("policy.name", policy.name, POLICY)
    if request.HasField("policy") and not policy.name:
        found += v.fail("policy.name", "is required")
    if policy.state and (not mask.paths or masks.is_everything(mask)):
        found += v.fail("policy.state", "is changed by EnablePolicy and DisablePolicy; leave it out")
    given = [f"policy.{path}" for path in masks.chosen(policy, mask, POLICY_FIELDS)]
    wrong = _policy(policy, policy.name.partition("/policies/")[0])
    return found + [each for each in wrong if any(_is_in(each.field, path) for path in given)]


def _is_in(field: str, path: str) -> bool:
    return field == path or field.startswith((f"{path}.", f"{path}["))


def updated_spec(spec: PolicySpec, request: policy_service_pb2.UpdatePolicyRequest) -> PolicySpec:
    """What a policy becomes by an update. Raises InvalidArgument for what is wrong with the policy as a whole."""
    policy = request.policy
    merged = masks.merged(specified(spec), policy, masks.chosen(policy, request.update_mask, POLICY_FIELDS))
    place = policy.name.partition("/policies/")[0]
    found = behavior.violations(merged, create=False, path="policy.") + _policy(merged, place)
    if found:
        raise InvalidArgument({violation.field: violation for violation in found}.values())
    updated = policy_spec(merged)
    if spec.logging is None or updated.logging != replace(spec.logging, topic_gone=False):
        return updated
    return replace(updated, logging=spec.logging)  # that its topic is gone was no user's word, and stays


def _policy(policy: policy_pb2.Policy, place: str) -> v.Violations:
    """What users say of a policy of the account and region."""
    return (
        _display_name("policy.display_name", policy.display_name)
        + v.length("policy.description", policy.description, 0, MAX_DESCRIPTION)
        + schedule("policy.schedule", policy.schedule)
        + _disks("policy.disks", policy.disks)
        + v.name("policy.logging.log_topic", policy.logging.log_topic, LOG_TOPIC, parent=place)
        + _retention("policy.retention", policy.retention)
    )


def _display_name(field: str, value: str) -> v.Violations:
    """P1."""
    found = v.length(field, value, 1, _MAX_DISPLAY_NAME)
    if value and not found and not _DISPLAY_NAME.fullmatch(value):
        return v.fail(field, "must consist of Han characters, A-Z, a-z, 0-9, _ and -")
    return found


def _disks(field: str, disks: policy_pb2.DiskSelection) -> v.Violations:
    """P5."""
    found = v.distinct(f"{field}.devices", disks.devices)
    if disks.all and disks.devices:
        found += v.fail(f"{field}.devices", "must not be set together with all")
    for index, device in enumerate(disks.devices):
        if not _DEVICE.fullmatch(device):
            found += v.fail(f"{field}.devices[{index}]", "must be a device name from vda to vdz")
    return found


def _retention(field: str, retention: retention_pb2.Retention) -> v.Violations:
    """P9."""
    found: v.Violations = []
    if retention.keep_days:
        found += v.within(f"{field}.keep_days", retention.keep_days, 1, _MAX_KEEP_DAYS)
    if retention.keep_last:
        found += v.within(f"{field}.keep_last", retention.keep_last, 1, _MAX_KEEP_LAST)
    return found


def list_policies(request: policy_service_pb2.ListPoliciesRequest) -> v.Violations:
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


def replicate_policy(request: policy_service_pb2.ReplicatePolicyRequest) -> v.Violations:
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
) -> v.Violations:
    place = Place(account, target.region).name
    return (
        (v.resource_id("region", target.region) or v.region_served("region", place, served))
        + v.resource_id("policy_id", target.policy_id)
        + _display_name("display_name", target.display_name)
        + v.name("log_topic", target.log_topic, LOG_TOPIC, parent=place)
    )


def execute_policy(request: policy_service_pb2.ExecutePolicyRequest) -> v.Violations:
    return v.name("name", request.name, POLICY) + v.request_id("request_id", request.request_id)


def get_policy_limit(request: policy_service_pb2.GetPolicyLimitRequest) -> v.Violations:
    return v.name("name", request.name, POLICY_LIMIT)


def update_policy_limit(request: policy_service_pb2.UpdatePolicyLimitRequest) -> v.Violations:
    wanted = request.policy_limit
    found = v.within("policy_limit.limit", wanted.limit, 0, _MAX_POLICY_LIMIT)
    found += v.name("policy_limit.name", wanted.name, POLICY_LIMIT)
    if request.HasField("policy_limit") and not wanted.name:
        found += v.fail("policy_limit.name", "is required")
    return found + masks.violations(request.update_mask, {"limit"})
