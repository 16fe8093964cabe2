"""ExecutionService on the wire."""

import grpc

from autoimage.scheduler.v1 import execution_service_pb2_grpc
from autoimage.scheduler.v1.execution_pb2 import Execution, ImageTask
from autoimage.scheduler.v1.execution_service_pb2 import (
    CancelExecutionRequest,
    GetExecutionRequest,
    GetSchedulerStatusRequest,
    ListExecutionsRequest,
    ListExecutionsResponse,
    ListImageTasksRequest,
    ListImageTasksResponse,
    PauseRegionRequest,
    PlanRetentionRequest,
    PlanRetentionResponse,
    RegionStatus,
    ResumeRegionRequest,
    SchedulerStatus,
    WatchExecutionsRequest,
    WatchExecutionsResponse,
)
from scheduler_service import convert, plans, queries, validation
from scheduler_service.commands.cancel_execution import cancel_execution
from scheduler_service.commands.pause_region import pause_region, resume_region
from scheduler_service.commands.watch_executions import Position, begin_watch, read_watch
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Execution as DomainExecution
from scheduler_service.domain.executions import place_name
from scheduler_service.peers.policies import retention_of
from scheduler_service.queries import ExecutionFilter
from servicekit.names import POLICY, REGION
from servicekit.paging import Key, next_token, parse_page
from servicekit.rpc import rpc
from servicekit.streams import Source, stream
from servicekit.timestamps import from_proto


class ExecutionServicer(execution_service_pb2_grpc.ExecutionServiceServicer):
    def __init__(self, deps: Dependencies, regions: frozenset[str]) -> None:
        self._deps = deps
        self.regions = regions

    @rpc(validation.get_execution)
    def GetExecution(self, request: GetExecutionRequest, context: grpc.ServicerContext) -> Execution:
        return convert.execution(queries.get_execution(self._deps, request.name))

    @rpc(validation.list_executions)
    def ListExecutions(self, request: ListExecutionsRequest, context: grpc.ServicerContext) -> ListExecutionsResponse:
        query = {"parent": request.parent, "filter": request.filter.SerializeToString(deterministic=True).hex()}
        page = parse_page(request.page_size, request.page_token, query)
        found, last = queries.list_executions(self._deps, request.parent, _filter(request), page)
        return ListExecutionsResponse(
            executions=[convert.execution(execution) for execution in found],
            next_page_token=next_token(last, query) if last else "",
        )

    @rpc(validation.list_image_tasks)
    def ListImageTasks(self, request: ListImageTasksRequest, context: grpc.ServicerContext) -> ListImageTasksResponse:
        states = [ImageTask.State.Name(state).removeprefix("STATE_") for state in request.filter.states]
        query = {"parent": request.parent, "states": states}
        page = parse_page(request.page_size, request.page_token, query)
        execution, found, last = queries.list_image_tasks(self._deps, request.parent, states, page)
        return ListImageTasksResponse(
            image_tasks=[convert.image_task(execution, task) for task in found],
            next_page_token=next_token(last, query) if last else "",
        )

    @rpc(validation.cancel_execution)
    def CancelExecution(self, request: CancelExecutionRequest, context: grpc.ServicerContext) -> Execution:
        return convert.execution(cancel_execution(self._deps, request.name))

    @stream(validation.watch_executions)
    def WatchExecutions(
        self, request: WatchExecutionsRequest, context: grpc.ServicerContext
    ) -> Source[DomainExecution, WatchExecutionsResponse]:
        ids = POLICY.match(request.parent, wildcards=True)
        assert ids is not None, "validated"
        place = ids["account"], ids["region"]
        policy_id = None if ids["policy"] == "-" else ids["policy"]

        def begin(after: Key | None) -> Key:
            return after or begin_watch(self._deps, *place)

        def read(after: Key) -> tuple[list[DomainExecution], Key]:
            return read_watch(self._deps, *place, policy_id, Position(int(after[0]), str(after[1])))

        return Source(
            query={"parent": request.parent},
            resume_token=request.resume_token,
            begin=begin,
            read=read,
            respond=convert.watch_response,
            subject=place_name(*place),
            news=self._deps.news,
        )

    @rpc(validation.plan_retention, audit=False)
    def PlanRetention(self, request: PlanRetentionRequest, context: grpc.ServicerContext) -> PlanRetentionResponse:
        other = retention_of(request.retention) if request.HasField("retention") else None
        query = {"parent": request.parent, "retention": str(other)}
        page = parse_page(request.page_size, request.page_token, query)
        found, last = plans.plan_retention(self._deps, request.parent, other, page)
        return PlanRetentionResponse(
            retention_verdicts=map(convert.retention_verdict, found),
            next_page_token=next_token(last, query) if last else "",
        )

    @rpc(validation.get_scheduler_status)
    def GetSchedulerStatus(self, request: GetSchedulerStatusRequest, context: grpc.ServicerContext) -> SchedulerStatus:
        return convert.scheduler_status(queries.scheduler_status(self._deps))

    @rpc(validation.pause_region)
    def PauseRegion(self, request: PauseRegionRequest, context: grpc.ServicerContext) -> RegionStatus:
        region = REGION.parse(request.name)["region"]
        return convert.region_status(region, pause_region(self._deps, region))

    @rpc(validation.resume_region)
    def ResumeRegion(self, request: ResumeRegionRequest, context: grpc.ServicerContext) -> RegionStatus:
        region = REGION.parse(request.name)["region"]
        resume_region(self._deps, region)
        return convert.region_status(region, None)


def _filter(request: ListExecutionsRequest) -> ExecutionFilter:
    wanted = request.filter
    return ExecutionFilter(
        states=[Execution.State.Name(state).removeprefix("STATE_") for state in wanted.states],
        not_before=from_proto(wanted.start_time) if wanted.HasField("start_time") else None,
        before=from_proto(wanted.end_time) if wanted.HasField("end_time") else None,
        run_id=wanted.run_id,
    )
