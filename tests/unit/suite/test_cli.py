"""The command `autoimage`: what it takes, and how it tells what is wrong."""

import importlib.metadata
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from suite.cli import main
from suite.clients import SERVICES
from suite.services import free_addresses
from tests.support.suite import ports

COMMANDS = {
    "up": "run the four services until Ctrl-C",
    "load": "make what a fleet file describes, in a running suite",
    "verify": "hold what exists against the history of the schedules, in a running suite",
    "confirm-clock": "tell the services that product time is right, after they stopped since it leapt ahead",
    "backup": "copy the databases of a suite, running or not",
    "restore": "put copies back, in a suite that does not run",
    "demo": "live through four virtual days, and check every image at the end",
}
PLACE = "accounts/acme/regions/cn-north-1"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line that a person sees who called it so."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def helped(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "ports", ["", "1", "1,2,3", "1,2,3,4,5", "0,1,2,3", "1,2,3,1", "1,2,3,01", "1,2,3,65536", "a,b,c,d", "1,2,3,-4"]
)
def test_wrong_ports_are_refused(ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["up", f"--ports={ports}"])
    assert caught.value.code == 2
    assert "must be four different ports such as 50051,50052,50053,50054" in capsys.readouterr().err


def test_a_missing_fleet_file_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "fleet.yaml"
    assert main(["load", str(missing)]) == 2
    assert capsys.readouterr().err == f"{missing}: cannot be read: No such file or directory\n"


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "what"), COMMANDS.items())
def test_a_command_says_what_it_does(name: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{name} {what}" in helped([], capsys)
    assert f"{what[0].upper()}{what[1:]}." in helped([name], capsys)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{importlib.metadata.version('automatic-image-policy')}\n"


@pytest.mark.parametrize(
    "arguments", [["verify", PLACE], ["confirm-clock", "2030-01-07T02:00:00Z"], ["load", "x.yaml"]]
)
def test_what_only_asks_a_running_suite_takes_no_data_folder(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused([*arguments, "--data", "data"], capsys).endswith("unrecognized arguments: --data data")


@pytest.mark.parametrize("arguments", [["up", "--data", ""], ["backup", ""], ["restore", ""]])
def test_a_folder_without_a_name_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(arguments, capsys).endswith("must not be empty")


@pytest.mark.parametrize(
    "time", ["", "now", "2030-01-07", "2030-01-07T02:00:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]
)
def test_what_is_no_moment_is_refused(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(["confirm-clock", time], capsys)
    assert told.endswith(f"must be a time with its offset such as 2030-01-07T02:00:00Z, is {time!r}")


def test_addresses_that_are_none_are_all_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLICY_SERVICE_LISTEN", "50051")
    monkeypatch.setenv("LOG_SERVICE_LISTEN", "127.0.0.1:0")
    assert main(["up"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "POLICY_SERVICE_LISTEN: must be an address such as 127.0.0.1:50051, is '50051'",
        "LOG_SERVICE_LISTEN: must be an address such as 127.0.0.1:50051, is '127.0.0.1:0'",
    ]


def test_settings_that_up_would_overrule_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("POLICY_SERVICE_DATABASE_URL", "postgresql://autoimage:secret@localhost/policy_service")
    assert main(["up", "--data", str(tmp_path / "data")]) == 2
    assert capsys.readouterr().err == (
        "POLICY_SERVICE_DATABASE_URL is not for `autoimage up`, which says it by itself: unset it, or start each "
        "service alone\n"
    )
    assert not (tmp_path / "data").exists()


def test_without_a_running_suite_each_service_is_told_to_be_silent(capsys: pytest.CaptureFixture[str]) -> None:
    addresses = free_addresses()
    assert main(["confirm-clock", "--ports", ports(addresses), "2030-01-07T02:00:00Z"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [
        f"{service}: no answer; is the suite running?" for service in addresses
    ]


def test_without_a_running_suite_nothing_can_be_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--ports", ports(free_addresses()), PLACE]) == 2
    assert capsys.readouterr().err.startswith("cannot verify: no answer; is the suite running? (")


def test_a_reader_that_has_gone_is_no_reason_for_a_traceback(tmp_path: Path) -> None:
    for service in SERVICES:
        sqlite3.connect(tmp_path / f"{service}.db").close()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "suite", "backup", "--data", str(tmp_path), str(tmp_path / "copy")],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
    assert len(list((tmp_path / "copy").iterdir())) == 4


def test_a_closed_standard_output_is_no_reason_to_fail(tmp_path: Path) -> None:
    for service in SERVICES:
        sqlite3.connect(tmp_path / f"{service}.db").close()
    command = [sys.executable, "-m", "suite", "backup", "--data", str(tmp_path), str(tmp_path / "copy")]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], check=False, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "copy").iterdir())) == 4
