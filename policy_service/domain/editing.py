"""What an edit makes of a policy, and of the times at which it triggers."""

from dataclasses import replace
from datetime import datetime

from policy_service.domain.errors import ExecutionsTooClose, ScheduleExhausted
from policy_service.domain.policy import Policy, PolicySpec, changed, check_start_time
from policy_service.domain.schedule import MICROSECOND, MIN_DISTANCE, Anchor, Schedule
from policy_service.domain.wall_clock import wall_at


def edit(policy: Policy, spec: PolicySpec, now: datetime, *, start_field: str = "policy.schedule.start_time") -> Policy:
    """The policy with another spec, or unchanged if it is the same. Points that are due are settled before.

    The next execution moves at once (P11), but not nearer than 12 hours to the last one (P12); a disabled policy gets
    none, but is checked in the same way. A limit on executions that is reached already disables (P10).
    Raises StartTimeOutOfRange, naming `start_field`, ExecutionsTooClose, ScheduleExhausted.
    """
    if spec == policy.spec:
        return policy
    old, new = policy.spec.schedule, spec.schedule
    if new.start_time != old.start_time:
        check_start_time(new.start_time, now, start_field)
    edited = replace(policy, spec=spec, anchor=_anchor(policy, new))
    next_execution = policy.next_execution
    if (new.start_time, new.interval, new.time_zone) != (old.start_time, old.interval, old.time_zone):
        next_execution = _next_execution(edited, now)
    return changed(edited, None if not policy.enabled or edited.limit_reached else next_execution, now)


def _anchor(policy: Policy, new: Schedule) -> Anchor | None:
    """A new start time wins; a new interval or zone counts from the last execution, if the start time has had one."""
    old, last = policy.spec.schedule, policy.last_execution
    if new.start_time != old.start_time:
        return None
    if (new.interval, new.time_zone) == (old.interval, old.time_zone):
        return policy.anchor
    if last is None or last < new.start_time:
        return None
    return policy.grid.anchor_at(last) if new.clock == old.clock else Anchor(last, wall_at(last, new.clock))


def _next_execution(edited: Policy, now: datetime) -> datetime | None:
    """The first point that is neither past nor settled, whether or not the policy is enabled."""
    passed = now - MICROSECOND
    following = edited.grid.first_after(max(passed, edited.settled or passed))
    if following is None and edited.enabled:
        raise ScheduleExhausted(edited.key.name)
    last = edited.last_execution
    if following is not None and last is not None and following - last < MIN_DISTANCE:
        raise ExecutionsTooClose(edited.key.name, last + MIN_DISTANCE)
    return following
