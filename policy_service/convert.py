"""Between the contract's messages and this service's values. Requests have been validated."""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.message import Message

from autoimage.policy.v1 import policy_pb2, policy_service_pb2, trigger_service_pb2
from autoimage.type.v1 import missed_pb2, reason_pb2, retention_pb2
from policy_service.commands.filter_associated import Reference
from policy_service.commands.lease_triggers import Leased
from policy_service.commands.list_associable_instances import Associable
from policy_service.domain import association as associations
from policy_service.domain import policy as policies
from policy_service.domain import triggers
from policy_service.domain.ledger import Event, LedgerEntry, LedgerFilter
from policy_service.domain.limits import PolicyLimit
from policy_service.domain.policy import Place, PolicyFilter, PolicyKey
from policy_service.domain.preview import PreviewedTime
from policy_service.domain.replication import Target
from policy_service.domain.retention import PolicyRetention, Retention
from policy_service.domain.schedule import UTC_ZONE, CatchUp, Interval, Schedule, Unit
from policy_service.domain.wall_clock import Shift
from policy_service.domain.warnings import PolicyWarning, WarningKind
from servicekit import names, zones
from servicekit.errors import ServiceError
from servicekit.status import to_status
from servicekit.timestamps import from_proto, to_duration_or_none, to_proto, to_proto_or_none

UNITS = {
    policy_pb2.Interval.UNIT_HOUR: Unit.HOUR,
    policy_pb2.Interval.UNIT_DAY: Unit.DAY,
    policy_pb2.Interval.UNIT_WEEK: Unit.WEEK,
}
_CATCH_UPS = {
    policy_pb2.Schedule.CATCH_UP_UNSPECIFIED: CatchUp.LATEST,
    policy_pb2.Schedule.CATCH_UP_LATEST: CatchUp.LATEST,
    policy_pb2.Schedule.CATCH_UP_NONE: CatchUp.NONE,
}
_WIRE_CATCH_UPS = {catch_up: number for number, catch_up in _CATCH_UPS.items()}
_WIRE_SHIFTS = {
    Shift.NONE: policy_service_pb2.PreviewedTime.SHIFT_UNSPECIFIED,
    Shift.GAP: policy_service_pb2.PreviewedTime.SHIFT_GAP,
    Shift.FOLD: policy_service_pb2.PreviewedTime.SHIFT_FOLD,
}
_WIRE_UNITS = {unit: number for number, unit in UNITS.items()}
_WIRE_KINDS = {
    triggers.Kind.SCHEDULED: trigger_service_pb2.Trigger.KIND_SCHEDULED,
    triggers.Kind.CATCH_UP: trigger_service_pb2.Trigger.KIND_CATCH_UP,
    triggers.Kind.RUN_NOW: trigger_service_pb2.Trigger.KIND_RUN_NOW,
    triggers.Kind.MISSED: trigger_service_pb2.Trigger.KIND_MISSED,
}
_EVENTS = {policy_pb2.ScheduleEvent.Kind.Value(f"KIND_{event.value}"): event for event in Event}
_WIRE_WARNINGS = {kind: policy_pb2.Warning.Kind.Value(f"KIND_{kind.value}") for kind in WarningKind}
_WIRE_EVENTS = {event: number for number, event in _EVENTS.items()}


def place(name: str) -> Place:
    return Place(**names.ACCOUNT_REGION.parse(name))


def policy_key(name: str) -> PolicyKey:
    ids = names.POLICY.parse(name)
    return PolicyKey(ids["account"], ids["region"], ids["policy"])


def place_of_limit(name: str) -> Place:
    return Place(**names.POLICY_LIMIT.parse(name))


def place_and_policy(name: str) -> tuple[Place, str | None]:
    """Of a policy's name whose id may be `-`: None."""
    place_name, _, policy_id = name.partition("/policies/")
    return place(place_name), None if policy_id == "-" else policy_id


def instance_id(name: str) -> str:
    return name.rpartition("/")[2]


