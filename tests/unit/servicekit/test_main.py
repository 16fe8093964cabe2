"""The life of a service as a process: its start, what stops it from starting, and its end."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import grpc
import pytest

from servicekit.clock import write_clock
from tests.support import START, error_of
from tests.unit.servicekit.example import NAME, Book, ShelfStub, book, create_request

Spawn = Callable[..., "Process"]
SLOW = create_request(book=book(title="slow"))


class Process:
    """A service that was started; `port` waits until it serves."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.unit.servicekit.shelf"],
            cwd=Path(__file__).parents[3],
            env={"SHELF_DATABASE_URL": f"sqlite:///{folder}/shelf.db", **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def port(self) -> int:
        for line in self._pipe(self._process.stderr):
            told = json.loads(line)
            if told["event"] == "serving":
                return int(told["address"].rpartition(":")[2])
        pytest.fail("it never served")

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def told(self) -> str:
        return self._pipe(self._process.stdout).readline().strip()

    def answer(self, line: str) -> None:
        stdin = self._pipe(self._process.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def events_until(self, event: str) -> list[str]:
        events: list[str] = []
        for line in self._pipe(self._process.stderr):
            events.append(json.loads(line)["event"])
            if events[-1] == event:
                break
        return events

    def end(self) -> tuple[int, str, str]:
        """Exit code, and what was left on standard output and standard error."""
        out, err = self._process.communicate(timeout=60)
        return self._process.returncode, out, err

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    started: list[Process] = []

    def start(**environ: str) -> Process:
        started.append(Process(tmp_path, {f"SHELF_{name}": value for name, value in environ.items()}))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_asked_to_end(spawn: Spawn, number: int) -> None:
    process = spawn()
    with grpc.insecure_channel(f"127.0.0.1:{process.port()}") as channel:
        assert ShelfStub(channel).CreateBook(create_request()) == Book(name=NAME)
    process.send(number)
    code, out, err = process.end()
    assert (code, out) == (0, "closed\n")
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["rpc", "draining", "stopped"]


def test_a_call_in_progress_finishes_and_a_new_one_is_told_to_come_again(spawn: Spawn) -> None:
    process = spawn()
    with grpc.insecure_channel(f"127.0.0.1:{process.port()}") as channel:
        slow: Any = ShelfStub(channel).CreateBook.future(SLOW)
        assert process.told() == "call"
        process.send(signal.SIGTERM)
        process.events_until("draining")
        assert error_of(ShelfStub(channel).CreateBook, create_request()).reason in ("SHUTTING_DOWN", "TRANSPORT")
        process.answer("go on")
        assert slow.result(30) == Book(name=NAME)
    assert process.end()[:2] == (0, "go on\nclosed\n")


def test_a_step_in_progress_finishes_before_anything_is_closed(spawn: Spawn) -> None:
    process = spawn(STEP="slow")
    assert process.told() == "step"
    process.send(signal.SIGTERM)
    process.events_until("draining")
    process.answer("step done")
    assert process.end()[:2] == (0, "step done\nclosed\n")


def test_a_call_that_outlasts_its_time_does_not_keep_the_others_waiting_for_ever(spawn: Spawn) -> None:
    process = spawn(DRAIN_SECONDS="0")
    with grpc.insecure_channel(f"127.0.0.1:{process.port()}") as channel:
        slow: Any = ShelfStub(channel).CreateBook.future(SLOW)
        assert process.told() == "call"
        process.send(signal.SIGTERM)
        assert isinstance(slow.exception(30), grpc.RpcError)
    assert process.told() == "closed"


def test_a_second_interrupt_ends_at_once(spawn: Spawn) -> None:
    process = spawn(STEP="slow")
    assert process.told() == "step"
    process.send(signal.SIGINT)
    process.events_until("draining")
    process.send(signal.SIGTERM)  # asked again kindly: nothing changes
    process.send(signal.SIGINT)
    assert process.end()[0] == 130


def test_a_wrong_configuration_is_told_problem_by_problem(spawn: Spawn) -> None:
    code, out, err = spawn(LISTEN="0.0.0.0:1", LOG_LEVLE="info", MAX_CALLS="0").end()
    assert (code, out) == (2, "")
    beyond = "to listen beyond it takes TLS and identity, which this version does not have"
    assert err.splitlines() == [
        f"shelf: SHELF_LISTEN: must be on loopback (127.0.0.1, [::1] or localhost): {beyond}, is '0.0.0.0:1'",
        "shelf: SHELF_LOG_LEVLE: there is no such setting; did you mean SHELF_LOG_LEVEL?",
        "shelf: SHELF_MAX_CALLS: must be a whole number from 1 to 1000, is '0'",
    ]


def test_a_port_in_use_is_told_in_one_line(spawn: Spawn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = spawn(LISTEN=address).end()
    assert (code, err) == (2, f"shelf: cannot listen on {address}: Address already in use\n")


def test_a_database_that_cannot_be_used_is_told_in_one_line(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "shelf.db").write_text("Dear Emma, " * 500)
    url = f"sqlite:///{tmp_path}/shelf.db"
    code, _, err = spawn().end()
    assert (code, err) == (2, f"shelf: {url}: the database cannot be used: file is not a database\n")
    code, _, err = spawn(STEP="locked").end()
    assert (code, err) == (2, f"shelf: {url}: the database is locked\n")
    code, _, err = spawn(STEP="too_new").end()
    assert code == 2
    assert err.startswith(f"shelf: {url}: the database is from a newer version: its schema is 0009")
    assert len(err.splitlines()) == 1


def test_a_clock_file_that_is_missing_is_told_in_one_line(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "clock"
    code, _, err = spawn(PRODUCT_CLOCK=str(path)).end()
    assert (code, err) == (2, f"shelf: clock file {path} cannot be read: No such file or directory\n")
    write_clock(path, START)
    process = spawn(PRODUCT_CLOCK=str(path))
    assert process.port()
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0
