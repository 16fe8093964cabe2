"""What goes wrong. Each fault is a function; it draws where and how much."""

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.scheduler.v1 import execution_service_pb2
from autoimage.simulation.v1 import simulation_pb2, simulation_service_pb2
from autoimage.simulation.v1.simulation_service_pb2_grpc import SimulationServiceStub
from tests.simulation import facts
from tests.simulation.kernel import HOUR, MILLISECOND, MINUTE, SECOND
from tests.simulation.ledger import Ledger, Restoration
from tests.simulation.machines import Machine
from tests.simulation.network import Ambush, Trouble
from tests.simulation.users import User
from tests.simulation.world import COMPUTE, LOG, NORTH, POLICY, SCHEDULER, Snare, World

STEPS = ("take_up", "send", "follow", "resolve", "deliver", "retain")
KINDS = (
    *(trouble.value for trouble in Trouble),
    "crash",
    "standstill",
    "power cut",
    "outage",
    "product clock back",
    "product clock forward",
    "operating clock back",
    "operating clock forward",
    "paused region",
    "slow builds",
    "failing builds",
    "busy instances",
    "troubled compute",
    "restored database",
)
"""What runs count."""
_BETWEEN_SERVICES = (
    "LeaseTriggers",
    "AckTriggers",
    "FilterAssociated",
    "BatchCreateImages",
    "BatchGetImages",
    "ResolveImageRequests",
    "WriteLogEntries",
    "ReportMissingInstances",
    "LookUpRetentions",
    "DeleteImage",
)
_OF_USERS = (
    "CreatePolicy",
    "DeletePolicy",
    "EnablePolicy",
    "DisablePolicy",
    "AssociateInstances",
    "DisassociateInstances",
    "UpdatePolicy",
    "ReplicatePolicy",
    "CancelExecution",
    "ExecutePolicy",
    "UpdateQuota",
    "DeleteInstance",
    "CreateInstance",
)
_AT_ONCE = (1, 1, 1, 2, 3)


@dataclass
class Victim:
    """What a fault works on, and the randomness it draws from."""

    world: World
    ledger: Ledger
    draw: random.Random

    def tell(self, what: str) -> None:
        self.world.story.tell("fault", what)

    def count(self, fault: str) -> None:
        self.world.coverage.faults[fault] += 1


def _ambush(victim: Victim, trouble: Trouble, delay: int = 0, *, users_too: bool = False) -> None:
    """Users' own calls are lost only: a change that comes late would undo what the user has seen since."""
    methods = _BETWEEN_SERVICES + (_OF_USERS if users_too else ())
    for _ in range(victim.draw.choice(_AT_ONCE)):
        method = victim.draw.choice(methods)
        victim.world.network.ambushes.append(Ambush(trouble, method, victim.draw.choice(_AT_ONCE), delay))


def lose_request(victim: Victim) -> None:
    _ambush(victim, Trouble.LOST_REQUEST, users_too=True)


def lose_answer(victim: Victim) -> None:
    _ambush(victim, Trouble.LOST_ANSWER, users_too=True)


def delay_request(victim: Victim) -> None:
    """Until after its caller has given up, or after the caller's lease."""
    _ambush(victim, Trouble.DELAYED_REQUEST, victim.draw.choice([12, 25, 45, 90, 3600]) * SECOND)


def delay_answer(victim: Victim) -> None:
    _ambush(victim, Trouble.DELAYED_ANSWER, victim.draw.choice([3, 8, 12, 45]) * SECOND)


def duplicate(victim: Victim) -> None:
    _ambush(victim, Trouble.DUPLICATE, victim.draw.choice([20 * MILLISECOND, SECOND, 20 * SECOND, 50 * SECOND, HOUR]))


def overtake(victim: Victim) -> None:
    """Held back for so long that later ones come first, and not so long that its caller gives up."""
    _ambush(victim, Trouble.OVERTAKEN, victim.draw.randint(50 * MILLISECOND, 8 * SECOND))


def crash_step(victim: Victim) -> None:
    _set_snare(victim, victim.draw.choice(STEPS))


def crash_call(victim: Victim) -> None:
    _set_snare(victim, victim.draw.choice(_BETWEEN_SERVICES + _OF_USERS))


def _set_snare(victim: Victim, activity: str) -> None:
    draw = victim.draw
    lasts = draw.choice([SECOND, 5 * SECOND, 20 * SECOND, 2 * MINUTE, 70 * MINUTE])
    reads_too = draw.random() < 0.3
    victim.world.snares.append(Snare(activity, draw.randint(1, 16), lasts, reads_too))


