"""The service put together: it starts without its peers, answers, and stops."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from structlog.typing import EventDict

from autoimage.scheduler.v1.execution_service_pb2 import GetSchedulerStatusRequest, ListExecutionsRequest
from autoimage.scheduler.v1.execution_service_pb2_grpc import ExecutionServiceStub
from scheduler_service import main
from scheduler_service.settings import Settings
from servicekit.clock import write_clock
from servicekit.clock_guard import NoGuard
from servicekit.config import ConfigError, load
from servicekit.errors import Unavailable
from servicekit.server import Service
from servicekit.timestamps import to_proto
from tests.support import START
from tests.support.scheduler_values import PLACE

NOBODY = "127.0.0.1:1"


def settings(folder: Path) -> Settings:
    return Settings(
        listen="127.0.0.1:0",
        database_url=f"sqlite:///{folder}/scheduler_service.db",
        product_clock=str(folder / "clock"),
        policy_address=NOBODY,
        compute_address=NOBODY,
        log_address=NOBODY,
        drain_seconds=0,
        senders=2,
    )


@contextmanager
def running(service: Service) -> Iterator[ExecutionServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{service.server.start()}") as channel:
        for loop in service.loops:
            loop.start()
        try:
            yield ExecutionServiceStub(channel)
        finally:
            for loop in service.loops:
                loop.stop()
            service.server.close()
            for close in service.closing:
                close()


def test_it_serves_and_stops_while_all_its_peers_are_away(tmp_path: Path, logged: list[EventDict]) -> None:
    write_clock(tmp_path / "clock", START)
    service = main.compose(settings(tmp_path))
    with running(service) as stub:
        status = stub.GetSchedulerStatus(GetSchedulerStatusRequest())
        listed = stub.ListExecutions(ListExecutionsRequest(parent=f"{PLACE}/policies/-"))
    assert status.product_time == to_proto(START)
    assert not status.HasField("last_poll_time")
    assert list(listed.executions) == []
    assert "step_failed" not in {line["event"] for line in logged}


def test_each_step_has_a_loop_and_sending_as_many_as_it_was_told(tmp_path: Path) -> None:
    write_clock(tmp_path / "clock", START)
    service = main.compose(settings(tmp_path))
    with running(service):
        names = [loop.name for loop in service.loops]
    assert names == [
        "take_up",
        "send_0",
        "send_1",
        "follow",
        "resolve",
        "deliver",
        "retain",
        "say_at_work",
        "keep_house",
    ]


class Doubt(NoGuard):
    """Trusts no product time, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def gain(self) -> timedelta:
        self.asked += 1
        return timedelta(days=1)


def test_what_is_done_because_it_is_late_waits_until_product_time_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clock(tmp_path / "clock", START)
    guard = Doubt()
    monkeypatch.setattr(main, "product_guard", lambda *_: guard)
    service = main.compose(settings(tmp_path))
    waiting = []
    for loop in service.loops:
        before = guard.asked
        with suppress(Unavailable):  # its peers are away
            loop._step()
        if guard.asked != before:
            waiting.append(loop.name)
    for close in service.closing:
        close()
    assert waiting == ["send_0", "send_1", "follow", "retain", "keep_house"]


def test_wrong_settings_are_all_told_at_once() -> None:
    environ = {
        "SCHEDULER_SERVICE_LISTEN": "0.0.0.0:50052",
        "SCHEDULER_SERVICE_COMPUTE_ADDRESS": "nowhere",
        "SCHEDULER_SERVICE_TASK_LEASE_SECONDS": "0",
        "SCHEDULER_SERVICE_SENDERS": "many",
        "SCHEDULER_SERVICE_SENDER": "2",
    }
    with pytest.raises(ConfigError) as caught:
        load("SCHEDULER_SERVICE", Settings, environ)
    assert len(caught.value.problems) == len(environ)
    for name in environ:
        assert any(name in problem for problem in caught.value.problems)
