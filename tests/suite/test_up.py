"""`autoimage up` as processes: it starts, heals and ends the services, and shares neither its folder nor its ports."""

import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from autoimage.compute.v1.instance_service_pb2 import ListInstancesRequest
from autoimage.log.v1.log_service_pb2 import ListLogSetsRequest
from autoimage.policy.v1.policy_service_pb2 import ListPoliciesRequest
from autoimage.scheduler.v1.execution_service_pb2 import GetSchedulerStatusRequest
from servicekit.clock import write_clock
from servicekit.timestamps import from_proto
from suite.clients import SERVICES
from suite.errors import SuiteError
from suite.folder import WALL, DataFolder
from suite.log_files import LIMIT_BYTES
from suite.services import free_addresses, is_free
from suite.supervisor import running
from tests.support import START
from tests.support.suite import PATIENCE_SECONDS, Suite, clients, command, eventually, is_running, pids, running_suite

PLACE = "accounts/acme/regions/cn-north-1"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_answers(suite: Suite) -> None:
    """Each of the four answers a call."""
    with clients(suite) as ask:
        ask.policies.ListPolicies(ListPoliciesRequest(parent=PLACE))
        ask.executions.GetSchedulerStatus(GetSchedulerStatusRequest())
        ask.instances.ListInstances(ListInstancesRequest(parent=PLACE))
        ask.logs.ListLogSets(ListLogSetsRequest(parent=PLACE))


def refused(data: Path, addresses: Mapping[str, str], **environ: str) -> list[str]:
    """What a suite says that does not start."""
    with closing(Suite(data, addresses, **environ)) as suite:
        assert suite.wait() == 2
    return suite.lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_suite_is_ready_when_it_says_so_and_ends_cleanly_when_asked_to(data: Path, number: signal.Signals) -> None:
    with running_suite(data) as suite:
        assert_answers(suite)
        assert list(pids(suite)) == list(SERVICES)
        assert suite.end(number) == 0
        assert not any(is_running(pid) for pid in pids(suite).values())
        assert all(is_free(address) for address in suite.addresses.values())
    assert suite.lines[-2:] == ["stopping", "stopped"]
    assert sum("grpcurl -plaintext" in line for line in suite.lines) == 3
    for service in SERVICES:
        assert '"event": "stopped"' in (data / "logs" / f"{service}.log").read_text("utf-8"), "ended in order"


def test_a_service_that_is_killed_is_started_again(data: Path) -> None:
    with running_suite(data) as suite:
        for service, pid in pids(suite).items():
            os.kill(pid, signal.SIGKILL)
            assert "was ended by SIGKILL; starting it again" in suite.wait_for(service)
            suite.wait_for(f"{service} is ready again")
        assert_answers(suite)


def test_the_services_end_with_a_suite_that_is_killed_and_the_next_one_goes_on(data: Path) -> None:
    with running_suite(data) as suite:
        assert suite.end(signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: not any(is_running(pid) for pid in pids(suite).values()))
    with running_suite(data, addresses=suite.addresses) as again:
        assert_answers(again)


def test_a_log_that_has_grown_too_large_begins_anew_while_its_service_runs(data: Path) -> None:
    log = data / "logs" / "policy_service.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * (LIMIT_BYTES + 1))
    with running_suite(data) as suite:
        eventually(lambda: log.stat().st_size <= LIMIT_BYTES)
        assert suite.end() == 0
    assert log.with_name("policy_service.log.1").stat().st_size > LIMIT_BYTES
    assert '"event": "stopped"' in log.read_text("utf-8"), "it went on writing"


def test_a_second_suite_on_the_same_folder_is_refused(data: Path) -> None:
    with running_suite(data) as first:
        assert refused(data, free_addresses()) == [
            f"data folder {data} is in use by another suite, process {first.process.pid}"
        ]
        assert_answers(first)


def test_a_port_in_use_is_told_and_nothing_is_started(data: Path) -> None:
    addresses = free_addresses()
    host, _, port = addresses["compute_sim"].partition(":")
    with socket.create_server((host, int(port))):
        lines = refused(data, addresses)
    assert lines == [f"compute_sim cannot listen on {addresses['compute_sim']}: another program uses this port"]
    assert list((data / "logs").iterdir()) == []


def test_services_that_are_told_the_same_address_are_refused(data: Path) -> None:
    addresses = free_addresses()
    addresses["compute_sim"] = addresses["policy_service"]
    with pytest.raises(SuiteError) as caught, running(DataFolder(data), addresses, WALL, print):
        pass
    assert caught.value.problems == (
        f"compute_sim cannot listen on {addresses['compute_sim']}: policy_service is to listen there",
    )
    assert list((data / "logs").iterdir()) == []


def test_a_suite_whose_reader_has_gone_goes_on_and_starts_its_services_again(data: Path, tmp_path: Path) -> None:
    errors, log = tmp_path / "errors", data / "logs" / "log_service.log"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            command("up", free_addresses(), "--data", str(data)), stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        assert process.stdout is not None
        told = list(iter(process.stdout.readline, "\n"))  # until the empty line before the examples
        process.stdout.close()
        (pid,) = (int(line.split()[-1]) for line in told if line.startswith("log_service"))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: log.read_text("utf-8").count('"event": "ready"') == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert errors.read_text("utf-8") == ""


def test_a_service_that_does_not_start_says_why_and_the_others_are_ended(data: Path) -> None:
    with running_suite(data) as before:
        pass
    with closing(sqlite3.connect(data / "policy_service.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    policy, log = refused(data, before.addresses, LOG_SERVICE_LOG_LEVELS="debug")
    assert policy.startswith("policy_service: ")
    assert "from a newer version: its schema is 9999" in policy
    assert log == "log_service: LOG_SERVICE_LOG_LEVELS: there is no such setting; did you mean LOG_SERVICE_LOG_LEVEL?"
    assert all(is_free(address) for address in before.addresses.values())


def test_stepped_product_time_is_what_the_clock_file_says(data: Path) -> None:
    data.mkdir()
    write_clock(data / "clock", START)
    with running_suite(data, "--clock", "stepped") as suite, clients(suite) as ask:

        def product_time() -> datetime:
            return from_proto(ask.executions.GetSchedulerStatus(GetSchedulerStatusRequest()).product_time)

        assert product_time() == START
        write_clock(data / "clock", START + timedelta(days=1))
        eventually(lambda: product_time() == START + timedelta(days=1))
    assert refused(data, suite.addresses) == [f"{data} was used with stepped product time: go on with --clock stepped"]
