"""The suite of a run: four services, of the scheduler more than one, over their databases, clocks and the network.

What a service's `main.compose` puts together for production is put together here once more; whoever adds a loop or a
servicer there adds it here.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from autoimage.scheduler.v1 import execution_service_pb2_grpc
from compute_sim import dependencies as compute_dependencies
from compute_sim import main as compute_main
from compute_sim.commands import keep_house as compute_keep_house
from compute_sim.domain.simulation import Simulation
from log_service import dependencies as log_dependencies
from log_service import main as log_main
from log_service.commands.purge import purge
from policy_service import clients as policy_clients
from policy_service import dependencies as policy_dependencies
from policy_service import main as policy_main
from policy_service.commands import keep_house
from scheduler_service import dependencies as scheduler_dependencies
from scheduler_service.peers.compute import Compute
from scheduler_service.peers.logs import Logs
from scheduler_service.peers.policies import Policies
from scheduler_service.servicer import ExecutionServicer
from scheduler_service.steps import deliver, follow, resolve, retain, say_at_work, send, take_up
from scheduler_service.steps import keep_house as scheduler_keep_house
from servicekit.errors import Code
from servicekit.ids import Ids
from servicekit.loop import Wake
from tests.simulation.coverage import Coverage
from tests.simulation.databases import SimulatedDatabase
from tests.simulation.kernel import DAY, MILLISECOND, SECOND, Crash, Kernel
from tests.simulation.machines import Composition, LoopSpec, Machine
from tests.simulation.network import Network, Refused, SimulatedClient
from tests.simulation.story import Story
from tests.support.databases import database

NORTH, SOUTH = "cn-north-1", "cn-south-1"
REGIONS = frozenset({NORTH, SOUTH})
POLICY, COMPUTE, LOG, SCHEDULER = "policy_service", "compute_sim", "log_service", "scheduler_service"
PACKAGES = {POLICY: "policy", COMPUTE: "compute", LOG: "log", SCHEDULER: "scheduler"}
SCHEDULERS = 2
LEASE = 30 * SECOND
_LEASE = timedelta(seconds=30)
_SWEEP = timedelta(hours=24)
_BUILDS = (timedelta(seconds=1), timedelta(seconds=1), timedelta(seconds=1), timedelta(seconds=20))
_SHARE_FAILING = 0.02
_STANDS_BACK_MOST, _STANDS_BACK_LONG, _SHARE_OF_LONG = 3 * MILLISECOND, 2 * SECOND, 0.05


@dataclass
class Snare:
    """A process dies, or only stands still, at the `nth` place that an activity (a step or method) comes to."""

    activity: str
    nth: int
    lasts: int
    reads_too: bool = False
    deadly: bool = True


Observer = Callable[[str, str, Any, Any], None]
"""Told of each call that is served: caller, method, request, and None; and again with the answer, or Refused."""


@dataclass
class World:
    seed: int
    folder: Path
    kernel: Kernel = field(default_factory=Kernel)
    coverage: Coverage = field(default_factory=Coverage)
    snares: list[Snare] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    aim: str = ""
    """A place at which the first process to come there dies."""
    healed: bool = False

    def __post_init__(self) -> None:
        self.story = Story(self.kernel)
        self._standing = self.stream("standing back")
        self.network = Network(
            self.kernel, self.stream("network"), self.story.tell, self.coverage.faults, self._observe
        )
        self.databases = {service: self._open(service) for service in PACKAGES}
        composers: dict[str, Callable[[Machine], Composition]] = {
            POLICY: self._compose_policy,
            COMPUTE: self._compose_compute,
            LOG: self._compose_log,
            SCHEDULER: self._compose_scheduler,
        }
        for service, compose in composers.items():
            names = [f"scheduler-{n + 1}" for n in range(SCHEDULERS)] if service == SCHEDULER else [service]
            self.network.machines[PACKAGES[service]] = [
                Machine(name, self.kernel, self.stream(name), compose, self.report) for name in names
            ]

    @property
    def machines(self) -> list[Machine]:
        return [machine for replicas in self.network.machines.values() for machine in replicas]

    def machine(self, service: str) -> Machine:
        """The only one of a service that has one."""
        (only,) = self.replicas(service)
        return only

    def replicas(self, service: str) -> list[Machine]:
        return self.network.machines[PACKAGES[service]]

    def stream(self, purpose: str) -> random.Random:
        """Randomness for one purpose: what one draws changes nothing for the others."""
        return random.Random(f"{self.seed}/{purpose}")

    def start(self) -> None:
        for machine in self.machines:
            machine.start()

    def report(self, who: str, what: str) -> None:
        """Something that must never happen."""
        self.story.tell(who, what)
        self.bugs.append(f"{who}: {what}")

    def kill(self, machine: Machine, down: int) -> None:
        """The process dies, and is started anew so much later."""
        if machine.alive:
            machine.die()
            self.kernel.at(self.kernel.now + down, lambda: self._revive(machine))

    def _revive(self, machine: Machine) -> None:
        if not machine.alive:
            self.story.tell(machine.name, "starts anew")
            machine.start()

    def close(self) -> None:
        for machine in self.machines:
            if machine.alive:
                machine.die()
        self.kernel.run(self.kernel.now)
        self.kernel.close()
        for opened in self.databases.values():
            opened.close()

    def copy(self, service: str) -> Path:
        """Of the service's database, after its last commit."""
        path = self.folder / f"{service}-{self.kernel.now}.copy"
        self.databases[service].copy_to(path)
        return path

    def _open(self, service: str) -> SimulatedDatabase:
        database(self.folder, service).dispose()
        return SimulatedDatabase(self.folder / f"{service}.db", self._stand_back, self._place)

    def _stand_back(self) -> None:
        """Others may come first, before a transaction begins."""
        if self.kernel.current is not None:
            long = self._standing.random() < _SHARE_OF_LONG
            self.kernel.sleep(self._standing.randint(0, _STANDS_BACK_LONG if long else _STANDS_BACK_MOST))

    def _place(self, name: str, writing: bool) -> None:
        task = self.kernel.current
        if task is None or not isinstance(task.owner, Machine):
            return
        place = f"{task.activity}: {name}"
        times = task.passed[name] = task.passed.get(name, 0) + 1
        if times > 1:
            place += f" ({min(times, 3)})"
        self.coverage.places[place] += 1
        if place == self.aim:
            self.aim = ""
            self._spring(Snare(task.activity, 0, 20 * SECOND), task.owner, place)
        for snare in self.snares:
            if snare.activity == task.activity and (writing or snare.reads_too):
                snare.nth -= 1
                if snare.nth <= 0:
                    self.snares.remove(snare)
                    self._spring(snare, task.owner, place)
                    return

    def _spring(self, snare: Snare, machine: Machine, place: str) -> None:
        """Who stands still does so once it is out of its transaction: at its next call or transaction."""
        lasts = f"for {snare.lasts / SECOND:.1f} s"
        if not snare.deadly:
            self.coverage.faults["standstill"] += 1
            self.story.tell(machine.name, f"stands still after {place}, {lasts}")
            machine.paused_until = self.kernel.now + snare.lasts
            return
        self.coverage.deaths[place] += 1
        self.coverage.faults["crash"] += 1
        self.story.tell(machine.name, f"dies in {place}, {lasts}")
        self.kill(machine, snare.lasts)
        raise Crash

    def _observe(self, source: str, machine: str, path: str, request: Any, outcome: Any) -> None:
        for observer in self.observers:
            observer(source, path.rpartition("/")[2], request, outcome)
        if isinstance(outcome, Refused) and outcome.code().name == Code.INTERNAL.name:
            self.report(f"{machine} {path.rpartition('/')[2]}", f"a bug: {outcome.details()}")

    def _compose_policy(self, machine: Machine) -> Composition:
        client = SimulatedClient(self.network, machine.name)
        deps = policy_dependencies.Dependencies(
            database=self.databases[POLICY],
            clocks=machine.clocks,
            ids=self._ids(machine),
            compute=policy_clients.Compute(client),
            logs=policy_clients.Logs(client),
            trigger_lease=_LEASE,
            sweep_interval=_SWEEP,
            warning_deadline=timedelta(seconds=1),
        )
        return Composition(
            policy_main.registrations(deps, REGIONS),
            [
                LoopSpec("sweep_instances", lambda: keep_house.sweep_missing_instances(deps)),
                _now_and_then("sweep_log_topics", lambda: keep_house.sweep_missing_log_topics(deps)),
                _now_and_then("purge_requests", lambda: keep_house.purge_requests(deps)),
                _now_and_then("purge_ledger", lambda: keep_house.purge_ledger(deps)),
            ],
        )

    def _compose_compute(self, machine: Machine) -> Composition:
        deps = compute_dependencies.Dependencies(
            self.databases[COMPUTE],
            machine.clocks,
            self._ids(machine),
            Simulation(_BUILDS[self.seed % len(_BUILDS)], timedelta(0), _SHARE_FAILING, self.seed),
            sleep=lambda seconds: self.kernel.sleep(int(seconds * SECOND)),
        )
        return Composition(
            compute_main.registrations(deps, REGIONS),
            [_now_and_then("keep_house", lambda: compute_keep_house.keep_house(deps))],
        )

    def _compose_log(self, machine: Machine) -> Composition:
        deps = log_dependencies.Dependencies(self.databases[LOG], machine.clocks, self._ids(machine))
        return Composition(
            [log_main.registration(deps, REGIONS)], [_now_and_then("purge", lambda: Wake(at_once=purge(deps)))]
        )

    def _compose_scheduler(self, machine: Machine) -> Composition:
        client = SimulatedClient(self.network, machine.name)
        deps = scheduler_dependencies.Dependencies(
            database=self.databases[SCHEDULER],
            clocks=machine.clocks,
            random=self._fresh(machine, "backoff"),
            policies=Policies(client),
            compute=Compute(client),
            logs=Logs(client),
            scheduler=machine.name,
            task_lease=_LEASE,
            notify=machine.notify,
        )
        own = [self.databases[SCHEDULER]]
        servicer = ExecutionServicer(deps, REGIONS)
        register = execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server
        return Composition(
            [(register, servicer, "autoimage.scheduler.v1.ExecutionService")],
            [
                # The policy service does not tell when leases run out: to find that, the loop has to ask.
                LoopSpec(
                    "take_up", lambda: take_up.take_up(deps), [self.databases[POLICY]], polls=True, notified=False
                ),
                LoopSpec("send", lambda: send.send(deps), own),
                LoopSpec("follow", lambda: follow.follow(deps), own),
                LoopSpec("resolve", lambda: resolve.resolve(deps), own),
                LoopSpec("deliver", lambda: deliver.deliver(deps), own),
                LoopSpec("retain", lambda: retain.retain(deps), own),
                _now_and_then("say_at_work", lambda: say_at_work.say_at_work(deps)),
                _now_and_then("keep_house", lambda: scheduler_keep_house.keep_house(deps)),
            ],
        )

    def _ids(self, machine: Machine) -> Ids:
        return Ids(self._fresh(machine, "ids"))

    def _fresh(self, machine: Machine, purpose: str) -> random.Random:
        """Not what the same process drew before it died."""
        return self.stream(f"{purpose} of {machine.name} at {self.kernel.now}")


def _now_and_then(name: str, step: Callable[[], Wake]) -> LoopSpec:
    """What a service does by itself and nobody waits for: once a day only, whatever it wishes, to save time."""

    def run() -> Wake:
        return Wake(at_once=step().at_once)

    return LoopSpec(name, run, polls=True, first_poll=DAY, notified=False, quiet=True)
