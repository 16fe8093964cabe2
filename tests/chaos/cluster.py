"""A suite of real processes, any number of each service, with a proxy before each of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from autoimage.scheduler.v1 import execution_service_pb2_grpc
from servicekit.client import Client
from suite.clients import SERVICES, Calls, Clients
from suite.services import environment, free_addresses, wait_until_ready
from tests.support.proxy import Proxy
from tests.support.suite import PATIENCE_SECONDS

LEASE_SECONDS = "2"
"""What a replica that died held is free soon."""


class Replica:
    """One process of a service, started again by hand after it was killed."""

    def __init__(self, service: str, address: str, environ: Mapping[str, str], log: Path) -> None:
        self.service = service
        self.address = address
        self._environ = environ
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.is_paused = False

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.service],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self) -> None:
        assert wait_until_ready(self.address, self.is_running, PATIENCE_SECONDS), f"{self.service}: see {self._log}"

    def kill(self) -> None:
        """As a crash, in the middle of whatever it does."""
        self.resume()
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator does; the exit code."""
        self.resume()
        return self._end(signal.SIGTERM)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        self._send(signal.SIGCONT)
        self.is_paused = False

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running():
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._send(number)
        return self._process.wait(PATIENCE_SECONDS)


class Cluster:
    """All replicas, each behind a proxy that its peers reach it through; `clients` go to the replicas themselves."""

    def __init__(
        self, replicas: list[Replica], proxies: list[Proxy], clients: Clients, schedulers: list[Calls]
    ) -> None:
        self.replicas = replicas
        self.proxies = proxies
        self.clients = clients
        self.schedulers = schedulers


@contextmanager
def running_cluster(folder: Path, counts: Mapping[str, int], databases: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster that is ready, on stepped product time. `counts` and `databases` (URLs) are by service."""
    addresses = {service: [free_addresses()[service] for _ in range(counts[service])] for service in SERVICES}
    with ExitStack() as stack:
        proxies = {name: [stack.enter_context(Proxy(one)) for one in its] for name, its in addresses.items()}
        peers = {name: ",".join(proxy.address for proxy in its) for name, its in proxies.items()}
        replicas = [
            Replica(
                name, address, _environ(name, address, peers, databases[name], folder), folder / f"{name}-{number}.log"
            )
            for name, its in addresses.items()
            for number, address in enumerate(its)
        ]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        clients = Clients({name: ",".join(its) for name, its in addresses.items()})
        stack.callback(clients.close)
        schedulers = [_scheduler(stack, address) for address in addresses["scheduler_service"]]
        yield Cluster(replicas, [proxy for its in proxies.values() for proxy in its], clients, schedulers)


def _environ(service: str, address: str, peers: Mapping[str, str], database: str, folder: Path) -> dict[str, str]:
    settings = {
        "SCHEDULER_SERVICE_TASK_LEASE_SECONDS": LEASE_SECONDS,
        "POLICY_SERVICE_TRIGGER_LEASE_SECONDS": LEASE_SECONDS,
    }
    environ = environment(service, {**peers, service: address}, folder, str(folder / "clock"), os.environ)
    return {**environ, **settings, f"{service.upper()}_DATABASE_URL": database}


def _scheduler(stack: ExitStack, address: str) -> Calls:
    client = Client(address)
    stack.callback(client.close)
    return Calls(client, execution_service_pb2_grpc.ExecutionServiceStub)
