"""Runs the four services as processes: starts them, restarts one that dies, stops all."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.client import Client
from servicekit.errors import ServiceError
from suite.clients import SERVICES
from suite.folder import DataFolder

STOP_ORDER = ("scheduler_service", "policy_service", "compute_sim", "log_service")
"""Who asks stops before who is asked."""
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.2
_MAX_PAUSE_SECONDS = 10.0
_STEADY_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class StartFailed(Exception):
    """A service did not become healthy; the text is what it said itself."""


class _Process:
    """One service: its process of the moment, and how often it died in a row."""

    def __init__(self, service: str, environ: Mapping[str, str], folder: DataFolder) -> None:
        self.service = service
        self.log = folder.logs / f"{service}.log"
        self._environ = environ
        self._lock = folder.lock
        self._said_from = 0
        self._started = 0.0
        self.deaths = 0
        self.restart_at: float | None = None
        self.process = self._spawn()

    def respawn(self) -> None:
        self.process = self._spawn()
        self.restart_at = None

    def plan_restart(self) -> float:
        """Sooner or later, the more often it died soon after its start; in how many seconds."""
        self.deaths = 1 if time.monotonic() - self._started > _STEADY_SECONDS else self.deaths + 1
        pause: float = min(_FIRST_PAUSE_SECONDS * 2 ** (self.deaths - 1), _MAX_PAUSE_SECONDS)
        self.restart_at = time.monotonic() + pause
        return pause

    def last_words(self) -> str:
        """What the process wrote for people: the lines that are not JSON."""
        with self.log.open("rb") as file:
            file.seek(self._said_from)
            lines = file.read()[-10_000:].decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if line.strip() and not line.startswith("{"))

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self._started = time.monotonic()
        with self.log.open("ab") as log:
            self._said_from = log.tell()
            return subprocess.Popen(
                [sys.executable, "-m", "suite.child", self.service],
                env=self._environ,
                stdin=subprocess.PIPE,  # closed when this process ends: see suite.child
                stdout=log,
                stderr=log,
                pass_fds=[self._lock],
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the services in order
            )


class Supervisor:
    """The four services on one data folder. `say` gets a line of text when a service dies or comes back."""

    def __init__(
        self,
        folder: DataFolder,
        addresses: Mapping[str, str],
        *,
        product_clock: str = "wall",
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.addresses = dict(addresses)
        self._folder = folder
        self._environ = {**os.environ, **_settings(folder, addresses, product_clock), **(settings or {})}
        self._say = say
        self._processes: dict[str, _Process] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        """Returns when every service is healthy. Raises StartFailed with what the unhealthy one said; then none runs."""
        try:
            self._processes = {service: _Process(service, self._environ, self._folder) for service in SERVICES}
            for process in self._processes.values():
                self._wait_until_healthy(process)
        except BaseException:
            self.stop()
            raise
        self._watcher.start()

    def pid(self, service: str) -> int:
        """The process of a service as it is now; another one after a restart."""
        return self._processes[service].process.pid

    def kill(self, service: str) -> None:
        """SIGKILL, as a crash would: the service is started again."""
        self._processes[service].process.kill()

    def stop(self) -> None:
        """SIGTERM, one service after the other; SIGKILL to one that does not end in time."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for service in STOP_ORDER:
            if service in self._processes:
                self._stop(self._processes[service])

    def kill_all(self) -> None:
        """For the impatient: ends every service at once."""
        for process in self._processes.values():
            process.process.kill()

    def _stop(self, process: _Process) -> None:
        running = process.process
        if running.poll() is None:
            running.terminate()
        try:
            running.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._say(f"{process.service} does not stop; killing it")
            running.kill()
            running.wait()
        if running.stdin:
            running.stdin.close()

    def _wait_until_healthy(self, process: _Process) -> None:
        client = Client(self.addresses[process.service], deadline=timedelta(seconds=1))
        try:
            end = time.monotonic() + _START_SECONDS
            while not _is_healthy(client):
                if process.process.poll() is not None:
                    words = process.last_words() or f"{process.service} {_how(process.process.returncode)} at its start"
                    raise StartFailed(words)
                if time.monotonic() > end:
                    raise StartFailed(
                        f"{process.service} is not healthy after {_START_SECONDS:.0f} s; see {process.log}"
                    )
                time.sleep(0.02)
        finally:
            client.close()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for process in self._processes.values():
                self._look_after(process)

    def _look_after(self, process: _Process) -> None:
        if process.restart_at is not None:
            if time.monotonic() >= process.restart_at:
                process.respawn()
        elif (code := process.process.poll()) is not None:
            if process.process.stdin:
                process.process.stdin.close()
            pause = process.plan_restart()
            self._say(f"{process.service} {_how(code)}; starting it again in {pause:.1f} s")
            if code > 0 and (words := process.last_words()):
                self._say(words)


def _settings(folder: DataFolder, addresses: Mapping[str, str], product_clock: str) -> dict[str, str]:
    """The environment of the services."""
    found = {}
    for service, address in addresses.items():
        prefix = service.upper()
        found[f"{prefix}_LISTEN"] = address
        found[f"{prefix}_DATABASE_URL"] = folder.database_url(service)
        found[f"{prefix}_PRODUCT_CLOCK"] = product_clock
    for caller in ("POLICY_SERVICE", "SCHEDULER_SERVICE"):
        found[f"{caller}_COMPUTE_ADDRESS"] = addresses["compute_sim"]
        found[f"{caller}_LOG_ADDRESS"] = addresses["log_service"]
    found["SCHEDULER_SERVICE_POLICY_ADDRESS"] = addresses["policy_service"]
    return found


def _is_healthy(client: Client) -> bool:
    stub = client.stub(health_pb2_grpc.HealthStub)
    try:
        answer = client.call(stub.Check, health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]  # the stubs lack it
    except ServiceError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
