"""Runs a seed from its first to its last moment, and tells whether everything held."""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from scheduler_service.domain import tasks
from scheduler_service.peers import policies
from scheduler_service.steps import take_up
from servicekit.errors import ServiceError
from tests.simulation import facts, faults, operations, setting_up
from tests.simulation.coverage import Coverage
from tests.simulation.databases import folder, unsynced
from tests.simulation.invariants import ALWAYS, AT_THE_END, Invariant
from tests.simulation.kernel import DAY, HOUR, MINUTE, SECOND
from tests.simulation.ledger import Ledger, Retired
from tests.simulation.network import Refused
from tests.simulation.plan import ACCOUNTS, POLICIES, Item, Plan, plan
from tests.simulation.users import User
from tests.simulation.world import World

_CHECK_EVERY = 6 * HOUR
_CHECK_AFTER = 2 * MINUTE
_SKEW = SECOND
_START_WINDOW, _BUILD_DEADLINE, _LEASES = HOUR, DAY, 2 * 30 * SECOND
_OPERATIONS = {operation.__name__: operation for operation in operations.OPERATIONS}
_FAULTS = {fault.__name__: fault for fault in faults.FAULTS}


@dataclass
class Outcome:
    """Of a run: what was violated (the invariant, and in words how), what happened, and what it came through."""

    plan: Plan
    violations: list[tuple[str, str]] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)


class _Violated(Exception):
    """The run goes no further: what comes after only hides what was first."""


class Run:
    def __init__(self, planned: Plan, path: Path) -> None:
        self.plan = planned
        self.ledger = Ledger()
        self.world = World(planned.seed, path)
        self.violations: list[tuple[str, str]] = []
        self._images: dict[str, facts.ImageFact] = {}
        self.world.observers.append(self._watch_retention)

    def live(self) -> None:
        """All of it; raises _Violated at the first violation."""
        world = self.world
        world.aim = self.plan.aim
        self._set_clocks()
        world.start()
        for account in ACCOUNTS:
            self._spawn(
                account, "set up", lambda user: setting_up.set_up(user, self.plan.instances, POLICIES, self.plan.slots)
            )
        for item in self.plan.items:
            world.kernel.at(item.moment, lambda item=item: self._begin(item))  # type: ignore[misc]
        for moment in range(_CHECK_EVERY, self.plan.days * DAY, _CHECK_EVERY):
            world.kernel.at(moment, lambda: self.check(ALWAYS))
        world.kernel.run(self.plan.days * DAY)
        self._heal()
        self._drain()

    def check(self, invariants: Iterable[Invariant], *, logs: bool = False) -> None:
        read = self.read(logs=logs)
        self.violations += [("nothing_fails_by_a_bug", bug) for bug in self.world.bugs]
        self.violations += [
            (invariant.__name__, found) for invariant in invariants for found in invariant(read, self.ledger)
        ]
        if self.violations:
            raise _Violated

    def read(self, *, logs: bool) -> facts.Facts:
        now = self.world.kernel.now
        read = facts.read(self.world.folder, self.ledger, now, self.ledger.compute_clock.shown(now), logs=logs)
        self._images |= {image.name: image for image in read.images}
        return read

    def _watch_retention(self, source: str, method: str, request: Any, outcome: Any) -> None:
        """Takes down what compute has at the moment in which a scheduler has deleted an image."""
        if method != "DeleteImage" or not source.startswith("scheduler"):
            return
        self.ledger.retiring.add(request.name)
        image = self._images.get(request.name)
        if outcome is None or isinstance(outcome, Refused) or image is None or self._user_deletes(image.instance):
            return
        left = [
            other
            for other in self.read(logs=False).images
            if (other.policy, other.instance, other.state) == (image.policy, image.instance, "AVAILABLE")
        ]
        policy = self.ledger.policy_named(image.policy)
        self.ledger.retired.append(
            Retired(
                image.name,
                image.policy,
                image.instance,
                newer_exists=any(
                    other.scheduled_time >= image.scheduled_time for other in left
                ),  # labels have seconds only
                newest_may_go=policy is None or policy.may_delete_newest,
                protected=image.name in self.ledger.protected_images,
                foreign=image.name in self.ledger.foreign_images,
            )
        )

    def _user_deletes(self, instance: str) -> bool:
        """Whether a user ever deleted an image of the instance: perhaps the newest, just when it was looked at."""
        return instance in self.ledger.deleted_images.values()

    def _set_clocks(self) -> None:
        """No two machines agree to the microsecond."""
        draw = self.plan.stream("clocks")
        for machine in self.world.machines:
            machine.product.offset = draw.randint(-_SKEW, _SKEW)
            machine.operating.offset = draw.randint(-_SKEW, _SKEW)
            faults.tell_clock(self.world, self.ledger, machine)

    def _begin(self, item: Item) -> None:
        if item.account:
            self._spawn(item.account, item.name, _OPERATIONS[item.name], item)
            return
        _FAULTS[item.name](faults.Victim(self.world, self.ledger, self.plan.stream(item.number)))
        self.world.kernel.at(self.world.kernel.now + _CHECK_AFTER, lambda: self.check(ALWAYS))

    def _spawn(self, account: str, name: str, operation: Callable[[User], None], item: Item | None = None) -> None:
        draw = self.plan.stream(item.number if item else f"{name} {account}")
        user = User(self.world, self.ledger, account, draw)

        def work() -> None:
            try:
                operation(user)
            except ServiceError as error:
                user.tell(f"{name} is refused: {error!r}")
            else:
                self.world.coverage.operations[name] += 1

        self.world.kernel.spawn(user, name, work)

    def _heal(self) -> None:
        """Nothing goes wrong any more, and no new points come due."""
        world = self.world
        world.story.tell("healing", "no more faults")
        world.healed = True
        world.snares.clear()
        world.network.ambushes.clear()
        for machine in world.machines:
            machine.paused_until = machine.unreachable_until = 0
            if not machine.alive:
                machine.start()
        for account in ACCOUNTS:
            self._spawn(account, "disable all", _disable_all)

    def _drain(self) -> None:
        kernel = self.world.kernel
        end = kernel.now + _START_WINDOW + _BUILD_DEADLINE + _LEASES + self.ledger.stepped_back + 5 * MINUTE
        while kernel.now < end and not (kernel.now > self.plan.days * DAY and self._is_quiet()):
            kernel.run(min(kernel.now + HOUR, end))
        self.check(AT_THE_END, logs=True)

    def _is_quiet(self) -> bool:
        read = self.read(logs=False)
        return not read.triggers and not read.undelivered and all(task.ended for task in read.tasks)


