"""What a copy of a policy in another region looks like (P14)."""

from dataclasses import dataclass, replace
from datetime import datetime

from policy_service.domain.errors import ScheduleExhausted
from policy_service.domain.policy import MAX_DESCRIPTION, Logging, Policy, PolicyKey, new_policy
from policy_service.domain.schedule import EARLIEST_START, MICROSECOND, Anchor, later


@dataclass(frozen=True)
class Target:
    """Where a policy is copied to. Empty: the id is drawn, the name is that of the policy, the copy logs nowhere."""

    region: str
    policy_id: str
    display_name: str
    log_topic: str


def replica(source: Policy, target: Target, key: PolicyKey, uid: str, now: datetime) -> Policy:
    """Schedule, disks, retention and state are copied; instances and log destination are not.

    Raises ScheduleExhausted.
    """
    anchor = _anchor(source, now)
    schedule = source.spec.schedule
    spec = replace(
        source.spec,
        display_name=target.display_name or source.spec.display_name,
        description=described(source.spec.description, source.key),
        schedule=replace(schedule, start_time=anchor.moment) if anchor else schedule,
        logging=Logging(target.log_topic, enabled=True) if target.log_topic else None,
    )
    policy = new_policy(key, uid, spec, enabled=source.enabled, now=now)
    return replace(policy, anchor=anchor, replicated_from=source.key.name)


def described(description: str, source: PolicyKey) -> str:
    """The description with a note that names the source; if both do not fit, the description is cut."""
    note = f"[replicated from {source.region}/{source.policy_id}]"
    room = MAX_DESCRIPTION - len(note) - 1
    return f"{description[:room]} {note}" if description else note


def _anchor(source: Policy, now: datetime) -> Anchor | None:
    """Where the copy's points are counted from, if not from the source's start time.

    They are the same points, but for those that are past, or so near that a new policy could not begin with them (P3).
    """
    earliest = later(now, EARLIEST_START)
    if source.spec.schedule.start_time >= earliest:
        return None
    first = source.grid.first_after(earliest - MICROSECOND)
    if first is None:
        raise ScheduleExhausted(source.key.name)
    return source.grid.anchor_at(first)
