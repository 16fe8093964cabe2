"""What users were told: the harness' own record of acknowledged changes, which the suite is held against.

Moments named `…_time` are microseconds since 1970 by the policy service's product clock; others are virtual time.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise

from servicekit.timestamps import to_micros
from tests.simulation.machines import START

_START = to_micros(START)


class ClockHistory:
    """What a product clock has shown since the run began."""

    def __init__(self) -> None:
        self._offsets: list[tuple[int, int]] = [(0, 0)]

    def set(self, now: int, offset: int) -> None:
        """It is so far ahead from now on."""
        self._offsets.append((now, offset))

    def shown(self, now: int) -> int:
        return _START + now + self._offsets[bisect_right(self._offsets, (now, 1 << 62)) - 1][1]

    def range(self, first: int, last: int) -> tuple[int, int]:
        """The lowest and the highest that it showed from `first` to `last`."""
        times = [self.shown(first), self.shown(last)]
        for (_, before), (moment, after) in pairwise(self._offsets):
            if first < moment <= last:
                times += [_START + moment + before, _START + moment + after]
        return min(times), max(times)

    def when(self, time: int) -> int:
        """When it first showed this."""
        ends = [moment for moment, _ in self._offsets[1:]] + [1 << 62]
        for (begin, offset), end in zip(self._offsets, ends, strict=True):
            if begin <= time - _START - offset < end:
                return time - _START - offset
        return 0


@dataclass
class Span:
    """A policy was enabled on one schedule: points are `first_time` and one every `interval` microseconds after it.

    `opened` and `closed` are when users were told so; the change that closed it was made from `closing` to `closed`.
    Its grid begins at `start_time`; 0 if that is long ago.
    """

    first_time: int
    interval: int
    opened: int
    closing: int | None = None
    closed: int | None = None
    start_time: int = 0

    def points(self, last_time: int) -> range:
        """Up to and including `last_time`."""
        return range(self.first_time, last_time + 1, self.interval)

    def possible_points(self, after_time: int, last_time: int) -> range:
        """Those before them too: an earlier try, whose answer was lost, may have opened it by `after_time`."""
        after_time = max(after_time, self.start_time - 1)
        earlier = max(0, self.first_time - after_time - 1) // self.interval
        return range(self.first_time - earlier * self.interval, last_time + 1, self.interval)


@dataclass
class KnownPolicy:
    """A policy as its user knows it, and the spans of time in which it was enabled, in order."""

    name: str
    uid: str
    interval: int
    may_delete_newest: bool = False
    spans: list[Span] = field(default_factory=list)
    deleted: bool = False

    @property
    def enabled(self) -> bool:
        return bool(self.spans) and self.spans[-1].closing is None

    def open(self, first: datetime, now: int, start: datetime | None = None) -> None:
        """Enabled, on a grid from `start` if that is new. Nothing, if it was: the answer came to a repeated call."""
        if not self.enabled:
            start_time = 0 if start is None else to_micros(start)
            self.spans.append(Span(to_micros(first), self.interval, now, start_time=start_time))

    def close(self, sent: int, now: int) -> None:
        if self.enabled:
            self.spans[-1].closing, self.spans[-1].closed = sent, now


@dataclass(frozen=True)
class Farewell:
    """An association was dissolved, and its user knows since `told`: by a deletion, a move or a disassociation."""

    association_uid: str
    told: int
    why: str


@dataclass(frozen=True)
class Restoration:
    """A service's database of `copied` took the place of that of `restored`."""

    service: str
    copied: int
    restored: int


@dataclass(frozen=True)
class Retired:
    """An image that retention has deleted, and what compute had at that moment."""

    image: str
    policy: str
    instance: str
    newer_exists: bool
    newest_may_go: bool
    protected: bool
    foreign: bool


@dataclass
class Knowledge:
    """What restoring the policy service's database takes back."""

    policies: dict[str, KnownPolicy] = field(default_factory=dict)
    """By uid, deleted ones too."""
    associations: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By instance: the uids of its policy and of the association."""
    farewells: list[Farewell] = field(default_factory=list)


@dataclass
class Ledger:
    known: Knowledge = field(default_factory=Knowledge)
    instances: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    """Runs that were accepted, by id: the policy's uid."""
    deleted_images: dict[str, str] = field(default_factory=dict)
    """By users: each one's instance."""
    protected_images: set[str] = field(default_factory=set)
    foreign_images: set[str] = field(default_factory=set)
    foreign_requests: set[str] = field(default_factory=set)
    """The images that users made by hand, and the request ids of those."""
    retiring: set[str] = field(default_factory=set)
    """Those that retention asked compute to delete."""
    retired: list[Retired] = field(default_factory=list)
    restorations: list[Restoration] = field(default_factory=list)
    forgotten_policies: set[str] = field(default_factory=set)
    built: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Every image ever seen of an execution and instance."""
    used_when_set: dict[tuple[str, str], int] = field(default_factory=dict)
    """By place and kind of quota: what was used when the limit was set last, less what has gone since."""
    busy: set[str] = field(default_factory=set)
    """Names that an unfinished change of a user is about."""
    stepped_back: int = 0
    """How far product clocks were set back, altogether: so much longer may anything last."""
    largest_skew: int = 0
    """How far the operating clocks of two processes were ever apart."""
    policy_clock: ClockHistory = field(default_factory=ClockHistory)
    compute_clock: ClockHistory = field(default_factory=ClockHistory)

    def policy_named(self, name: str) -> KnownPolicy | None:
        return next((p for p in self.known.policies.values() if p.name == name and not p.deleted), None)

    def living_policies(self, place: str) -> list[KnownPolicy]:
        return [p for p in self.known.policies.values() if not p.deleted and p.name.startswith(f"{place}/")]

    def restored(self, service: str, since: int = 0) -> list[Restoration]:
        return [each for each in self.restorations if each.service == service and each.restored >= since]

    def see_used(self, used: Mapping[tuple[str, str], int]) -> None:
        """What has gone may not come back beyond the limit."""
        self.used_when_set = {key: min(most, used.get(key, 0)) for key, most in self.used_when_set.items()}

    def say_farewell(self, instances: Iterable[str], now: int, why: str) -> None:
        for instance in instances:
            _, association_uid = self.known.associations.pop(instance)
            self.known.farewells.append(Farewell(association_uid, now, why))

    def restore(self, restoration: Restoration, known: Knowledge) -> None:
        """A database is as it was; `known` is what users knew then."""
        self.restorations.append(restoration)
        if restoration.service == "policy_service":
            self.forgotten_policies |= self.known.policies.keys() - known.policies.keys()
            said = set(self.known.farewells)
            known.farewells = [
                each if each in said else replace(each, told=restoration.restored) for each in known.farewells
            ]
            self.known = known

    def forget_all_but(
        self,
        instances: Iterable[str],
        images: Iterable[str],
        protected: Collection[str],
        used: Mapping[tuple[str, str], int],
    ) -> None:
        """Compute has lost all others, and its limits are those of before."""
        self.instances &= set(instances)
        self.protected_images &= set(protected)
        self.used_when_set = dict(used)
        there = set(images)
        self.built = {key: names & there for key, names in self.built.items()}
