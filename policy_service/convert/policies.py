"""Policies, their copies in other regions, and how many there may be."""

from collections.abc import Iterable

from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.type.v1 import reason_pb2, retention_pb2
from policy_service.convert.names import instance_id
from policy_service.convert.schedules import schedule, schedule_message
from policy_service.domain import policy as policies
from policy_service.domain.limits import PolicyLimit
from policy_service.domain.policy import PolicyFilter
from policy_service.domain.replication import Target
from policy_service.domain.retention import Retention
from policy_service.domain.warnings import PolicyWarning, WarningKind
from servicekit.timestamps import to_proto, to_proto_or_none

_WIRE_WARNINGS = {kind: policy_pb2.Warning.Kind.Value(f"KIND_{kind.value}") for kind in WarningKind}


def policy_spec(policy: policy_pb2.Policy) -> policies.PolicySpec:
    logging = policy.logging
    return policies.PolicySpec(
        display_name=policy.display_name,
        description=policy.description,
        schedule=schedule(policy.schedule),
        devices=policies.with_system_disk(policy.disks.devices),
        logging=policies.Logging(logging.log_topic, logging.state != policy_pb2.Logging.STATE_DISABLED)
        if policy.HasField("logging")
        else None,
        retention=_retention(policy.retention),
    )


def enabled(policy: policy_pb2.Policy) -> bool:
    """Whether a policy is to be created enabled, which is the default (P6)."""
    return policy.state != policy_pb2.Policy.STATE_DISABLED


def _retention(retention: retention_pb2.Retention) -> Retention | None:
    """Without a limit images are kept for ever (P9)."""
    if not (retention.keep_days or retention.keep_last):
        return None
    return Retention(retention.keep_days, retention.keep_last, retention.may_delete_newest)


def policy_filter(filter: policy_service_pb2.PolicyFilter) -> PolicyFilter:
    states = {state == policy_pb2.Policy.STATE_ENABLED for state in filter.states}
    return PolicyFilter(
        policy_ids=tuple(filter.policy_ids),
        enabled=states.pop() if len(states) == 1 else None,
        display_name=filter.display_name,
        instance_id=instance_id(filter.instance),
    )


def policy(policy: policies.Policy, warnings: Iterable[PolicyWarning]) -> policy_pb2.Policy:
    message = policy_pb2.Policy(
        name=policy.key.name,
        uid=policy.uid,
        state=policy_pb2.Policy.STATE_ENABLED if policy.enabled else policy_pb2.Policy.STATE_DISABLED,
        last_execution_time=to_proto_or_none(policy.last_execution),
        next_execution_time=to_proto_or_none(policy.next_execution),
        execution_count=policy.execution_count,
        instance_count=policy.instance_count,
        create_time=to_proto(policy.create_time),
        update_time=to_proto(policy.update_time),
        etag=policy.etag,
        replicated_from=policy.replicated_from,
        warnings=map(_warning, warnings),
    )
    message.MergeFrom(specified(policy.spec))
    if policy.spec.logging is not None and policy.spec.logging.topic_gone:
        message.logging.reason = reason_pb2.REASON_LOG_TOPIC_NOT_FOUND
    return message


def specified(spec: policies.PolicySpec) -> policy_pb2.Policy:
    """A policy with nothing but what users say of it."""
    return policy_pb2.Policy(
        display_name=spec.display_name,
        description=spec.description,
        schedule=schedule_message(spec.schedule),
        disks=disk_selection(spec.devices),
        logging=_logging(spec.logging),
        retention=retention_message(spec.retention),
    )


def disk_selection(devices: tuple[str, ...] | None) -> policy_pb2.DiskSelection:
    return policy_pb2.DiskSelection(all=devices is None, devices=devices or ())


def _logging(logging: policies.Logging | None) -> policy_pb2.Logging | None:
    if logging is None:
        return None
    state = policy_pb2.Logging.STATE_ENABLED if logging.enabled else policy_pb2.Logging.STATE_DISABLED
    return policy_pb2.Logging(log_topic=logging.topic, state=state)


def retention_message(retention: Retention | None) -> retention_pb2.Retention | None:
    if retention is None:
        return None
    return retention_pb2.Retention(
        keep_days=retention.keep_days, keep_last=retention.keep_last, may_delete_newest=retention.may_delete_newest
    )


def _warning(warning: PolicyWarning) -> policy_pb2.Warning:
    return policy_pb2.Warning(kind=_WIRE_WARNINGS[warning.kind], message=warning.message)


def replication_target(target: policy_service_pb2.ReplicationTarget) -> Target:
    return Target(target.region, target.policy_id, target.display_name, target.log_topic)


def policy_limit(limit: PolicyLimit) -> policy_pb2.PolicyLimit:
    return policy_pb2.PolicyLimit(name=limit.name, limit=limit.limit, used=limit.used)
