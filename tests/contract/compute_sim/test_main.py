"""The service as its program puts it together."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from autoimage.compute.v1.quota_service_pb2 import GetQuotaRequest
from autoimage.compute.v1.quota_service_pb2_grpc import QuotaServiceStub
from compute_sim.main import compose, main
from compute_sim.settings import Settings
from servicekit.clock import ClockFileError
from servicekit.loop import Wake
from tests.support.compute_sim import PLACE


def settings(folder: Path, **changes: str) -> Settings:
    url = f"sqlite:///{folder}/data/compute.db"
    return Settings(**{"listen": "127.0.0.1:0", "database_url": url, **changes})  # type: ignore[arg-type]


def test_on_an_empty_folder_it_becomes_healthy_and_serves(tmp_path: Path) -> None:
    service = compose(settings(tmp_path))
    with grpc.insecure_channel(f"127.0.0.1:{service.server.start()}") as channel:
        stub: Any = HealthStub(channel)
        services = ("InstanceService", "ImageService", "SnapshotService", "QuotaService")
        for name in (*(f"compute.v1.{name}" for name in services), "simulation.v1.SimulationService"):
            health = stub.Check(HealthCheckRequest(service=f"autoimage.{name}"))
            assert health.status == HealthCheckResponse.SERVING
        quota = QuotaServiceStub(channel).GetQuota(GetQuotaRequest(name=f"{PLACE}/quotas/images"))
    assert quota.limit == 5
    service.server.close()
    for close in service.closing:
        close()


def test_it_keeps_house_by_itself(tmp_path: Path) -> None:
    service = compose(settings(tmp_path))
    assert [(loop.name, loop._step()) for loop in service.loops] == [("housekeeping", Wake())]
    service.closing[0]()


def test_a_clock_file_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ClockFileError):
        compose(settings(tmp_path, product_clock=str(tmp_path / "clock")))


def test_a_wrong_configuration_ends_the_program_with_a_line_for_each_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMPUTE_SIM_LISTEN", "0.0.0.0:50053")
    monkeypatch.setenv("COMPUTE_SIM_BUILD_SECOND", "1")
    assert main() == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["compute_sim", " COMPUTE_SIM_BUILD_SECOND"],
        ["compute_sim", " COMPUTE_SIM_LISTEN"],
    ]
