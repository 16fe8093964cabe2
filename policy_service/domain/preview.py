"""What is to come: the next scheduled times, and what changes of the clocks do to them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from policy_service.domain.policy import Policy
from policy_service.domain.schedule import MICROSECOND, Grid, Schedule
from policy_service.domain.wall_clock import Reading, Shift
from servicekit.zones import zone


@dataclass(frozen=True)
class PreviewedTime:
    """A scheduled time, on the clocks of its time zone too.

    `offset_changed`: these are ahead of UTC by another time than at the point before. `shift` is what a change of the
    clocks does to the point itself.
    """

    moment: datetime
    local: datetime
    offset_changed: bool
    shift: Shift


def of_schedule(schedule: Schedule, count: int) -> list[PreviewedTime]:
    """The first times of a schedule that no policy has yet, as many as that or as its limit allows."""
    return list(itertools.islice(_times(Grid.of(schedule), schedule, 0), _limited(schedule, 0, count)))


def of_policy(policy: Policy, count: int) -> list[PreviewedTime]:
    """The next times of an enabled policy, as many as that or as its limit still allows."""
    schedule, grid = policy.spec.schedule, policy.grid
    if policy.next_execution is None:
        return []
    index = grid.index_after(policy.next_execution - MICROSECOND)
    return list(itertools.islice(_times(grid, schedule, index), _limited(schedule, policy.limited_count, count)))


def _limited(schedule: Schedule, counted: int, count: int) -> int:
    return min(count, schedule.execution_limit - counted) if schedule.execution_limit else count


def _times(grid: Grid, schedule: Schedule, index: int) -> Iterator[PreviewedTime]:
    """The points from one on, while there are any that the zone's clocks can show."""
    before = _local(grid.reading(grid.index_before(index)), schedule) if index > 0 else None
    while (reading := grid.reading(index)) is not None and (local := _local(reading, schedule)) is not None:
        offset_changed = before is not None and before.utcoffset() != local.utcoffset()
        yield PreviewedTime(reading.moment, local, offset_changed, reading.shift)
        before, index = local, grid.index_after(reading.moment)


def _local(reading: Reading | None, schedule: Schedule) -> datetime | None:
    """A point on the clocks of the schedule's zone; None beyond the year 9999 there."""
    try:
        return None if reading is None else reading.moment.astimezone(zone(schedule.time_zone))
    except OverflowError:
        return None
