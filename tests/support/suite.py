"""The suite as a person runs it: the command, as a process."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from suite.clients import SERVICES, Clients
from suite.services import free_addresses

PATIENCE_SECONDS = 60.0
"""How long something may take that takes a second or two; a slow machine is no failure."""


class Suite:
    """`autoimage up` on a data folder, at addresses of its own."""

    def __init__(self, data: Path, addresses: Mapping[str, str], *arguments: str, **environ: str) -> None:
        self.data = data
        self.addresses = addresses
        self.lines: list[str] = []
        self._printed: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            command("up", addresses, "--data", str(data), *arguments),
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._printed.put(line.rstrip("\n"))
        self._printed.put(None)

    def wait_for(self, text: str) -> str:
        """The next line that it prints with this text in it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (line := self._printed.get(timeout=max(end - time.monotonic(), 0.01))) is not None:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}, but:\n" + "\n".join(self.lines))

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the end; the exit code. All that was printed is in `lines` then."""
        code = self.process.wait(PATIENCE_SECONDS)
        while (line := self._printed.get(timeout=PATIENCE_SECONDS)) is not None:
            self.lines.append(line)
        return code

    def close(self) -> None:
        """Whatever happened, nothing is left: the services end with the suite."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def running_suite(
    data: Path, *arguments: str, addresses: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Suite]:
    """A suite that is ready; ended, if it still runs, as Ctrl-C ends it."""
    suite = Suite(data, free_addresses() if addresses is None else addresses, *arguments, **environ or {})
    try:
        suite.wait_for("ready after")
        yield suite
        if suite.process.poll() is None:
            assert suite.end() == 0, "\n".join(suite.lines)
    finally:
        suite.close()


def pids(suite: Suite) -> dict[str, int]:
    """Each service's process, as the suite told it."""
    told = [line.split() for line in suite.lines if " process " in line]
    return {words[0]: int(words[-1]) for words in told if words[0] in SERVICES}


@contextmanager
def clients(suite: Suite) -> Iterator[Clients]:
    opened = Clients(suite.addresses)
    try:
        yield opened
    finally:
        opened.close()


def ports(addresses: Mapping[str, str]) -> str:
    """As `--ports` takes them."""
    return ",".join(addresses[service].rpartition(":")[2] for service in SERVICES)


def command(name: str, addresses: Mapping[str, str], *arguments: str) -> list[str]:
    return [sys.executable, "-m", "suite", name, "--ports", ports(addresses), *arguments]


def load(addresses: Mapping[str, str], fleet: Path) -> "subprocess.CompletedProcess[str]":
    """What `autoimage load` does with the suite there."""
    return subprocess.run(
        command("load", addresses, str(fleet)),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def eventually(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return not state.startswith(" Z")
