"""ExecutionService on the wire."""

import grpc

from autoimage.scheduler.v1 import execution_service_pb2_grpc
from autoimage.scheduler.v1.execution_pb2 import Execution, ImageTask
from autoimage.scheduler.v1.execution_service_pb2 import (
    GetExecutionRequest,
    GetSchedulerStatusRequest,
    ListExecutionsRequest,
    ListExecutionsResponse,
    ListImageTasksRequest,
    ListImageTasksResponse,
    PlanRetentionRequest,
    PlanRetentionResponse,
    SchedulerStatus,
)
from scheduler_service import convert, plans, queries, validation
from scheduler_service.dependencies import Dependencies
from scheduler_service.peers.policies import retention_of
from scheduler_service.queries import ExecutionFilter
from servicekit.paging import next_token, parse_page
from servicekit.rpc import rpc
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


def _filter(request: ListExecutionsRequest) -> ExecutionFilter:
    wanted = request.filter
    return ExecutionFilter(
        states=[Execution.State.Name(state).removeprefix("STATE_") for state in wanted.states],
        not_before=from_proto(wanted.start_time) if wanted.HasField("start_time") else None,
        before=from_proto(wanted.end_time) if wanted.HasField("end_time") else None,
        run_id=wanted.run_id,
    )
