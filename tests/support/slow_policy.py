"""What waiting, editing, disabling and enabling make of a policy's times, found by walking through its points."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from policy_service.domain.schedule import CatchUp, Schedule, Unit
from tests.support.slow_schedule import HALF_DAY, SlowGrid, grid_of, show

ON_TIME = timedelta(minutes=5)
HALF_AN_HOUR = timedelta(minutes=30)
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Outcome:
    """What the points that were due became: one was run, or none, and others were missed."""

    kind: str
    run: datetime | None
    missed: tuple[datetime, ...]


class Refused(NamedTuple):
    """Why an edit is refused; and the earliest time allowed, where two executions would be too close."""

    reason: str
    earliest: datetime | None = None


@dataclass(frozen=True)
class SlowPolicy:
    """`next` None: disabled. `settled` is the newest point that was triggered or missed."""

    schedule: Schedule
    grid: SlowGrid
    next: datetime | None
    last: datetime | None = None
    settled: datetime | None = None
    limited_count: int = 0
    outcomes: tuple[Outcome, ...] = field(default=())

    @classmethod
    def new(cls, schedule: Schedule) -> "SlowPolicy":
        return cls(schedule, _counted_from_start(schedule), schedule.start_time)

    def asked(self, now: datetime) -> "SlowPolicy":
        """A scheduler asked for triggers (D1, D4, P10)."""
        due = self._due(now)
        if not due:
            return self
        newest = due[-1]
        following = self._first(lambda point: point > newest)
        kind = self._kind(now - newest)
        if kind == "MISSED":
            return replace(self, next=following, settled=newest, outcomes=self._with(kind, None, due))
        count = self.limited_count + 1
        is_last = count == self.schedule.execution_limit
        return replace(
            self,
            next=None if is_last else following,
            last=newest,
            settled=newest,
            limited_count=count,
            outcomes=self._with(kind, newest, due[:-1]),
        )

    def edited(self, schedule: Schedule, now: datetime) -> "SlowPolicy | Refused":
        """P3, P10, P11, P12. When it is refused nothing has happened."""
        if schedule == self.schedule:
            return self
        policy = replace(self.asked(now), schedule=schedule)
        if schedule.start_time != self.schedule.start_time:
            if not now + HALF_AN_HOUR <= schedule.start_time <= now + YEAR:
                return Refused("START_TIME_OUT_OF_RANGE")
            policy = policy._moved(_counted_from_start(schedule), now)
        elif (schedule.interval, schedule.time_zone) != (self.schedule.interval, self.schedule.time_zone):
            policy = policy._moved(policy._counted_anew(), now)
        if policy.last is not None and policy.next is not None and policy.next - policy.last < HALF_DAY:
            return Refused("EXECUTIONS_TOO_CLOSE", policy.last + HALF_DAY)
        reached = 0 < schedule.execution_limit <= policy.limited_count
        return replace(policy, next=None) if reached or self.asked(now).next is None else policy

    def disabled(self, now: datetime) -> "SlowPolicy":
        if self.next is None:
            return self
        due = self._due(now)
        if not due:
            return replace(self, next=None)
        return replace(self, next=None, settled=due[-1], outcomes=self._with("MISSED", None, due))

    def enabled(self, now: datetime) -> "SlowPolicy":
        """P13."""
        if self.next is not None:
            return self
        following = self._first(lambda point: point > now and (self.settled is None or point > self.settled))
        return replace(self, next=following, limited_count=0)

    def _moved(self, grid: SlowGrid, now: datetime) -> "SlowPolicy":
        """As if it were enabled."""
        moved = replace(self, grid=grid)
        following = moved._first(lambda point: point >= now and (self.settled is None or point > self.settled))
        return replace(moved, next=following)

    def _counted_anew(self) -> SlowGrid:
        """From the last execution, or from the start time if that had none."""
        schedule = self.schedule
        if self.last is None or self.last < schedule.start_time:
            return _counted_from_start(schedule)
        clock = "UTC" if schedule.interval.unit is Unit.HOUR else schedule.time_zone
        wall = show(self.last, clock)
        if clock == self.grid.zone_name:
            (wall,) = (point.wall for point in self.grid.until(self.last) if point.moment == self.last)
        return SlowGrid(self.last, wall, schedule.interval, clock)

    def _due(self, now: datetime) -> list[datetime]:
        if self.next is None:
            return []
        return [point.moment for point in self.grid.until(now) if self.next <= point.moment <= now]

    def _first(self, fits: Callable[[datetime], bool]) -> datetime:
        return next(point.moment for point in self.grid.points() if fits(point.moment))

    def _kind(self, age: timedelta) -> str:
        window = self.schedule.catch_up_window
        if age <= ON_TIME:
            return "SCHEDULED"
        return "CATCH_UP" if self.schedule.catch_up is CatchUp.LATEST and (not window or age <= window) else "MISSED"

    def _with(self, kind: str, run: datetime | None, missed: list[datetime]) -> tuple[Outcome, ...]:
        return (*self.outcomes, Outcome(kind, run, tuple(missed)))


def _counted_from_start(schedule: Schedule) -> SlowGrid:
    return grid_of(schedule.start_time, schedule.interval, schedule.time_zone)
