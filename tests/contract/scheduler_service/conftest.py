"""A scheduler behind a real server, for each test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autoimage.scheduler.v1 import execution_service_pb2_grpc
from scheduler_service.dependencies import Dependencies
from scheduler_service.servicer import ExecutionServicer
from tests.support import running_server
from tests.support.scheduler import World, scheduler_world

REGIONS = frozenset({"cn-north-1", "cn-south-1"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


@pytest.fixture
def stub(world: World) -> Iterator[Any]:
    with served(world.deps) as stub:
        yield stub


@contextmanager
def served(deps: Dependencies) -> Iterator[Any]:
    """A replica's stub."""
    registration = (
        execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server,
        ExecutionServicer(deps, REGIONS),
        "autoimage.scheduler.v1.ExecutionService",
    )
    with running_server(registration) as channel:
        yield execution_service_pb2_grpc.ExecutionServiceStub(channel)
