"""What is due: how a policy becomes a trigger, and which triggers a scheduler gets."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

from policy_service.domain.policy import Policy, PolicyKey
from policy_service.domain.retention import Retention
from policy_service.domain.schedule import MICROSECOND, MIN_DISTANCE, CatchUp, Points, Schedule, later
from servicekit.timestamps import to_micros

ON_TIME = timedelta(minutes=5)
"""A point taken up this long after its time, or sooner, is on time (D4)."""
LEASES_IN_COMPANY = 3
"""A trigger leased this many times in vain is leased alone from then on (D3)."""
LEASES_IN_ALL = 6
"""A trigger leased this many times in vain is not run any more (D3)."""
NEWEST_SHARE = 10
"""Of what waits longer than one lease has room, one instance in so many that are leased is of the newest."""


class Kind(enum.StrEnum):
    """What there is to do."""

    SCHEDULED = "SCHEDULED"
    CATCH_UP = "CATCH_UP"
    RUN_NOW = "RUN_NOW"
    MISSED = "MISSED"


class MissedReason(enum.StrEnum):
    """Why points of a schedule were missed; names of the contract."""

    NOT_TAKEN_UP = "NOT_TAKEN_UP"
    POLICY_DISABLED = "POLICY_DISABLED"
    POLICY_DELETED = "POLICY_DELETED"
    POISONED = "POISONED"


@dataclass(frozen=True)
class Missed:
    """Points at which nothing was run, and why."""

    points: Points
    reason: MissedReason


class TriggeredAssociation(NamedTuple):
    """An association at the moment of triggering."""

    uid: str
    instance_id: str


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The durable fact that something is due, with a copy of the policy and its associations (D2).

    `dedup_key` is unique in the policy. `scheduled` is the point to run or, if there is none, the last point missed.
    """

    uid: str
    kind: Kind
    dedup_key: str
    policy: PolicyKey
    policy_uid: str
    display_name: str
    devices: tuple[str, ...] | None
    log_topic: str
    associations: tuple[TriggeredAssociation, ...]
    scheduled: datetime
    run_id: str
    trigger_time: datetime
    missed: Missed | None
    retention: Retention | None = None
    spread: timedelta = timedelta(0)
    lease_count: int = 0

    @property
    def weight(self) -> int:
        """What the trigger counts for where instances are limited."""
        return max(1, len(self.associations))


def take_up(
    policy: Policy, uid: str, associations: Sequence[TriggeredAssociation], now: datetime
) -> tuple[Policy, Trigger]:
    """The trigger of a policy that is due, and the policy afterwards (D1, D4).

    The newest point is run, if it is on time or may be caught up; the same trigger records the others as missed.
    """
    points = due_points(policy, now)
    assert points is not None, "the policy is not due"
    newest = points.last
    following = policy.grid.first_after(later(newest, MIN_DISTANCE - MICROSECOND))
    moved_on = replace(policy, next_execution=following, settled=newest)
    kind = _kind(policy.spec.schedule, now - newest)
    if kind is Kind.MISSED:
        return moved_on, _missed(policy, uid, Missed(points, MissedReason.NOT_TAKEN_UP), now)
    older = policy.grid.due(points.first, newest - MICROSECOND)
    missed = None if older is None else Missed(older, MissedReason.NOT_TAKEN_UP)
    key = str(to_micros(newest))
    trigger = _trigger(policy, uid, kind, key, scheduled=newest, now=now, associations=associations, missed=missed)
    return _executed(moved_on, newest), replace(trigger, spread=policy.spec.schedule.spread)


def _kind(schedule: Schedule, age: timedelta) -> Kind:
    """What becomes of the newest point that is due, so long after its time."""
    if age <= ON_TIME:
        return Kind.SCHEDULED
    too_old = schedule.catch_up_window is not None and age > schedule.catch_up_window
    return Kind.MISSED if too_old or schedule.catch_up is CatchUp.NONE else Kind.CATCH_UP


def _executed(policy: Policy, point: datetime) -> Policy:
    """The last execution that the policy's limit allows disables it (P10)."""
    executed = replace(
        policy,
        last_execution=point,
        execution_count=policy.execution_count + 1,
        limited_count=policy.limited_count + 1,
    )
    return replace(executed, next_execution=None) if executed.limit_reached else executed