def standstill(victim: Victim) -> None:
    """A process is not run for longer than its lease, in the middle of a step."""
    draw = victim.draw
    lasts = draw.choice([35 * SECOND, 70 * SECOND, 15 * MINUTE])
    victim.world.snares.append(Snare(draw.choice(STEPS), draw.randint(1, 20), lasts, reads_too=True, deadly=False))


def power_cut(victim: Victim) -> None:
    """Some processes, or all, die wherever they are."""
    down = victim.draw.choice([5 * SECOND, 3 * MINUTE, 70 * MINUTE])
    chosen = victim.draw.choice([[victim.draw.choice(victim.world.machines)], victim.world.machines])
    victim.count("power cut")
    victim.tell(f"power cut of {', '.join(machine.name for machine in chosen)} for {down / SECOND:.0f} s")
    for machine in chosen:
        victim.world.kill(machine, down)


def outage(victim: Victim) -> None:
    """A service runs, and nobody reaches it."""
    machine = victim.draw.choice([each for each in victim.world.machines if not each.name.startswith("scheduler")])
    lasts = victim.draw.choice([20 * SECOND, 5 * MINUTE, 70 * MINUTE])
    victim.count("outage")
    victim.tell(f"{machine.name} is out of reach for {lasts / SECOND:.0f} s")
    machine.unreachable_until = victim.world.kernel.now + lasts


def step_product_clock(victim: Victim) -> None:
    """Everywhere, or in one process."""
    step = victim.draw.choice([-5 * HOUR, -30 * MINUTE, -2 * MINUTE, 3 * MINUTE, 20 * MINUTE, 7 * HOUR, 26 * HOUR])
    small = abs(step) <= 20 * MINUTE
    chosen = (
        [victim.draw.choice(victim.world.machines)] if small and victim.draw.random() < 0.3 else victim.world.machines
    )
    victim.count("product clock " + ("back" if step < 0 else "forward"))
    victim.tell(f"product clock of {', '.join(machine.name for machine in chosen)} steps by {step / MINUTE:.0f} min")
    if step < 0:
        victim.ledger.stepped_back -= step
    for machine in chosen:
        machine.product.offset += step
        tell_clock(victim.world, victim.ledger, machine)
        machine.wake_all()


def step_operating_clock(victim: Victim) -> None:
    """For some minutes: machines correct each other's clocks, and until they do a lease may mean nothing."""
    step = victim.draw.choice([-40, -10, -1, 1, 10, 40]) * SECOND
    machine = victim.draw.choice(victim.world.machines)
    lasts = victim.draw.choice([MINUTE, 10 * MINUTE])
    victim.count("operating clock " + ("back" if step < 0 else "forward"))
    victim.tell(f"operating clock of {machine.name} steps by {step / SECOND:.0f} s for {lasts // MINUTE} min")
    kernel = victim.world.kernel
    _move_operating_clock(victim, machine, step)
    kernel.at(kernel.now + lasts, lambda: _move_operating_clock(victim, machine, -step))


def _move_operating_clock(victim: Victim, machine: Machine, step: int) -> None:
    machine.operating.offset += step
    tell_clock(victim.world, victim.ledger, machine)
    machine.wake_all()


def tell_clock(world: World, ledger: Ledger, machine: Machine) -> None:
    """The ledger has to know what services were shown."""
    offsets = [each.operating.offset for each in world.machines]
    ledger.largest_skew = max(ledger.largest_skew, max(offsets) - min(offsets))
    for service, clock in ((POLICY, ledger.policy_clock), (COMPUTE, ledger.compute_clock)):
        if machine is world.machine(service):
            clock.set(world.kernel.now, machine.product.offset)


def pause_region(victim: Victim) -> None:
    """An operator holds a region up."""
    lasts = victim.draw.choice([10, 80]) * MINUTE
    world = victim.world
    operator = User(world, victim.ledger, "operator", victim.draw)
    pause = execution_service_pb2.PauseRegionRequest(name=f"regions/{NORTH}")
    resume = execution_service_pb2.ResumeRegionRequest(name=f"regions/{NORTH}")
    victim.count("paused region")
    victim.tell(f"{NORTH} is paused for {lasts // MINUTE} min")
    world.kernel.spawn(operator, "PauseRegion", lambda: operator.call(operator.executions.PauseRegion, pause))
    world.kernel.spawn(
        operator,
        "ResumeRegion",
        lambda: operator.call(operator.executions.ResumeRegion, resume),
        world.kernel.now + lasts,
    )


