"""SimulationService. No fault befalls its own calls."""

import grpc

from autoimage.simulation.v1 import simulation_service_pb2 as pb
from autoimage.simulation.v1 import simulation_service_pb2_grpc
from autoimage.simulation.v1.simulation_pb2 import Simulation as SimulationMessage
from compute_sim import convert, validation
from compute_sim.commands.change_simulation import reset_simulation, update_simulation
from compute_sim.commands.read import get_simulation
from compute_sim.dependencies import Dependencies
from servicekit import masks
from servicekit.rpc import rpc


class SimulationServicer(simulation_service_pb2_grpc.SimulationServiceServicer):
    def __init__(self, deps: Dependencies, regions: frozenset[str]) -> None:
        self._deps = deps
        self.regions = regions

    @rpc(validation.get_simulation)
    def GetSimulation(self, request: pb.GetSimulationRequest, context: grpc.ServicerContext) -> SimulationMessage:
        return convert.simulation(get_simulation(self._deps))

    @rpc(validation.update_simulation)
    def UpdateSimulation(self, request: pb.UpdateSimulationRequest, context: grpc.ServicerContext) -> SimulationMessage:
        fields = masks.chosen(request.simulation, request.update_mask, validation.SIMULATION_FIELDS)
        changes = convert.simulation_changes(request.simulation, fields)
        return convert.simulation(update_simulation(self._deps, changes, request.simulation.etag))

    @rpc(validation.reset_simulation)
    def ResetSimulation(self, request: pb.ResetSimulationRequest, context: grpc.ServicerContext) -> SimulationMessage:
        return convert.simulation(reset_simulation(self._deps, request.etag))
