"""What the demo expects, worked out from the fleet file and from what the demo itself does. Asks the suite nothing.

It is deliberately simple and slow: a list of policies, a dictionary of instances, and one loop over time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from servicekit.zones import zone
from suite.points import moment_of

SYSTEM_DISK = "vda"
ON_TIME = timedelta(minutes=5)
_LENGTHS = {"HOUR": timedelta(hours=1), "DAY": timedelta(days=1), "WEEK": timedelta(weeks=1)}


@dataclass(frozen=True)
class Disk:
    """A disk of an instance; only cloud disks can be in an image."""

    device: str
    cloud: bool


@dataclass(frozen=True)
class Grid:
    """The points of a schedule: an anchor on the clocks of a zone, and one every so many `HOUR`s, `DAY`s or `WEEK`s."""

    anchor: datetime
    count: int
    unit: str
    zone: str = "UTC"

    @property
    def interval(self) -> timedelta:
        return self.count * _LENGTHS[self.unit]

    def point(self, number: int) -> datetime:
        """Days and weeks are counted on the clocks, hours are not."""
        if self.unit == "HOUR":
            return moment_of(self.anchor, zone(self.zone)) + number * self.interval
        return moment_of(self.anchor + number * self.interval, zone(self.zone))


@dataclass
class PolicyModel:
    """A policy as the demo knows it. `devices` empty means all; `number`, of the next point, is None if disabled."""

    name: str
    grid: Grid
    devices: frozenset[str] = frozenset()
    log_topic: str = ""
    number: int | None = 0
    keep_last: int = 0
    catches_up: bool = True

    @property
    def place(self) -> str:
        return self.name.rpartition("/policies/")[0]

    @property
    def next(self) -> datetime | None:
        return None if self.number is None else self.grid.point(self.number)

    def take(self, now: datetime) -> list[datetime]:
        """The points up to now that are not settled yet; they are from now on."""
        found = []
        while (point := self.next) is not None and self.number is not None and point <= now:
            found.append(point)
            self.number += 1
        return found


@dataclass(frozen=True)
class ExpectedExecution:
    """A policy's execution of a kind (`SCHEDULED`, `CATCH_UP`, `RUN_NOW`) at a scheduled time, for these instances."""

    policy: str
    kind: str
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


@dataclass(frozen=True)
class ExpectedMissed:
    """The record of points at which nothing was run."""

    policy: str
    scheduled_time: datetime
    last_time: datetime
    count: int
    log_topic: str
    kind: str = "MISSED"


Expected = ExpectedExecution | ExpectedMissed


@dataclass
class Model:
    """The fleet, and the executions that it must have had. Limits are by place, such as `accounts/a/regions/r`."""

    instances: Mapping[str, tuple[Disk, ...]]
    image_limits: Mapping[str, int]
    policies: dict[str, PolicyModel] = field(default_factory=dict)
    policy_of: dict[str, str] = field(default_factory=dict)
    executions: list[ExpectedExecution] = field(default_factory=list)
    missed: list[ExpectedMissed] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)
    kept: dict[tuple[str, str], list[datetime]] = field(default_factory=dict)
    """The scheduled times of the images that are there, by policy and instance."""
    asked: list[ExpectedExecution] = field(default_factory=list)
    """What users had run since time went on."""

    def next_due(self) -> datetime | None:
        """The next scheduled time of any policy."""
        return min((policy.next for policy in self.policies.values() if policy.next), default=None)

    def advance(self, now: datetime) -> list[Expected]:
        """What users had run, and what is taken up now, each policy's newest point, or recorded as missed."""
        added: list[Expected] = [*self.asked]
        self.asked.clear()
        for policy in sorted(self.policies.values(), key=lambda policy: policy.next or now):
            points = policy.take(now)
            is_late = bool(points) and now - points[-1] > ON_TIME
            run = points.pop() if points and (not is_late or policy.catches_up) else None
            if points:
                missed = ExpectedMissed(policy.name, points[0], points[-1], len(points), policy.log_topic)
                self.missed.append(missed)
                added.append(missed)
            if run is not None:
                added.append(self._execute(policy, "CATCH_UP" if is_late else "SCHEDULED", run))
        return added

    def run_now(self, policy: str, now: datetime) -> None:
        self.asked.append(self._execute(self.policies[policy], "RUN_NOW", now))

    def move(self, instance: str, policy: str) -> None:
        self.policy_of[instance] = policy

    def disable(self, policy: str) -> None:
        self.policies[policy].number = None

    def enable(self, policy: str, now: datetime) -> None:
        """The first point of the schedule after now (P13)."""
        model = self.policies[policy]
        number = 0
        while model.grid.point(number) <= now:
            number += 1
        model.number = number

    def reschedule(self, policy: str, count: int, unit: str) -> None:
        """A new interval counts from the latest execution (P11), which a policy must have had."""
        model = self.policies[policy]
        assert model.number, f"{policy} was not executed yet"
        latest = model.grid.anchor + (model.number - 1) * model.grid.interval
        model.grid = replace(model.grid, anchor=latest, count=count, unit=unit)
        model.number = 1

    def replicate(self, policy: str, copy: str, log_topic: str) -> None:
        """The same points, as long as none has passed; no instances, and a log destination of its own."""
        self.policies[copy] = replace(self.policies[policy], name=copy, log_topic=log_topic)

    def delete(self, policy: str) -> None:
        del self.policies[policy]
        self.policy_of = {instance: other for instance, other in self.policy_of.items() if other != policy}

    def _execute(self, policy: PolicyModel, kind: str, at: datetime) -> ExpectedExecution:
        instances = tuple(sorted(name for name, its in self.policy_of.items() if its == policy.name))
        used = self.images.get(policy.place, 0)
        left = max(self.image_limits[policy.place] - used, 0)
        self.images[policy.place] = used + min(left, len(instances))
        if policy.keep_last:
            assert len(instances) <= left, "which images there are must not depend on who is first"
            for instance in instances:
                self._retain(policy, instance, at)
        execution = ExpectedExecution(
            policy=policy.name,
            kind=kind,
            scheduled_time=at,
            log_topic=policy.log_topic,
            instances=instances,
            included={name: frozenset(self._included(name, policy.devices)) for name in instances},
            left_out={name: dict(self._left_out(name, policy.devices)) for name in instances},
            images_left=left,
        )
        self.executions.append(execution)
        return execution

    def _retain(self, policy: PolicyModel, instance: str, at: datetime) -> None:
        """The newest images of an instance stay, the others go (P9)."""
        kept = self.kept.setdefault((policy.name, instance), [])
        kept.append(at)
        while len(kept) > policy.keep_last:
            kept.pop(0)
            self.images[policy.place] -= 1

    def is_deleted(self, execution: ExpectedExecution, instance: str) -> bool:
        """Whether retention deleted the image of this instance."""
        kept = self.kept.get((execution.policy, instance))
        return kept is not None and execution.scheduled_time not in kept

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
