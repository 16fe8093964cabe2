"""Generated lives of policies: whatever is edited and when, times are those of a second implementation that walks."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_service.domain.editing import edit
from policy_service.domain.policy import Policy, PolicyKey, PolicySpec, disable, enable, new_policy
from policy_service.domain.schedule import MICROSECOND, MIN_DISTANCE, CatchUp, Interval, Points, Schedule, Unit
from policy_service.domain.triggers import Missed, MissedReason, Trigger, due_points, settle, take_up
from tests.support import error_of
from tests.support.schedules import minutes, odd, schedules, short_intervals, zones
from tests.support.slow_policy import Outcome, SlowPolicy

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AGES = [timedelta(0), timedelta(minutes=5), timedelta(minutes=5) + MICROSECOND, 2 * HOUR, 6 * HOUR, 2 * DAY, 9 * DAY]
WINDOWS = [None, None, timedelta(minutes=5), 2 * HOUR, DAY]
KEY = PolicyKey("acme", "cn-north-1", "nightly")


class Life:
    """A policy, the same by the second implementation, and what became of the policy's points so far."""

    def __init__(self, schedule: Schedule, now: datetime) -> None:
        spec = PolicySpec(display_name="x", description="", schedule=schedule, devices=None, logging=None)
        self.policy = new_policy(KEY, "policy", spec, enabled=True, now=now)
        self.slow = SlowPolicy.new(schedule)
        self.now = now
        self.triggers: list[Trigger] = []

    def ask(self) -> None:
        """A scheduler asks for triggers."""
        self.policy = self._taken_up()
        self.slow = self.slow.asked(self.now)

    def edit(self, schedule: Schedule) -> None:
        slow = self.slow.edited(schedule, self.now)
        if isinstance(slow, SlowPolicy):
            self.policy, self.slow = self._edited(schedule), slow
            return
        triggers = list(self.triggers)
        error = error_of(self._edited, schedule)
        earliest = datetime.fromisoformat(error.metadata["earliest"])
        assert (error.reason, earliest) == (slow.reason, slow.earliest or earliest)
        self.triggers = triggers

    def _edited(self, schedule: Schedule) -> Policy:
        before = self._taken_up() if schedule != self.policy.spec.schedule else self.policy
        return edit(before, replace(before.spec, schedule=schedule), self.now)

    def toggle(self) -> None:
        if not self.policy.enabled:
            self.policy, self.slow = enable(self.policy, self.now), self.slow.enabled(self.now)
            return
        trigger = settle(self.policy, "trigger", MissedReason.POLICY_DISABLED, self.now)
        if trigger is not None:
            self.triggers.append(trigger)
            self.policy = replace(self.policy, settled=trigger.scheduled)
        self.policy, self.slow = disable(self.policy, self.now), self.slow.disabled(self.now)

    def _taken_up(self) -> Policy:
        if due_points(self.policy, self.now) is None:
            return self.policy
        taken_up, trigger = take_up(self.policy, "trigger", (), self.now)
        self.triggers.append(trigger)
        return taken_up

    def check(self) -> None:
        """Both agree, two executions are never less than 12 hours apart, and no point has two outcomes."""
        mine, slow = self.policy, self.slow
        assert (mine.next_execution, mine.last_execution, mine.settled) == (slow.next, slow.last, slow.settled)
        assert (mine.limited_count, mine.spec.schedule) == (slow.limited_count, slow.schedule)
        assert [facts(trigger) for trigger in self.triggers] == [expected(outcome) for outcome in slow.outcomes]
        runs = [outcome.run for outcome in slow.outcomes if outcome.run]
        times = [*runs, mine.next_execution] if mine.next_execution else runs
        assert all(after - before >= MIN_DISTANCE for before, after in itertools.pairwise(times))
        settled = [point for outcome in slow.outcomes for point in (*outcome.missed, *filter(None, [outcome.run]))]
        assert settled == sorted(set(settled))


def facts(trigger: Trigger) -> tuple[str, datetime | None, Points | None]:
    run = trigger.scheduled if trigger.missed is None or trigger.missed.points.last < trigger.scheduled else None
    return trigger.kind.value, run, trigger.missed.points if isinstance(trigger.missed, Missed) else None


def expected(outcome: Outcome) -> tuple[str, datetime | None, Points | None]:
    missed = outcome.missed
    return outcome.kind, outcome.run, Points(missed[0], missed[-1], len(missed)) if missed else None


@st.composite
def first_schedules(draw: st.DrawFn) -> Schedule:
    return replace(
        draw(schedules(st.one_of(st.just(Interval(1, Unit.DAY)), short_intervals), before=2)),
        execution_limit=draw(st.sampled_from([0, 0, 0, 1, 2, 3])),
        catch_up=draw(st.sampled_from([CatchUp.LATEST, CatchUp.LATEST, CatchUp.NONE])),
        catch_up_window=draw(st.sampled_from(WINDOWS)),
    )


@st.composite
def changed(draw: st.DrawFn, life: Life) -> Schedule:
    """The schedule with one or two changes, if that; new start times are at the limits of the rules, or anywhere."""
    schedule, now, last = life.policy.spec.schedule, life.now, life.policy.last_execution
    starts = [now + 30 * DAY, now + HOUR / 2, now + 365 * DAY, (last or now) + MIN_DISTANCE, now + DAY + draw(minutes)]
    changes: dict[str, st.SearchStrategy[Any]] = {
        "start_time": st.sampled_from(starts).flatmap(lambda start: odd.map(lambda by: start + by)),
        "interval": short_intervals,
        "time_zone": zones,
        "execution_limit": st.integers(0, 3),
        "catch_up": st.sampled_from(CatchUp),
    }
    names = draw(
        st.lists(
            st.sampled_from([*changes, "start_time", "interval", "time_zone"]), min_size=1, max_size=2, unique=True
        )
    )
    return replace(schedule, **{name: draw(changes[name]) for name in names})


@pytest.mark.timeout(600)
@settings(max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
@given(first_schedules(), st.data())
def test_times_of_a_policy_are_those_that_walking_finds(schedule: Schedule, data: st.DataObject) -> None:
    life = Life(schedule, schedule.start_time - DAY)
    for _ in range(data.draw(st.integers(2, 7))):
        due = life.policy.next_execution
        if due is not None and data.draw(st.booleans()):
            life.now = max(life.now, due + data.draw(st.sampled_from(AGES)))
        else:
            life.now += data.draw(st.sampled_from([MICROSECOND, HOUR, DAY, 3 * DAY]))
        match data.draw(st.sampled_from(["ask", "ask", "edit", "edit", "edit", "toggle"])):
            case "ask":
                life.ask()
            case "edit":
                life.edit(data.draw(changed(life)))
            case _:
                life.toggle()
        life.check()