def due_points(policy: Policy, now: datetime) -> Points | None:
    """The points of an enabled policy whose time has come."""
    return None if policy.next_execution is None else policy.grid.due(policy.next_execution, now)


def settle(policy: Policy, uid: str, reason: MissedReason, now: datetime) -> Trigger | None:
    """Records the points that are due as missed, before the policy is disabled or deleted; None if none is due (D1)."""
    points = due_points(policy, now)
    return None if points is None else _missed(policy, uid, Missed(points, reason), now)


def _missed(policy: Policy, uid: str, missed: Missed, now: datetime) -> Trigger:
    key = f"missed-{to_micros(missed.points.first)}"
    return _trigger(policy, uid, Kind.MISSED, key, scheduled=missed.points.last, now=now, missed=missed)


def run_now(
    policy: Policy, uid: str, run_id: str, associations: Sequence[TriggeredAssociation], now: datetime
) -> Trigger:
    """A run beside the schedule, which it leaves alone (D5)."""
    key = f"run-{run_id}"
    return _trigger(policy, uid, Kind.RUN_NOW, key, scheduled=now, now=now, associations=associations, run_id=run_id)


def _trigger(
    policy: Policy,
    uid: str,
    kind: Kind,
    dedup_key: str,
    *,
    scheduled: datetime,
    now: datetime,
    associations: Sequence[TriggeredAssociation] = (),
    run_id: str = "",
    missed: Missed | None = None,
) -> Trigger:
    return Trigger(
        uid=uid,
        kind=kind,
        dedup_key=dedup_key,
        policy=policy.key,
        policy_uid=policy.uid,
        display_name=policy.spec.display_name,
        devices=policy.spec.devices,
        log_topic=policy.log_topic,
        associations=tuple(associations),
        scheduled=scheduled,
        run_id=run_id,
        trigger_time=now,
        missed=missed,
        retention=policy.spec.retention,
    )


def is_poisonous(kind: Kind, lease_count: int) -> bool:
    """Whether a trigger whose lease ran out has been leased in vain too often."""
    return kind is not Kind.MISSED and lease_count >= LEASES_IN_ALL


def poisoned(trigger: Trigger) -> Trigger:
    """The trigger with nothing left to run: its own point joins those it carries as missed (D3)."""
    carried = trigger.missed.points if trigger.missed is not None else Points(trigger.scheduled, trigger.scheduled, 0)
    points = Points(carried.first, trigger.scheduled, carried.count + 1)
    return replace(trigger, kind=Kind.MISSED, associations=(), run_id="", missed=Missed(points, MissedReason.POISONED))


class Candidate(NamedTuple):
    """Something that could be leased."""

    uid: str
    weight: int
    lease_count: int = 0


def choose(candidates: Sequence[Candidate], max_weight: int) -> list[str]:
    """Those to lease together, of candidates that are given oldest first: one at least, a suspicious one alone (D3).

    If they don't all fit, the newest have a share of the room: what is new does not wait until a backlog is gone.
    """
    if candidates and _is_suspicious(candidates[0]):
        return [candidates[0].uid]
    sound = [candidate for candidate in candidates if not _is_suspicious(candidate)]
    for_newest = max_weight // NEWEST_SHARE if _weight(sound) > max_weight else 0
    oldest = _fitting(sound, max_weight - for_newest) or sound[:1]
    newest = _fitting(sound[len(oldest) :][::-1], min(for_newest, max_weight - _weight(oldest)))
    return [candidate.uid for candidate in (*oldest, *newest)]


def _is_suspicious(candidate: Candidate) -> bool:
    return candidate.lease_count >= LEASES_IN_COMPANY


def _fitting(candidates: Sequence[Candidate], room: int) -> list[Candidate]:
    """As many, from the first on, as there is room for."""
    weights = accumulate(candidate.weight for candidate in candidates)
    return [candidate for candidate, weight in zip(candidates, weights, strict=True) if weight <= room]


def _weight(candidates: Sequence[Candidate]) -> int:
    return sum(candidate.weight for candidate in candidates)