def slow_builds(victim: Victim) -> None:
    """Some take hours, and a few never end."""
    _simulate(victim, "slow builds", build_duration=_seconds(5400), stalled_build_probability=0.05)


def failing_builds(victim: Victim) -> None:
    _simulate(victim, "failing builds", snapshot_failure_probability=0.6)


def busy_instances(victim: Victim) -> None:
    """Compute refuses builds, since the instances are busy with something else."""
    _simulate(victim, "busy instances", busy_instance_probability=0.5)


def troubled_compute(victim: Victim) -> None:
    """Compute refuses calls, throttles them, and loses answers."""
    trouble = simulation_pb2.CallConduct(
        method="ImageService/*",
        latency=_seconds(1),
        refusal_probability=0.2,
        throttling_probability=0.2,
        answer_loss_probability=0.2,
    )
    _simulate(victim, "troubled compute", calls=[trouble])


def _seconds(seconds: int) -> Duration:
    return Duration(seconds=seconds)


def _simulate(victim: Victim, fault: str, **fields: Any) -> None:
    """The operator of compute has it behave so for some hours."""
    world = victim.world
    lasts = victim.draw.choice([1, 12]) * HOUR
    operator = User(world, victim.ledger, "operator", victim.draw)
    stub = operator.stub(SimulationServiceStub)
    changed = simulation_service_pb2.UpdateSimulationRequest(
        simulation=simulation_pb2.Simulation(name="simulation", **fields), update_mask=FieldMask(paths=list(fields))
    )
    reset = simulation_service_pb2.ResetSimulationRequest(name="simulation")
    victim.count(fault)
    victim.tell(f"{fault} for {lasts // HOUR} h")
    world.kernel.spawn(operator, "UpdateSimulation", lambda: operator.call(stub.UpdateSimulation, changed))
    world.kernel.spawn(
        operator, "ResetSimulation", lambda: operator.call(stub.ResetSimulation, reset), world.kernel.now + lasts
    )


def restore(victim: Victim) -> None:
    """Databases are replaced by copies of some time ago, and what happened since is gone."""
    services = victim.draw.choice([[POLICY], [SCHEDULER], [COMPUTE], [LOG], [POLICY, SCHEDULER]])
    age = victim.draw.choice([2 * MINUTE, 3 * HOUR, 13 * HOUR])
    _when_users_rest(victim, lambda: _copy(victim, services, age))


def _copy(victim: Victim, services: Sequence[str], age: int) -> None:
    world = victim.world
    copies = {service: world.copy(service) for service in services}
    known, copied = deepcopy(victim.ledger.known), world.kernel.now
    protected = set(victim.ledger.protected_images)

    def bring_back() -> None:
        victim.count("restored database")
        victim.tell(f"{', '.join(services)}: restored as of {age // MINUTE} min ago")
        for service in services:
            for machine in world.replicas(service):
                world.kill(machine, 5 * SECOND)
        world.kernel.at(world.kernel.now + SECOND, replace_files)

    def replace_files() -> None:
        for service, copy in copies.items():
            world.databases[service].restore_from(copy)
            victim.ledger.restore(Restoration(service, copied, world.kernel.now), known)
        if COMPUTE in services:
            read = facts.read(world.folder, victim.ledger, world.kernel.now, 0, logs=False)
            images = [image.name for image in read.images]
            victim.ledger.forget_all_but(read.instances, images, protected, read.used)

    world.kernel.at(copied + age, lambda: _when_users_rest(victim, bring_back))


def _when_users_rest(victim: Victim, action: Callable[[], None]) -> None:
    """Else nobody could say whether a change was made before or after."""
    kernel = victim.world.kernel
    if victim.world.healed:
        return
    if victim.ledger.busy:
        kernel.at(kernel.now + 7 * SECOND, lambda: _when_users_rest(victim, action))
        return
    action()


FAULTS: dict[Callable[[Victim], None], int] = {
    lose_request: 4,
    lose_answer: 5,
    delay_request: 4,
    delay_answer: 3,
    duplicate: 3,
    overtake: 2,
    crash_step: 10,
    crash_call: 6,
    standstill: 5,
    power_cut: 2,
    outage: 3,
    step_product_clock: 2,
    step_operating_clock: 1,
    pause_region: 1,
    slow_builds: 2,
    failing_builds: 2,
    busy_instances: 1,
    troubled_compute: 1,
    restore: 2,
}
"""What goes wrong, and how often beside each other."""
