"""What the suite says of an account and region, read through its public RPCs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autoimage.compute.v1 import compute_pb2, image_service_pb2
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.scheduler.v1 import execution_pb2, execution_service_pb2
from servicekit.timestamps import from_proto, to_proto
from suite.clients import Clients, pages

_PAGE = 100


@dataclass(frozen=True)
class Period:
    """From `start`, included, to `end`, not included."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass
class Facts:
    """Of one account and region: the history of all schedules to the end of the period, and what exists of it."""

    as_of: datetime
    """Product time when reading began."""
    events: list[policy_pb2.ScheduleEvent] = field(default_factory=list)
    policies: dict[str, policy_pb2.Policy] = field(default_factory=dict)
    """By uid."""
    executions: list[execution_pb2.Execution] = field(default_factory=list)
    tasks: dict[str, list[execution_pb2.ImageTask]] = field(default_factory=dict)
    """By the execution's name."""
    images: dict[str, compute_pb2.Image] = field(default_factory=dict)
    """By name."""


def read_facts(clients: Clients, place: str, period: Period) -> Facts:
    """Reads causes after their effects, so that what happens meanwhile is not taken for an effect without a cause."""
    facts = Facts(as_of=_product_time(clients))
    images = image_service_pb2.ListImagesRequest(parent=place, page_size=_PAGE)
    facts.images = {image.name: image for image in pages(clients.images.ListImages, images, "images")}
    facts.executions = list(_executions(clients, place, period))
    for execution in facts.executions:
        tasks = execution_service_pb2.ListImageTasksRequest(parent=execution.name, page_size=_PAGE)
        facts.tasks[execution.name] = list(pages(clients.executions.ListImageTasks, tasks, "image_tasks"))
    policies = policy_service_pb2.ListPoliciesRequest(parent=place, page_size=_PAGE)
    facts.policies = {policy.uid: policy for policy in pages(clients.policies.ListPolicies, policies, "policies")}
    events = policy_service_pb2.ListScheduleEventsRequest(parent=f"{place}/policies/-", page_size=_PAGE)
    facts.events = list(pages(clients.policies.ListScheduleEvents, events, "schedule_events"))
    return facts


def _product_time(clients: Clients) -> datetime:
    status = clients.executions.GetSchedulerStatus(execution_service_pb2.GetSchedulerStatusRequest())
    return from_proto(status.product_time)


def _executions(clients: Clients, place: str, period: Period) -> Iterator[Any]:
    chosen = execution_service_pb2.ExecutionFilter(start_time=to_proto(period.start), end_time=to_proto(period.end))
    request = execution_service_pb2.ListExecutionsRequest(parent=f"{place}/policies/-", page_size=_PAGE, filter=chosen)
    return pages(clients.executions.ListExecutions, request, "executions")


LONGEST = timedelta(days=399)
"""How far back the history goes for certain: it is kept for 400 days."""
