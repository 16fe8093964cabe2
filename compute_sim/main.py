"""Puts the service together."""

from datetime import timedelta

from autoimage.compute.v1 import (
    image_service_pb2_grpc,
    instance_service_pb2_grpc,
    quota_service_pb2_grpc,
    snapshot_service_pb2_grpc,
)
from autoimage.simulation.v1 import simulation_service_pb2_grpc
from compute_sim.commands.keep_house import keep_house
from compute_sim.dependencies import Dependencies
from compute_sim.servicers.images import ImageServicer
from compute_sim.servicers.instances import InstanceServicer
from compute_sim.servicers.quotas import QuotaServicer
from compute_sim.servicers.simulation import SimulationServicer
from compute_sim.servicers.snapshots import SnapshotServicer
from compute_sim.settings import Settings
from compute_sim.store import schema
from servicekit import server
from servicekit.clock import Clocks, WallClock, product_clock
from servicekit.clock_guard import guarded, product_guard
from servicekit.clock_service import clock_registration
from servicekit.database import open_database
from servicekit.ids import Ids
from servicekit.loop import Loop
from servicekit.migrations import upgrade
from servicekit.server import Registration, Server, Service

_PACKAGE = "compute_sim"
_HOUSEKEEPING_INTERVAL = timedelta(hours=1)
"""In operating time, at the latest."""


def registrations(deps: Dependencies, regions: frozenset[str]) -> list[Registration]:
    """All that the service serves."""
    return [
        (
            instance_service_pb2_grpc.add_InstanceServiceServicer_to_server,
            InstanceServicer(deps, regions),
            "autoimage.compute.v1.InstanceService",
        ),
        (
            image_service_pb2_grpc.add_ImageServiceServicer_to_server,
            ImageServicer(deps, regions),
            "autoimage.compute.v1.ImageService",
        ),
        (
            snapshot_service_pb2_grpc.add_SnapshotServiceServicer_to_server,
            SnapshotServicer(deps, regions),
            "autoimage.compute.v1.SnapshotService",
        ),
        (
            quota_service_pb2_grpc.add_QuotaServiceServicer_to_server,
            QuotaServicer(deps, regions),
            "autoimage.compute.v1.QuotaService",
        ),
        (
            simulation_service_pb2_grpc.add_SimulationServiceServicer_to_server,
            SimulationServicer(deps, regions),
            "autoimage.simulation.v1.SimulationService",
        ),
    ]


def compose(settings: Settings) -> Service:
    clocks = Clocks(product=product_clock(settings.product_clock), operating=WallClock())
    clocks.product.now()  # a clock file that can't be read is told now, not by the first call
    database = open_database(settings)
    upgrade(database, _PACKAGE, schema.HEAD)
    deps = Dependencies(database, clocks, Ids(), settings.simulation)
    guard = product_guard(settings.product_clock, database, schema.clock_readings, clocks.product)
    forget = guarded(guard, lambda: keep_house(deps), clocks.operating)
    served = [*registrations(deps, settings.regions), clock_registration(guard, clocks.product)]
    return Service(
        Server(settings, served, lambda: database.ping(clocks.operating)),
        [Loop("housekeeping", forget, clocks, idle=_HOUSEKEEPING_INTERVAL)],
        [database.dispose],
    )


def main() -> int:
    return server.main(_PACKAGE, Settings, compose)
