"""Everything that the suite holds of some accounts and regions, read back through its public RPCs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoimage.compute.v1 import (
    compute_pb2,
    image_service_pb2,
    instance_service_pb2,
    quota_service_pb2,
    snapshot_service_pb2,
)
from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.scheduler.v1 import execution_pb2, execution_service_pb2
from suite.clients import Clients, pages

_PAGE = 100


@dataclass
class World:
    """What there is; names are full resource names, places are such as `accounts/a/regions/r`."""

    executions: dict[str, execution_pb2.Execution] = field(default_factory=dict)
    tasks: dict[str, list[execution_pb2.ImageTask]] = field(default_factory=dict)
    instances: dict[str, compute_pb2.Instance] = field(default_factory=dict)
    images: dict[str, compute_pb2.Image] = field(default_factory=dict)
    snapshots: dict[str, compute_pb2.Snapshot] = field(default_factory=dict)
    quotas: dict[str, compute_pb2.Quota] = field(default_factory=dict)
    entries: dict[str, list[log_pb2.LogEntry]] = field(default_factory=dict)


def read_world(clients: Clients, places: Sequence[str], topics: Sequence[str]) -> World:
    """Reads all pages of everything."""
    world = World()
    for place in places:
        _read_place(clients, place, world)
    for name in world.executions:
        request = execution_service_pb2.ListImageTasksRequest(parent=name, page_size=_PAGE)
        world.tasks[name] = list(pages(clients.executions.ListImageTasks, request, "image_tasks"))
    for topic in topics:
        entries = log_service_pb2.ListLogEntriesRequest(parent=topic, page_size=_PAGE)
        world.entries[topic] = list(pages(clients.logs.ListLogEntries, entries, "entries"))
    return world


def _read_place(clients: Clients, place: str, world: World) -> None:
    executions = execution_service_pb2.ListExecutionsRequest(parent=f"{place}/policies/-", page_size=_PAGE)
    instances = instance_service_pb2.ListInstancesRequest(parent=place, page_size=_PAGE)
    images = image_service_pb2.ListImagesRequest(parent=place, page_size=_PAGE)
    snapshots = snapshot_service_pb2.ListSnapshotsRequest(parent=place, page_size=_PAGE)
    quotas = quota_service_pb2.ListQuotasRequest(parent=place, page_size=_PAGE)
    world.executions |= _by_name(pages(clients.executions.ListExecutions, executions, "executions"))
    world.instances |= _by_name(pages(clients.instances.ListInstances, instances, "instances"))
    world.images |= _by_name(pages(clients.images.ListImages, images, "images"))
    world.snapshots |= _by_name(pages(clients.snapshots.ListSnapshots, snapshots, "snapshots"))
    world.quotas |= _by_name(pages(clients.quotas.ListQuotas, quotas, "quotas"))


def _by_name(resources: Iterator[Any]) -> dict[str, Any]:
    return {resource.name: resource for resource in resources}
