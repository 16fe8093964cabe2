"""Schedules, their history, and previews of them."""

from collections.abc import Iterable

from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from policy_service.convert.names import reason
from policy_service.domain.ledger import Event, LedgerEntry, LedgerFilter
from policy_service.domain.preview import PreviewedTime
from policy_service.domain.schedule import UTC_ZONE, CatchUp, Interval, Schedule, Unit
from policy_service.domain.wall_clock import Shift
from servicekit import zones
from servicekit.timestamps import from_proto, to_duration_or_none, to_proto, to_proto_or_none

UNITS = {
    policy_pb2.Interval.UNIT_HOUR: Unit.HOUR,
    policy_pb2.Interval.UNIT_DAY: Unit.DAY,
    policy_pb2.Interval.UNIT_WEEK: Unit.WEEK,
}
_WIRE_UNITS = {unit: number for number, unit in UNITS.items()}
_CATCH_UPS = {
    policy_pb2.Schedule.CATCH_UP_UNSPECIFIED: CatchUp.LATEST,
    policy_pb2.Schedule.CATCH_UP_LATEST: CatchUp.LATEST,
    policy_pb2.Schedule.CATCH_UP_NONE: CatchUp.NONE,
}
_WIRE_CATCH_UPS = {catch_up: number for number, catch_up in _CATCH_UPS.items()}
_EVENTS = {policy_pb2.ScheduleEvent.Kind.Value(f"KIND_{event.value}"): event for event in Event}
_WIRE_EVENTS = {event: number for number, event in _EVENTS.items()}
_WIRE_SHIFTS = {
    Shift.NONE: policy_service_pb2.PreviewedTime.SHIFT_UNSPECIFIED,
    Shift.GAP: policy_service_pb2.PreviewedTime.SHIFT_GAP,
    Shift.FOLD: policy_service_pb2.PreviewedTime.SHIFT_FOLD,
}


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


def schedule_message(schedule: Schedule) -> policy_pb2.Schedule:
    return policy_pb2.Schedule(
        start_time=to_proto(schedule.start_time),
        interval=policy_pb2.Interval(count=schedule.interval.count, unit=_WIRE_UNITS[schedule.interval.unit]),
        time_zone=schedule.time_zone,
        execution_limit=schedule.execution_limit,
        catch_up=_WIRE_CATCH_UPS[schedule.catch_up],
        catch_up_window=to_duration_or_none(schedule.catch_up_window),
        spread=to_duration_or_none(schedule.spread or None),
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
        reason=reason(entry.reason),
        run_id=entry.run_id,
        schedule=schedule_message(entry.schedule) if entry.schedule else None,
        next_execution_time=to_proto_or_none(entry.next_execution),
        next_local_time=entry.next_local_time,
    )