def query(parent: str, filter: Message | None = None) -> dict[str, str]:
    """What must stay the same from page to page."""
    return {"parent": parent, "filter": "" if filter is None else filter.SerializeToString(deterministic=True).hex()}


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


def schedule(message: policy_pb2.Schedule) -> Schedule:
    window = message.catch_up_window.ToTimedelta() if message.HasField("catch_up_window") else None
    return Schedule(
        start_time=from_proto(message.start_time),
        interval=Interval(message.interval.count, UNITS[message.interval.unit]),
        time_zone=message.time_zone or UTC_ZONE,
        execution_limit=message.execution_limit,
        catch_up=_CATCH_UPS[message.catch_up],
        catch_up_window=window,
        spread=message.spread.ToTimedelta(),
    )


def _retention(retention: retention_pb2.Retention) -> Retention | None:
    """Without a limit images are kept for ever (P9)."""
    if not (retention.keep_days or retention.keep_last):
        return None
    return Retention(retention.keep_days, retention.keep_last, retention.may_delete_newest)


def enabled(policy: policy_pb2.Policy) -> bool:
    """Whether a policy is to be created enabled, which is the default (P6)."""
    return policy.state != policy_pb2.Policy.STATE_DISABLED


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
        schedule=_schedule(spec.schedule),
        disks=disk_selection(spec.devices),
        logging=_logging(spec.logging),
        retention=_retention_message(spec.retention),
    )


def _schedule(schedule: Schedule) -> policy_pb2.Schedule:
    return policy_pb2.Schedule(
        start_time=to_proto(schedule.start_time),
        interval=policy_pb2.Interval(count=schedule.interval.count, unit=_WIRE_UNITS[schedule.interval.unit]),
        time_zone=schedule.time_zone,
        execution_limit=schedule.execution_limit,
        catch_up=_WIRE_CATCH_UPS[schedule.catch_up],
        catch_up_window=to_duration_or_none(schedule.catch_up_window),
        spread=to_duration_or_none(schedule.spread or None),
    )


def _warning(warning: PolicyWarning) -> policy_pb2.Warning:
    return policy_pb2.Warning(kind=_WIRE_WARNINGS[warning.kind], message=warning.message)


def replication_target(target: policy_service_pb2.ReplicationTarget) -> Target:
    return Target(target.region, target.policy_id, target.display_name, target.log_topic)


def disk_selection(devices: tuple[str, ...] | None) -> policy_pb2.DiskSelection:
    return policy_pb2.DiskSelection(all=devices is None, devices=devices or ())


def _logging(logging: policies.Logging | None) -> policy_pb2.Logging | None:
    if logging is None:
        return None
    state = policy_pb2.Logging.STATE_ENABLED if logging.enabled else policy_pb2.Logging.STATE_DISABLED
    return policy_pb2.Logging(log_topic=logging.topic, state=state)


def _retention_message(retention: Retention | None) -> retention_pb2.Retention | None:
    if retention is None:
        return None
    return retention_pb2.Retention(
        keep_days=retention.keep_days, keep_last=retention.keep_last, may_delete_newest=retention.may_delete_newest
    )


def policy_retention(kept: PolicyRetention) -> trigger_service_pb2.PolicyRetention:
    return trigger_service_pb2.PolicyRetention(
        policy_uid=kept.policy_uid, retention=_retention_message(kept.retention), deleted=kept.deleted
    )


def policy_limit(limit: PolicyLimit) -> policy_pb2.PolicyLimit:
    return policy_pb2.PolicyLimit(name=limit.name, limit=limit.limit, used=limit.used)


def association(association: associations.Association) -> policy_pb2.Association:
    key = association.policy
    return policy_pb2.Association(
        name=names.ASSOCIATION.format(
            account=key.account, region=key.region, policy=key.policy_id, instance=association.instance_id
        ),
        uid=association.uid,
        instance=association.instance,
        create_time=to_proto(association.create_time),
    )


def instance_filter(filter: policy_service_pb2.AssociableInstanceFilter) -> associations.InstanceFilter:
    return associations.InstanceFilter(filter.instance_id, filter.display_name)


