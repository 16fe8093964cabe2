"""The scheduled times of a policy, worked out by themselves: one day after the other, each looked up in its zone.

The policy service computes them otherwise, and does not use this: what checks it must not share its mistakes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from autoimage.policy.v1 import policy_pb2
from servicekit.timestamps import from_proto
from servicekit.zones import zone

_UNIT = policy_pb2.Interval
_DAYS = {_UNIT.UNIT_DAY: 1, _UNIT.UNIT_WEEK: 7}
_TICK = timedelta(microseconds=1)


def points(schedule: policy_pb2.Schedule, next_time: datetime, next_local_time: datetime) -> Iterator[datetime]:
    """All points from `next_time` on, without end but that of the year 9999.

    `next_local_time` is what the schedule's clocks are to show at it, which a daylight-saving change may prevent.
    """
    interval = schedule.interval
    try:
        if interval.unit == _UNIT.UNIT_HOUR:
            while True:
                yield next_time
                next_time += timedelta(hours=interval.count)
        clocks = zone(schedule.time_zone)
        while True:
            yield moment_of(next_local_time, clocks)
            next_local_time += timedelta(days=interval.count * _DAYS[interval.unit])
    except OverflowError:
        return


def moment_of(local: datetime, clocks: tzinfo) -> datetime:
    """When the clocks show this: the first time if twice; the first moment after the gap if they never do (P18)."""
    moment = local.replace(tzinfo=clocks, fold=0).astimezone(UTC)
    if _shown(moment, clocks) == local:
        return moment
    before, after = local.replace(tzinfo=clocks, fold=1).astimezone(UTC), moment
    while after - before > _TICK:
        middle = before + (after - before) / 2
        before, after = (middle, after) if _shown(middle, clocks) < local else (before, middle)
    return after


def _shown(moment: datetime, clocks: tzinfo) -> datetime:
    return moment.astimezone(clocks).replace(tzinfo=None)


def local_time(text: str) -> datetime:
    """A date and time on some zone's clocks, as the contract writes it: `2030-03-31T02:30:00`."""
    return datetime.fromisoformat(text)


def of_event(event: policy_pb2.ScheduleEvent) -> Iterator[datetime]:
    """The points that a policy has after what a user did to it."""
    if not event.HasField("next_execution_time"):
        return iter(())
    return points(event.schedule, from_proto(event.next_execution_time), local_time(event.next_local_time))
