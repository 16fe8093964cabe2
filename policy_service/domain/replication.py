"""What a copy of a policy in another region looks like (P14)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from policy_service.domain.policy import MAX_DESCRIPTION, Logging, Policy, PolicyKey, PolicySpec
from policy_service.domain.schedule import EARLIEST_START, Schedule

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Target:
    """Where a policy is copied to. Empty: the id is drawn, the name is that of the policy, the copy logs nowhere."""

    region: str
    policy_id: str
    display_name: str
    log_topic: str


def replica(source: Policy, target: Target, now: datetime) -> PolicySpec:
    """Schedule, disks and retention are copied; instances and log destination are not."""
    spec = source.spec
    return replace(
        spec,
        display_name=target.display_name or spec.display_name,
        description=described(spec.description, source.key),
        schedule=valid_from(spec.schedule, now),
        logging=Logging(target.log_topic, enabled=True) if target.log_topic else None,
    )


def described(description: str, source: PolicyKey) -> str:
    """The description with a note that names the source; if both do not fit, the description is cut."""
    note = f"[replicated from {source.region}/{source.policy_id}]"
    room = MAX_DESCRIPTION - len(note) - 1
    return f"{description[:room]} {note}" if description else note


def valid_from(schedule: Schedule, now: datetime) -> Schedule:
    """The same points, but for those that are past, or so near that a new policy could not begin with them (P3)."""
    earliest = now + EARLIEST_START
    if schedule.start_time >= earliest:
        return schedule
    return replace(schedule, start_time=schedule.first_after(earliest - _MICROSECOND))
