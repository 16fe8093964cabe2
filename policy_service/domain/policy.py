"""A policy, and what its own state decides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from policy_service.domain.errors import ScheduleExhausted, StartTimeOutOfRange
from policy_service.domain.retention import Retention
from policy_service.domain.schedule import (
    EARLIEST_START,
    LATEST_START,
    MICROSECOND,
    MIN_DISTANCE,
    Anchor,
    Grid,
    Schedule,
    later,
)
from servicekit import names

SYSTEM_DISK = "vda"
MAX_DESCRIPTION = 256
"""Code points (P2)."""


class Place(NamedTuple):
    """An account in a region."""

    account: str
    region: str

    @property
    def name(self) -> str:
        return names.ACCOUNT_REGION.format(account=self.account, region=self.region)


class PolicyKey(NamedTuple):
    """What a policy's resource name is made of."""

    account: str
    region: str
    policy_id: str

    @property
    def place(self) -> Place:
        return Place(self.account, self.region)

    @property
    def name(self) -> str:
        return names.POLICY.format(account=self.account, region=self.region, policy=self.policy_id)


@dataclass(frozen=True)
class Logging:
    """Where executions are logged: the topic's resource name, and whether entries are delivered.

    `topic_gone`: they are not, by itself, since the topic was deleted (L4).
    """

    topic: str
    enabled: bool
    topic_gone: bool = False


@dataclass(frozen=True, kw_only=True)
class PolicySpec:
    """What a user says of a policy. `devices` None means all disks, `retention` None that images are kept for ever."""

    display_name: str
    description: str
    schedule: Schedule
    devices: tuple[str, ...] | None
    logging: Logging | None
    retention: Retention | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A stored policy. It is enabled exactly while it has a next execution.

    `anchor` is where its points are counted from; None: the start time. `settled` is the newest point that was
    triggered or missed: no point up to it is looked at again. `limited_count` counts the executions since it was last
    enabled. `replicated_from` is the name of the policy that it was made from, if any, which may be gone.
    """

    key: PolicyKey
    uid: str
    spec: PolicySpec
    anchor: Anchor | None
    next_execution: datetime | None
    last_execution: datetime | None
    settled: datetime | None
    execution_count: int
    limited_count: int
    instance_count: int
    revision: int
    create_time: datetime
    update_time: datetime
    replicated_from: str = ""

    @property
    def enabled(self) -> bool:
        return self.next_execution is not None

    @property
    def grid(self) -> Grid:
        return Grid.of(self.spec.schedule, self.anchor)

    @property
    def limit_reached(self) -> bool:
        """Whether it triggered as often as it may since it was last enabled (P10)."""
        return 0 < self.spec.schedule.execution_limit <= self.limited_count

    @property
    def etag(self) -> str:
        """Changes with every change by a user, and is not that of an earlier policy of the same name."""
        return f"{self.uid[:8]}-{self.revision}"

    @property
    def log_topic(self) -> str:
        """Where an execution is logged now; empty if nowhere."""
        return self.spec.logging.topic if self.spec.logging is not None and self.spec.logging.enabled else ""


@dataclass(frozen=True)
class PolicyFilter:
    """Chooses policies of a place that fit every field; None, an empty tuple and an empty text fit all."""

    policy_ids: tuple[str, ...] = ()
    enabled: bool | None = None
    display_name: str = ""
    instance_id: str = ""


def new_policy(key: PolicyKey, uid: str, spec: PolicySpec, *, enabled: bool, now: datetime) -> Policy:
    """A policy that has never triggered; its start time is not checked."""
    return Policy(
        key=key,
        uid=uid,
        spec=spec,
        anchor=None,
        next_execution=spec.schedule.start_time if enabled else None,
        last_execution=None,
        settled=None,
        execution_count=0,
        limited_count=0,
        instance_count=0,
        revision=1,
        create_time=now,
        update_time=now,
    )


def check_start_time(start_time: datetime, now: datetime, field: str = "policy.schedule.start_time") -> None:
    """A new start time is from 30 minutes to 365 days ahead, both allowed (P3). `field` is its place in the request."""
    earliest, latest = later(now, EARLIEST_START), later(now, LATEST_START)
    if not earliest <= start_time <= latest:
        raise StartTimeOutOfRange(field, earliest, latest)


def with_system_disk(devices: Sequence[str]) -> tuple[str, ...] | None:
    """The named disks and the system disk, which is always in, in order; None, all disks, if none is named (P5)."""
    return tuple(sorted({SYSTEM_DISK, *devices})) if devices else None


def topic_to_check(old: PolicySpec, new: PolicySpec) -> str | None:
    """The log topic that an edit makes a policy log to, if it did not log there before (P7)."""
    before, after = old.logging, new.logging
    if after is None or after == before:
        return None
    is_disabled_only = before is not None and after.topic == before.topic and not after.enabled
    return None if is_disabled_only else after.topic


def enable(policy: Policy, now: datetime) -> Policy:
    """Next is the first point after now: what was missed while disabled never fires (P13).

    Nor does a point that was settled before, should the clock have gone back since. Executions are counted anew (P10).
    Raises ScheduleExhausted.
    """
    if policy.enabled:
        return policy
    next_execution = policy.grid.first_after(max(now, last_settled(policy, now)))
    if next_execution is None:
        raise ScheduleExhausted(policy.key.name)
    return changed(replace(policy, limited_count=0), next_execution, now)


def last_settled(policy: Policy, default: datetime) -> datetime:
    """No point up to this may fire any more; `default` if all may.

    That is the newest one that was triggered or missed, and what lies less than 12 hours after the latest execution: no
    point does, unless another version of the time zones moved it there.
    """
    settled = policy.settled or default
    if policy.last_execution is not None:
        settled = max(settled, later(policy.last_execution, MIN_DISTANCE - MICROSECOND))
    return settled


def disable(policy: Policy, now: datetime) -> Policy:
    """The policy triggers no more. Points that are due are settled before, see `triggers.settle`."""
    if not policy.enabled:
        return policy
    return changed(policy, None, now)


def changed(policy: Policy, next_execution: datetime | None, now: datetime) -> Policy:
    """The policy as a user's change leaves it: of a new revision."""
    return replace(policy, next_execution=next_execution, revision=policy.revision + 1, update_time=now)
