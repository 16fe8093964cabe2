"""The process of one service: started, watched, and started again when it dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from servicekit.loop import pause_seconds
from suite.services import wait_until_ready

Say = Callable[[str], None]
START_SECONDS = 60.0
"""How long a service may take until it is ready; on a machine of some age it takes one."""
STOP_SECONDS = 20.0
"""How long a service may take to end; it gives calls in progress ten."""
_STEADY_SECONDS = 10.0
_TOLD_LINES = 5


class ServiceProcess:
    """Runs one service in a process group of its own, so that Ctrl-C reaches the suite alone, which ends it in order.

    A thread of its own starts the process and waits for its end: Linux ends the process when the thread that started it
    does (see `suite.child`).
    """

    def __init__(self, service: str, address: str, environment: Mapping[str, str], log: Path, say: Say) -> None:
        self.service = service
        self.address = address
        self._environment = environment
        self.log = log
        self._say = say
        self._mutex = threading.Lock()  # over `_stopping` and `_process` together: none is started after the stop
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._settled = threading.Event()
        self._failure = ""
        self._log_begin = 0
        self._thread = threading.Thread(target=self._run, name=service)

    def start(self) -> None:
        self._thread.start()

    def settle(self) -> str:
        """Waits until the service is ready for the first time, or failed to start: then this is why, else empty."""
        self._settled.wait()
        return self._failure

    def wait_until_ready(self, seconds: float) -> bool:
        """Whether it is ready, or is so again within this time."""
        return self._ready.wait(seconds)

    @property
    def pid(self) -> int | None:
        """The process that runs now, if any does."""
        with self._mutex:
            return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """Ends the process at once, as if it had crashed."""
        self._ready.clear()
        self._signal(signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """It is not started again any more."""
        with self._mutex:
            self._stopping.set()

    def stop(self) -> None:
        """Returns when the process has ended, by itself if it does so in time."""
        self.ask_to_stop()
        self._signal(signal.SIGTERM)
        if self._thread.ident is None:
            return
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            self._say(f"{self.service} does not end; killing it")
            self._signal(signal.SIGKILL)
            self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        with self._mutex:
            if self._process is not None:
                self._process.send_signal(number)

    def _run(self) -> None:
        failures = 0
        while (process := self._spawn()) is not None:
            begun = time.monotonic()
            is_ready = wait_until_ready(self.address, lambda: process.poll() is None, START_SECONDS)
            if not is_ready and not self._settled.is_set():
                self._failure = self._why_not_ready(process)
                break
            if is_ready:
                self._tell_ready(process.pid)
            code = process.wait()
            self._ready.clear()
            if not self._stopping.is_set():
                failures = 0 if time.monotonic() - begun > _STEADY_SECONDS else failures
                self._pause(code, pause_seconds(failures))
                failures += 1
        self._settled.set()

    def _spawn(self) -> "subprocess.Popen[bytes] | None":
        """A new process, or None when there is to be none any more."""
        with self._mutex, self.log.open("ab") as log:
            if self._stopping.is_set():
                return None
            self._log_begin = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "suite.child", str(os.getpid()), self.service],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
            return self._process

    def _why_not_ready(self, process: "subprocess.Popen[bytes]") -> str:
        """What the service said on its standard error, if it ended by itself."""
        code = process.poll()
        process.kill()
        process.wait()
        if code is None:
            return f"{self.service} is not ready after {START_SECONDS:g} s; see {self.log}"
        return "\n".join(self._said()) or f"{self.service} {_ending(code)} before it was ready; see {self.log}"

    def _tell_ready(self, pid: int) -> None:
        self._ready.set()
        if self._settled.is_set():
            self._say(f"{self.service} is ready again, process {pid}")
        self._settled.set()

    def _pause(self, code: int, seconds: float) -> None:
        self._say("\n".join([f"{self.service} {_ending(code)}; starting it again in {seconds:g} s", *self._said()]))
        self._stopping.wait(seconds)

    def _said(self) -> list[str]:
        """The last lines that the process meant for a person; its log lines are JSON."""
        with self.log.open("rb") as log:
            if self._log_begin <= log.seek(0, os.SEEK_END):
                log.seek(self._log_begin)
            else:  # it was emptied since the process began
                log.seek(0)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return [line for line in lines if line and not line.startswith("{")][-_TOLD_LINES:]


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
