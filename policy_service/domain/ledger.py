"""The history of a policy's schedule: what was triggered, what was missed and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from policy_service.domain.policy import PolicyKey
from policy_service.domain.schedule import Points
from policy_service.domain.triggers import Kind, Missed, MissedReason, Trigger


@dataclass(frozen=True)
class LedgerEntry:
    """One line, never changed: the points, what became of them, and when that was settled. `reason` only for MISSED."""

    policy: PolicyKey
    policy_uid: str
    event: Kind
    points: Points
    reason: MissedReason | None
    time: datetime


def entries(trigger: Trigger) -> Iterator[LedgerEntry]:
    """What a new trigger settles: the points it records as missed, then the one it runs."""
    if trigger.missed is not None:
        yield _missed(trigger, trigger.missed, trigger.trigger_time)
    if trigger.kind is not Kind.MISSED:
        yield LedgerEntry(
            trigger.policy, trigger.policy_uid, trigger.kind, _own_point(trigger), None, trigger.trigger_time
        )


def poisoned_entry(trigger: Trigger, now: datetime) -> LedgerEntry:
    """The point of a trigger that is given up; the points it carried as missed have a line already."""
    return _missed(trigger, Missed(_own_point(trigger), MissedReason.POISONED), now)


def _own_point(trigger: Trigger) -> Points:
    return Points(trigger.scheduled, trigger.scheduled, 1)


def _missed(trigger: Trigger, missed: Missed, now: datetime) -> LedgerEntry:
    return LedgerEntry(trigger.policy, trigger.policy_uid, Kind.MISSED, missed.points, missed.reason, now)
