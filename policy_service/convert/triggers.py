"""Triggers, and what else schedulers ask about."""

from collections.abc import Iterable
from datetime import datetime

from autoimage.policy.v1 import trigger_service_pb2
from autoimage.type.v1 import missed_pb2
from policy_service.commands.filter_associated import Reference
from policy_service.commands.lease_triggers import Leased
from policy_service.convert.names import policy_key, reason
from policy_service.convert.policies import disk_selection, retention_message
from policy_service.domain import association as associations
from policy_service.domain import triggers
from policy_service.domain.policy import PolicyKey
from policy_service.domain.retention import PolicyRetention
from servicekit.timestamps import to_duration_or_none, to_proto, to_proto_or_none

_WIRE_KINDS = {
    triggers.Kind.SCHEDULED: trigger_service_pb2.Trigger.KIND_SCHEDULED,
    triggers.Kind.CATCH_UP: trigger_service_pb2.Trigger.KIND_CATCH_UP,
    triggers.Kind.RUN_NOW: trigger_service_pb2.Trigger.KIND_RUN_NOW,
    triggers.Kind.MISSED: trigger_service_pb2.Trigger.KIND_MISSED,
}


def lease_response(leased: Leased) -> trigger_service_pb2.LeaseTriggersResponse:
    return trigger_service_pb2.LeaseTriggersResponse(
        triggers=[trigger(one, leased.expire_time) for one in leased.triggers],
        next_due_time=to_proto_or_none(leased.next_due),
    )


def trigger(trigger: triggers.Trigger, lease_expire_time: datetime) -> trigger_service_pb2.Trigger:
    is_run = trigger.kind is not triggers.Kind.MISSED
    return trigger_service_pb2.Trigger(
        uid=trigger.uid,
        kind=_WIRE_KINDS[trigger.kind],
        policy=trigger.policy.name,
        policy_uid=trigger.policy_uid,
        policy_display_name=trigger.display_name,
        disks=disk_selection(trigger.devices),
        log_topic=trigger.log_topic,
        associations=[
            trigger_service_pb2.TriggeredAssociation(
                uid=uid, instance=associations.instance_name(trigger.policy.place, instance_id)
            )
            for uid, instance_id in trigger.associations
        ],
        scheduled_time=to_proto(trigger.scheduled) if is_run else None,
        run_id=trigger.run_id,
        trigger_time=to_proto(trigger.trigger_time),
        missed=_missed(trigger.missed),
        spread=to_duration_or_none(trigger.spread or None),
        lease_expire_time=to_proto(lease_expire_time),
        lease_count=trigger.lease_count,
        retention=retention_message(trigger.retention),
    )


def _missed(missed: triggers.Missed | None) -> missed_pb2.MissedPoints | None:
    if missed is None:
        return None
    return missed_pb2.MissedPoints(
        first_time=to_proto(missed.points.first),
        last_time=to_proto(missed.points.last),
        count=missed.points.count,
        reason=reason(missed.reason),
    )


def references(messages: Iterable[trigger_service_pb2.AssociationReference]) -> list[Reference]:
    return [Reference(message.policy_uid, message.association_uid) for message in messages]


def missing_log_topics(messages: Iterable[trigger_service_pb2.MissingLogTopic]) -> list[tuple[PolicyKey, str]]:
    return [(policy_key(message.policy), message.log_topic) for message in messages]


def policy_retention(kept: PolicyRetention) -> trigger_service_pb2.PolicyRetention:
    return trigger_service_pb2.PolicyRetention(
        policy_uid=kept.policy_uid, retention=retention_message(kept.retention), deleted=kept.deleted
    )
