"""Puts the log service together and runs it."""

from datetime import timedelta

from autoimage.log.v1 import log_service_pb2_grpc
from log_service.commands.purge import purge
from log_service.dependencies import Dependencies
from log_service.servicer import LogServicer
from log_service.settings import Settings
from log_service.store.schema import HEAD, clock_readings
from servicekit import server
from servicekit.clock import Clocks, WallClock, product_clock
from servicekit.clock_guard import guarded, product_guard
from servicekit.clock_service import clock_registration
from servicekit.database import open_database
from servicekit.loop import Loop, Wake
from servicekit.migrations import upgrade
from servicekit.server import Registration, Server, Service

NAME = "log_service"
_PURGE_INTERVAL = timedelta(hours=1)
"""In operating time, since nobody waits for it: what is past its retention is not listed, whether purged or not."""


def registration(deps: Dependencies, regions: frozenset[str]) -> Registration:
    """The service as a server takes it."""
    servicer = LogServicer(deps, regions)
    return log_service_pb2_grpc.add_LogServiceServicer_to_server, servicer, "autoimage.log.v1.LogService"


def compose(settings: Settings) -> Service:
    database = open_database(settings)
    upgrade(database, NAME, HEAD)
    clocks = Clocks(product_clock(settings.product_clock), WallClock())
    deps = Dependencies(database, clocks)
    guard = product_guard(settings.product_clock, database, clock_readings, clocks.product)
    forget = guarded(guard, lambda: Wake(at_once=purge(deps)), clocks.operating)
    served = [registration(deps, settings.regions), clock_registration(guard, clocks.product)]
    return Service(
        Server(settings, served, lambda: database.ping(clocks.operating)),
        [Loop("purge", forget, clocks, idle=_PURGE_INTERVAL)],
        [database.dispose],
    )


def main() -> int:
    return server.main(NAME, Settings, compose)