def associable_instance(place: Place, found: Associable) -> policy_service_pb2.AssociableInstance:
    return policy_service_pb2.AssociableInstance(
        instance=associations.instance_name(place, found.instance.instance_id),
        display_name=found.instance.display_name,
        policy=found.policy.name if found.policy else "",
    )


def associate_result(
    instance: str, outcome: associations.Linked | ServiceError
) -> policy_service_pb2.AssociateInstanceResult:
    if isinstance(outcome, ServiceError):
        return policy_service_pb2.AssociateInstanceResult(instance=instance, error=to_status(outcome))
    return policy_service_pb2.AssociateInstanceResult(
        instance=instance,
        association=association(outcome.association),
        previous_policy=outcome.previous.name if outcome.previous else "",
    )


def disassociate_result(
    instance: str, outcome: PolicyKey | ServiceError | None
) -> policy_service_pb2.DisassociateInstanceResult:
    if isinstance(outcome, ServiceError):
        return policy_service_pb2.DisassociateInstanceResult(instance=instance, error=to_status(outcome))
    return policy_service_pb2.DisassociateInstanceResult(
        instance=instance, previous_policy=outcome.name if outcome else ""
    )


def missing_log_topics(messages: Iterable[trigger_service_pb2.MissingLogTopic]) -> list[tuple[PolicyKey, str]]:
    return [(policy_key(message.policy), message.log_topic) for message in messages]


def references(messages: Iterable[trigger_service_pb2.AssociationReference]) -> list[Reference]:
    return [Reference(message.policy_uid, message.association_uid) for message in messages]


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
        retention=_retention_message(trigger.retention),
    )


def _missed(missed: triggers.Missed | None) -> missed_pb2.MissedPoints | None:
    if missed is None:
        return None
    return missed_pb2.MissedPoints(
        first_time=to_proto(missed.points.first),
        last_time=to_proto(missed.points.last),
        count=missed.points.count,
        reason=_reason(missed.reason),
    )


def _reason(name: str | None) -> reason_pb2.Reason.ValueType:
    return reason_pb2.Reason.Value(f"REASON_{name}") if name else reason_pb2.REASON_UNSPECIFIED


def ledger_filter(filter: policy_service_pb2.ScheduleEventFilter) -> LedgerFilter:
    return LedgerFilter(
        start=from_proto(filter.start_time) if filter.HasField("start_time") else None,
        end=from_proto(filter.end_time) if filter.HasField("end_time") else None,
        events=tuple(_EVENTS[kind] for kind in filter.kinds),
    )


def schedule_event(entry: LedgerEntry) -> policy_pb2.ScheduleEvent:
    points = entry.points
    return policy_pb2.ScheduleEvent(
        policy=entry.policy.name,
        policy_uid=entry.policy_uid,
        kind=_WIRE_EVENTS[entry.event],
        time=to_proto(entry.time),
        first_time=to_proto(points.first) if points else None,
        last_time=to_proto(points.last) if points else None,
        point_count=points.count if points else 0,
        reason=_reason(entry.reason),
        run_id=entry.run_id,
        schedule=_schedule(entry.schedule) if entry.schedule else None,
        next_execution_time=to_proto_or_none(entry.next_execution),
        next_local_time=entry.next_local_time,
    )


def preview_response(times: Iterable[PreviewedTime]) -> policy_service_pb2.PreviewScheduleResponse:
    return policy_service_pb2.PreviewScheduleResponse(
        times=map(_previewed_time, times), time_zone_data_version=zones.VERSION
    )


def _previewed_time(time: PreviewedTime) -> policy_service_pb2.PreviewedTime:
    return policy_service_pb2.PreviewedTime(
        time=to_proto(time.moment),
        local_time=time.local.isoformat(),
        utc_offset=to_duration_or_none(time.local.utcoffset()),
        utc_offset_changed=time.offset_changed,
        shift=_WIRE_SHIFTS[time.shift],
    )
