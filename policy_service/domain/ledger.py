"""The history of a policy's schedule: what was triggered, what was missed and why, and what users did."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from policy_service.domain.policy import Policy, PolicyKey
from policy_service.domain.schedule import Points, Schedule
from policy_service.domain.triggers import Kind, Missed, MissedReason, Trigger
from policy_service.domain.wall_clock import wall_at

KEPT = timedelta(days=400)
"""How long a line is kept (X10)."""


class Event(enum.StrEnum):
    """What happened; names of the contract, and those of triggers among them."""

    SCHEDULED = "SCHEDULED"
    CATCH_UP = "CATCH_UP"
    RUN_NOW = "RUN_NOW"
    MISSED = "MISSED"
    CREATED = "CREATED"
    RESCHEDULED = "RESCHEDULED"
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DELETED = "DELETED"


OF_USERS = (Event.CREATED, Event.RESCHEDULED, Event.ENABLED, Event.DISABLED, Event.DELETED)
"""What users did, or a policy by itself in their stead."""


class DisabledReason(enum.StrEnum):
    """Why a policy became disabled by itself; names of the contract."""

    EXECUTION_LIMIT_REACHED = "EXECUTION_LIMIT_REACHED"
    SCHEDULE_EXHAUSTED = "SCHEDULE_EXHAUSTED"


@dataclass(frozen=True)
class LedgerEntry:
    """One line, never changed: what happened, and when.

    Of triggers and missed points: the points, why they were missed, the id of a run-now. Of what users did: the
    schedule and the next execution from then on, and what the clocks are to show at it, so that one can tell later
    which points should have been triggered.
    """

    policy: PolicyKey
    policy_uid: str
    event: Event
    points: Points | None
    reason: MissedReason | DisabledReason | None
    time: datetime
    run_id: str = ""
    schedule: Schedule | None = None
    next_execution: datetime | None = None
    next_local_time: str = ""


@dataclass(frozen=True)
class LedgerFilter:
    """Chooses lines that fit every field: from `start`, before `end`, one of `events`; None and empty fit all."""

    start: datetime | None = None
    end: datetime | None = None
    events: tuple[Event, ...] = ()


def entries(trigger: Trigger) -> Iterator[LedgerEntry]:
    """What a new trigger settles: the points it records as missed, then the one it runs."""
    if trigger.missed is not None:
        yield _missed(trigger, trigger.missed, trigger.trigger_time)
    if trigger.kind is not Kind.MISSED:
        yield LedgerEntry(
            trigger.policy,
            trigger.policy_uid,
            Event(trigger.kind),
            _own_point(trigger),
            None,
            trigger.trigger_time,
            run_id=trigger.run_id,
        )


def poisoned_entry(trigger: Trigger, now: datetime) -> LedgerEntry:
    """The point of a trigger that is given up; the points it carried as missed have a line already."""
    return _missed(trigger, Missed(_own_point(trigger), MissedReason.POISONED), now)


def changed_entry(policy: Policy, event: Event, now: datetime, reason: DisabledReason | None = None) -> LedgerEntry:
    """What was done to a policy, as it is afterwards."""
    return LedgerEntry(
        policy.key,
        policy.uid,
        event,
        None,
        reason,
        now,
        schedule=policy.spec.schedule,
        next_execution=policy.next_execution,
        next_local_time=_next_local_time(policy),
    )


def disabled_entry(policy: Policy, now: datetime) -> LedgerEntry:
    """A policy that became disabled by itself."""
    by_limit = policy.limit_reached
    reason = DisabledReason.EXECUTION_LIMIT_REACHED if by_limit else DisabledReason.SCHEDULE_EXHAUSTED
    return changed_entry(policy, Event.DISABLED, now, reason)


def rescheduled_entries(before: Policy, edited: Policy, now: datetime) -> Iterator[LedgerEntry]:
    """A policy whose schedule was changed; a limit on executions may disable it at once."""
    yield changed_entry(edited, Event.RESCHEDULED, now)
    if before.enabled and not edited.enabled:
        yield disabled_entry(edited, now)


def deleted_entry(policy: Policy, now: datetime) -> LedgerEntry:
    """A deleted policy has no schedule any more."""
    return LedgerEntry(policy.key, policy.uid, Event.DELETED, None, None, now)


def _next_local_time(policy: Policy) -> str:
    """What the clocks of the time zone are to show at the next execution, which a change of the clocks may prevent."""
    if policy.next_execution is None:
        return ""
    schedule = policy.spec.schedule
    if schedule.clock != schedule.time_zone:
        return wall_at(policy.next_execution, schedule.time_zone).isoformat()
    return policy.grid.anchor_at(policy.next_execution).wall.isoformat()


def _own_point(trigger: Trigger) -> Points:
    return Points(trigger.scheduled, trigger.scheduled, 1)


def _missed(trigger: Trigger, missed: Missed, now: datetime) -> LedgerEntry:
    return LedgerEntry(trigger.policy, trigger.policy_uid, Event.MISSED, missed.points, missed.reason, now)