def _disable_all(user: User) -> None:
    while user.a_policy(lambda policy: policy.enabled):
        operations.disable(user)


def simulate(planned: Plan | int) -> Outcome:
    """Lives through a plan, or through that of a seed."""
    if isinstance(planned, int):
        planned = plan(planned)
    outcome = Outcome(planned)
    with surroundings() as path:
        run = Run(planned, path)
        try:
            run.live()
        except _Violated:
            outcome.violations = run.violations
        finally:
            run.world.close()
    outcome.story = run.world.story.lines()
    outcome.coverage = run.world.coverage
    outcome.coverage.reached_by = dict.fromkeys(run.world.coverage.places, planned.seed)
    return outcome


def brief(planned: Plan) -> Outcome:
    """Without its story, which is long and can be had again."""
    outcome = simulate(planned)
    outcome.story = []
    return outcome


@contextmanager
def surroundings() -> Iterator[Path]:
    """What a world needs around it: a folder for its databases, and quiet."""
    with unsynced(), _quiet_logs(), _suitable_limits(), _without_collections():
        yield folder()


@contextmanager
def _suitable_limits() -> Iterator[None]:
    """Triggers are leased a few at a time, so that the schedulers share them.

    What lasts for hours would be looked at thousands of times: that shows nothing that fewer looks don't.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "LEASE_INSTANCES", 6)
        patch.setattr(tasks, "FOLLOW_MOST", timedelta(hours=2))
        patch.setattr(tasks, "RETRY_MOST", timedelta(minutes=5))
        patch.setattr(take_up, "_AFTER_FAILURE", timedelta(seconds=20))
        yield


@contextmanager
def _without_collections() -> Iterator[None]:
    """A run is over before its garbage matters. What was there before it stays frozen: it is looked at once."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """What the services log takes longer than what they do."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
