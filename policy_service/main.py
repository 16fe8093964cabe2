"""Puts the policy service together and runs it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from autoimage.policy.v1 import policy_service_pb2_grpc, trigger_service_pb2_grpc
from policy_service.clients import Compute, Logs
from policy_service.commands.keep_house import (
    purge_ledger,
    purge_requests,
    sweep_missing_instances,
    sweep_missing_log_topics,
)
from policy_service.dependencies import Dependencies
from policy_service.invitations import Invitations
from policy_service.servicers.policies import PolicyServicer
from policy_service.servicers.triggers import TriggerServicer
from policy_service.settings import Settings
from policy_service.store.schema import HEAD, clock_readings
from servicekit import server
from servicekit.client import Client
from servicekit.clock import Clocks, WallClock, product_clock
from servicekit.clock_guard import guarded, product_guard
from servicekit.clock_service import clock_registration
from servicekit.config import ConfigError
from servicekit.database import open_database
from servicekit.ids import Ids
from servicekit.loop import Loop
from servicekit.migrations import upgrade
from servicekit.server import Registration, Server, Service

NAME = "policy_service"
_SWEEP_LOOK = timedelta(minutes=1)
_PURGE_INTERVAL = timedelta(hours=1)
"""Both in operating time, at the latest."""
_WARNING_DEADLINE = timedelta(seconds=1)
"""So much longer may it take to read policies while compute does not answer."""


def registrations(
    deps: Dependencies, regions: frozenset[str], admit: Callable[[str], None] | None = None
) -> list[Registration]:
    """The services as a server takes them. `admit` says which accounts may change something: all, if it is None."""
    return [
        (
            policy_service_pb2_grpc.add_PolicyServiceServicer_to_server,
            PolicyServicer(deps, regions, admit),
            "autoimage.policy.v1.PolicyService",
        ),
        (
            trigger_service_pb2_grpc.add_TriggerServiceServicer_to_server,
            TriggerServicer(deps, regions),
            "autoimage.policy.v1.TriggerService",
        ),
    ]


def _invitations(settings: Settings) -> Invitations | None:
    """None unless the product is by invitation only. Raises ConfigError."""
    if not settings.invite_only:
        return None
    variable = "POLICY_SERVICE_INVITED_ACCOUNTS_FILE"
    if not settings.invited_accounts_file:
        raise ConfigError([f"{variable}: must be given while POLICY_SERVICE_INVITE_ONLY is on"])
    try:
        return Invitations(Path(settings.invited_accounts_file), settings.invitation_contact)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{variable}: {settings.invited_accounts_file} can't be read: {error}"]) from error


def compose(settings: Settings) -> Service:
    invitations = _invitations(settings)
    admit = invitations.admit if invitations else None
    database = open_database(settings)
    upgrade(database, NAME, HEAD)
    compute, logs = Client(settings.compute_address), Client(settings.log_address)
    clocks = Clocks(product_clock(settings.product_clock), WallClock())
    guard = product_guard(settings.product_clock, database, clock_readings, clocks.product)
    deps = Dependencies(
        database=database,
        clocks=clocks,
        ids=Ids(),
        compute=Compute(compute),
        logs=Logs(logs),
        trigger_lease=timedelta(seconds=settings.trigger_lease_seconds),
        sweep_interval=timedelta(seconds=settings.sweep_interval_seconds),
        warning_deadline=_WARNING_DEADLINE,
        guard=guard,
    )
    forget_requests = guarded(guard, partial(purge_requests, deps), clocks.operating)
    forget_history = guarded(guard, partial(purge_ledger, deps), clocks.operating)
    served = [*registrations(deps, settings.regions, admit), clock_registration(guard, clocks.product)]
    return Service(
        Server(settings, served, lambda: database.ping(clocks.operating)),
        [
            Loop("sweep_instances", partial(sweep_missing_instances, deps), clocks, idle=_SWEEP_LOOK),
            Loop("sweep_log_topics", partial(sweep_missing_log_topics, deps), clocks, idle=_SWEEP_LOOK),
            Loop("purge_requests", forget_requests, clocks, idle=_PURGE_INTERVAL),
            Loop("purge_ledger", forget_history, clocks, idle=_PURGE_INTERVAL),
        ],
        [compute.close, logs.close, database.dispose],
    )


def main() -> int:
    return server.main(NAME, Settings, compose)
