"""A service's process, with services that misbehave."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from suite import process as process_module
from suite.process import ServiceProcess
from suite.services import free_addresses
from tests.support.suite import PATIENCE_SECONDS, is_running

READY = """
    import os, signal, sys
    from concurrent.futures import ThreadPoolExecutor
    import grpc
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ["ADDRESS"])
"""
Make = Callable[[str], ServiceProcess]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(tmp_path: Path, said: list[str]) -> Iterator[Make]:
    """Makes the process of a service whose program is given."""
    made: list[ServiceProcess] = []
    address = free_addresses()["log_service"]

    def make_one(program: str) -> ServiceProcess:
        (tmp_path / "bad_service.py").write_text(dedent(program), "utf-8")
        path = os.pathsep.join([str(tmp_path), os.getcwd()])  # noqa: PTH109
        environment = {**os.environ, "PYTHONPATH": path, "ADDRESS": address}
        made.append(ServiceProcess("bad_service", address, environment, tmp_path / "log", said.append))
        return made[0]

    yield make_one
    for process in made:
        process.stop()


def test_a_service_that_ends_before_it_is_ready_says_why(make: Make, said: list[str]) -> None:
    process = make("""import sys; print('{"a": "log line"}'); sys.exit("bad_service: there is no moon")""")
    process.start()
    assert process.settle() == "bad_service: there is no moon"
    assert said == []


def test_a_service_that_ends_without_a_word_is_told_with_its_exit_code(make: Make, tmp_path: Path) -> None:
    process = make("import sys; sys.exit(3)")
    process.start()
    assert process.settle() == f"bad_service ended with exit code 3 before it was ready; see {tmp_path / 'log'}"


def test_a_service_that_never_gets_ready_is_given_up(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "START_SECONDS", 0.5)
    process = make("import signal; signal.pause()")
    process.start()
    assert process.settle() == f"bad_service is not ready after 0.5 s; see {tmp_path / 'log'}"
    assert process.pid is not None
    assert not is_running(process.pid)


def test_a_service_that_does_not_end_is_killed(make: Make, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STOP_SECONDS", 0.2)
    process = make(READY + "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    server.start(); signal.pause()\n")
    process.start()
    assert process.settle() == ""
    process.stop()
    assert said == ["bad_service does not end; killing it"]
    assert process.pid is not None
    assert not is_running(process.pid)


def test_a_service_that_dies_is_started_again_and_told_with_its_last_words(make: Make, said: list[str]) -> None:
    process = make(READY + "    print('my last words', flush=True); server.start(); signal.pause()\n")
    process.start()
    assert process.settle() == ""
    first = process.pid
    process.kill()
    assert process.wait_until_ready(PATIENCE_SECONDS)
    assert process.pid != first
    assert said[0] == f"bad_service was ended by {signal.SIGKILL.name}; starting it again in 0.2 s\nmy last words"


def test_last_words_are_found_in_a_log_that_was_emptied_since_the_process_began(make: Make) -> None:
    process = make("")
    process._log_begin = 1_000
    process.log.write_text('{"a": "log line"}\nmy last words\n', "utf-8")
    assert process._said() == ["my last words"]
