"""What the demo expects, worked out from the fleet file and from what the demo itself does. Asks the suite nothing.

It is deliberately simple and slow: a list of policies, a dictionary of instances, and one loop over time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SYSTEM_DISK = "vda"


@dataclass(frozen=True)
class Disk:
    """A disk of an instance; only cloud disks can be in an image."""

    device: str
    cloud: bool


@dataclass
class PolicyModel:
    """A policy as the demo knows it. `devices` empty means all disks; `next` is None while it is disabled."""

    name: str
    anchor: datetime
    interval: timedelta
    devices: frozenset[str]
    log_topic: str
    next: datetime | None

    @property
    def place(self) -> str:
        return self.name.rpartition("/policies/")[0]


@dataclass(frozen=True)
class ExpectedExecution:
    """A policy's execution at a scheduled time, for these instances."""

    policy: str
    scheduled_time: datetime
    log_topic: str
    instances: tuple[str, ...]
    included: Mapping[str, frozenset[str]]
    left_out: Mapping[str, Mapping[str, str]]
    images_left: int
    """How many images the quota allowed when the execution began: so many tasks succeed, the others are skipped."""

    @property
    def successes(self) -> int:
        return min(len(self.instances), self.images_left)


@dataclass
class Model:
    """The fleet, and the executions that it must have had. Limits are by place, such as `accounts/a/regions/r`."""

    instances: Mapping[str, tuple[Disk, ...]]
    image_limits: Mapping[str, int]
    policies: dict[str, PolicyModel] = field(default_factory=dict)
    policy_of: dict[str, str] = field(default_factory=dict)
    executions: list[ExpectedExecution] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)

    def next_due(self) -> datetime | None:
        """The next scheduled time of any policy."""
        return min((policy.next for policy in self.policies.values() if policy.next), default=None)

    def advance(self, now: datetime) -> list[ExpectedExecution]:
        """Executes what is due at `now` or before, in the order of time; returns what was added."""
        added = []
        while (due := self.next_due()) is not None and due <= now:
            for policy in [policy for policy in self.policies.values() if policy.next == due]:
                added.append(self._execute(policy, due))
                policy.next = due + policy.interval
        self.executions.extend(added)
        return added

    def move(self, instance: str, policy: str) -> None:
        self.policy_of[instance] = policy

    def disable(self, policy: str) -> None:
        self.policies[policy].next = None

    def enable(self, policy: str, now: datetime) -> None:
        """The first point of the schedule after now (P13)."""
        model = self.policies[policy]
        point = model.anchor
        while point <= now:
            point += model.interval
        model.next = point

    def delete(self, policy: str) -> None:
        del self.policies[policy]
        self.policy_of = {instance: other for instance, other in self.policy_of.items() if other != policy}

    def _execute(self, policy: PolicyModel, at: datetime) -> ExpectedExecution:
        instances = tuple(sorted(name for name, its in self.policy_of.items() if its == policy.name))
        used = self.images.get(policy.place, 0)
        left = max(self.image_limits[policy.place] - used, 0)
        self.images[policy.place] = used + min(left, len(instances))
        return ExpectedExecution(
            policy=policy.name,
            scheduled_time=at,
            log_topic=policy.log_topic,
            instances=instances,
            included={name: frozenset(self._included(name, policy.devices)) for name in instances},
            left_out={name: dict(self._left_out(name, policy.devices)) for name in instances},
            images_left=left,
        )

    def _included(self, instance: str, devices: frozenset[str]) -> Iterator[str]:
        for disk in self.instances[instance]:
            if disk.cloud and (not devices or disk.device in devices or disk.device == SYSTEM_DISK):
                yield disk.device

    def _left_out(self, instance: str, devices: frozenset[str]) -> Iterator[tuple[str, str]]:
        """Named disks that the instance lacks, and local disks that were asked for (P5)."""
        present = {disk.device: disk for disk in self.instances[instance]}
        for device in devices - present.keys():
            yield device, "NO_SUCH_DISK"
        for disk in present.values():
            if not disk.cloud and (not devices or disk.device in devices):
                yield disk.device, "LOCAL_DISK"
