"""Puts the scheduler service together: the only place that knows everything."""

import functools
import importlib.metadata
import os
import random
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta

from autoimage.scheduler.v1 import execution_service_pb2_grpc
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.replicas import SAY_EVERY
from scheduler_service.peers.compute import Compute
from scheduler_service.peers.logs import Logs
from scheduler_service.peers.policies import Policies
from scheduler_service.servicer import ExecutionServicer
from scheduler_service.settings import Settings
from scheduler_service.steps.deliver import deliver
from scheduler_service.steps.follow import follow
from scheduler_service.steps.keep_house import keep_house
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.retain import retain
from scheduler_service.steps.say_at_work import say_at_work
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from scheduler_service.store import schema
from servicekit import server
from servicekit.client import Client
from servicekit.clock import Clocks, WallClock, product_clock
from servicekit.clock_guard import Guard, guarded, product_guard
from servicekit.clock_service import clock_registration
from servicekit.database import open_database
from servicekit.loop import Loop, Wake
from servicekit.migrations import upgrade
from servicekit.server import Server, Service

_HOUSEKEEPING = timedelta(hours=1)
"""In operating time, at the latest."""
_SERVICE = "autoimage.scheduler.v1.ExecutionService"
Run = Callable[[], Wake]
Step = Callable[[Dependencies], Wake]


def compose(settings: Settings) -> Service:
    database = open_database(settings)
    upgrade(database, "scheduler_service", schema.HEAD)
    policy, compute, log = (
        Client(target) for target in (settings.policy_address, settings.compute_address, settings.log_address)
    )
    loops: list[Loop] = []
    deps = Dependencies(
        database=database,
        clocks=Clocks(product_clock(settings.product_clock), WallClock()),
        random=random.SystemRandom(),
        policies=Policies(policy),
        compute=Compute(compute),
        logs=Logs(log),
        scheduler=f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}",
        task_lease=timedelta(seconds=settings.task_lease_seconds),
        version=importlib.metadata.version("automatic-image-policy"),
        max_builds_in_flight=settings.max_builds_in_flight,
        notify=functools.partial(_wake_followers, loops),
    )
    guard = product_guard(settings.product_clock, database, schema.clock_readings, deps.clocks.product)
    loops.extend(_loops(deps, guard, settings.senders))
    forget = guarded(guard, functools.partial(keep_house, deps), deps.clocks.operating)
    quiet = [
        Loop("say_at_work", functools.partial(say_at_work, deps), deps.clocks, idle=SAY_EVERY),
        Loop("keep_house", forget, deps.clocks, idle=_HOUSEKEEPING),
    ]
    servicers = [
        clock_registration(guard, deps.clocks.product),
        (
            execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server,
            ExecutionServicer(deps, settings.regions),
            _SERVICE,
        ),
    ]
    closing = [policy.close, compute.close, log.close, database.dispose]
    return Service(Server(settings, servicers, lambda: database.ping(deps.clocks.operating)), [*loops, *quiet], closing)


def _wake_followers(loops: list[Loop]) -> None:
    """Whoever may go on with what was written: all but the first, which waits for nothing but the policy service."""
    for loop in loops[1:]:
        loop.wake()


def _loops(deps: Dependencies, guard: Guard, senders: int) -> list[Loop]:
    """One thread for each step; several for sending, where most of the time goes into waiting for compute."""

    def at_any_time(step: Step) -> Run:
        return functools.partial(step, deps)

    def by_trusted_time(step: Step) -> Run:
        """For what ends tasks or deletes images because it is late."""
        return guarded(guard, at_any_time(step), deps.clocks.operating)

    steps = [
        ("take_up", at_any_time(take_up)),
        *((f"send_{number}", by_trusted_time(send)) for number in range(senders)),
        ("follow", by_trusted_time(follow)),
        ("resolve", at_any_time(resolve)),
        ("deliver", at_any_time(deliver)),
        ("retain", by_trusted_time(retain)),
    ]
    return [Loop(name, run, deps.clocks) for name, run in steps]


def main() -> int:
    return server.main("scheduler_service", Settings, compose)
