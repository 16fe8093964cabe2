"""Requests of schedulers."""

from collections.abc import Collection
from typing import Any

from autoimage.policy.v1 import trigger_service_pb2
from servicekit import validation as v
from servicekit.names import LOG_TOPIC, POLICY

MAX_LOOK_UPS = 500
"""Policies that a scheduler asks or tells about at once."""
MAX_REFERENCES = 5000
"""Triggers or associations that a scheduler refers to at once."""


def lease_triggers(request: trigger_service_pb2.LeaseTriggersRequest) -> v.Violations:
    found = v.length("scheduler", request.scheduler, 1, 128)
    if request.max_instances < 0:
        found += v.fail("max_instances", "must not be negative")
    return found


def ack_triggers(request: trigger_service_pb2.AckTriggersRequest) -> v.Violations:
    return _uids("trigger_uids", request.trigger_uids, MAX_REFERENCES)


def references(request: Any) -> v.Violations:
    """Requests about associations, by uid."""
    found = v.count("associations", request.associations, MAX_REFERENCES)
    for index, reference in enumerate(request.associations):
        found += _uid(f"associations[{index}].policy_uid", reference.policy_uid)
        found += _uid(f"associations[{index}].association_uid", reference.association_uid)
    return found


def look_up_retentions(request: trigger_service_pb2.LookUpRetentionsRequest) -> v.Violations:
    return _uids("policy_uids", request.policy_uids, MAX_LOOK_UPS)


def disable_logging(request: trigger_service_pb2.DisableLoggingRequest) -> v.Violations:
    found = v.count("missing_log_topics", request.missing_log_topics, MAX_LOOK_UPS)
    for index, missing in enumerate(request.missing_log_topics):
        found += v.name(f"missing_log_topics[{index}].policy", missing.policy, POLICY)
        found += v.name(f"missing_log_topics[{index}].log_topic", missing.log_topic, LOG_TOPIC)
    return found


def _uids(field: str, uids: Collection[str], maximum: int) -> v.Violations:
    found = v.count(field, uids, maximum)
    for index, uid in enumerate(uids):
        found += _uid(f"{field}[{index}]", uid)
    return found


def _uid(field: str, value: str) -> v.Violations:
    return v.request_id(field, value) if value else v.fail(field, "must not be empty")
