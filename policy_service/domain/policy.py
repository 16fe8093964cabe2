"""A policy, and what its own state decides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from policy_service.domain.errors import StartTimeOutOfRange
from policy_service.domain.retention import Retention
from policy_service.domain.schedule import EARLIEST_START, LATEST_START, Schedule
from servicekit import names

SYSTEM_DISK = "vda"


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
    """Where executions are logged: the topic's resource name, and whether entries are delivered."""

    topic: str
    enabled: bool


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
    """A stored policy. It is enabled exactly while it has a next execution."""

    key: PolicyKey
    uid: str
    spec: PolicySpec
    next_execution: datetime | None
    last_execution: datetime | None
    execution_count: int
    instance_count: int
    revision: int
    create_time: datetime
    update_time: datetime

    @property
    def enabled(self) -> bool:
        return self.next_execution is not None

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
        next_execution=spec.schedule.start_time if enabled else None,
        last_execution=None,
        execution_count=0,
        instance_count=0,
        revision=1,
        create_time=now,
        update_time=now,
    )


def check_start_time(start_time: datetime, now: datetime) -> None:
    """A new start time is from 30 minutes to 365 days ahead, both allowed (P3)."""
    earliest, latest = now + EARLIEST_START, now + LATEST_START
    if not earliest <= start_time <= latest:
        raise StartTimeOutOfRange(earliest, latest)


def with_system_disk(devices: Sequence[str]) -> tuple[str, ...] | None:
    """The named disks and the system disk, which is always in, in order; None, all disks, if none is named (P5)."""
    return tuple(sorted({SYSTEM_DISK, *devices})) if devices else None


def enable(policy: Policy, now: datetime) -> Policy:
    """Next is the first point after now: what was missed while disabled never fires (P13).

    Nor does a point that was settled before, should the clock have gone back since.
    """
    if policy.enabled:
        return policy
    settled = max(now, policy.update_time, policy.last_execution or now)
    return _changed(policy, policy.spec.schedule.first_after(settled), now)


def disable(policy: Policy, now: datetime) -> Policy:
    """The policy triggers no more. Points that are due are settled before, see `triggers.settle`."""
    if not policy.enabled:
        return policy
    return _changed(policy, None, now)


def _changed(policy: Policy, next_execution: datetime | None, now: datetime) -> Policy:
    return replace(policy, next_execution=next_execution, revision=policy.revision + 1, update_time=now)
