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
from suite.clients import SERVICES, Calls
from suite.services import environment, free_addresses, wait_until_ready
from tests.support.proxy import Proxy
from tests.support.suite import PATIENCE_SECONDS

LEASE_SECONDS = 2
"""What a replica that died held is free soon."""
_START_SECONDS = 5 * PATIENCE_SECONDS
"""All start at once."""
_CONNECTIONS = 12
"""Of one process to its database: those of all together must find room on a server."""


class Replica:
    """One process of a service, started again by hand after it was killed. Ends with the process that started it."""

    def __init__(self, service: str, address: str, environ: Mapping[str, str], log: Path) -> None:
        self.service = service
        self.address = address
        self._environ = environ
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "suite.child", str(os.getpid()), self.service],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Of this session: when its parent dies, the system wakes it up if it is paused, and it ends.
                process_group=0,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self) -> None:
        is_ready = wait_until_ready(self.address, self.is_running, _START_SECONDS)
        assert is_ready, f"{self.service}: {self._log.read_text('utf-8')[-5000:]}"

    def kill(self) -> None:
        """As a crash, in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running():
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._send(number)
            self._process.wait(PATIENCE_SECONDS)


class Cluster:
    """All replicas, and the proxies that their peers, or they themselves, reach something through.

    `addresses`, by service, and `schedulers`, each replica by itself, are without a proxy in between.
    """

    def __init__(
        self, replicas: list[Replica], proxies: list[Proxy], addresses: Mapping[str, str], schedulers: list[Calls]
    ) -> None:
        self.replicas = replicas
        self.proxies = proxies
        self.addresses = addresses
        self.schedulers = schedulers

    def start(self) -> None:
        """Starts all at once; returns when all are ready."""
        for replica in self.replicas:
            replica.start()
        for replica in self.replicas:
            replica.wait_until_ready()

    def kill(self) -> None:
        """All, as a loss of power."""
        for replica in self.replicas:
            replica.kill()

    def kill_scheduler(self) -> None:
        """One of them; it is there again when this returns."""
        scheduler = next(replica for replica in self.replicas if replica.service == "scheduler_service")
        scheduler.kill()
        scheduler.start()
        scheduler.wait_until_ready()


@contextmanager
def running_cluster(folder: Path, counts: Mapping[str, int], databases: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster that is ready, on stepped product time. `counts` and `databases` (URLs) are by service."""
    addresses = _addresses(counts)
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
        cluster = Cluster(
            replicas,
            [proxy for its in proxies.values() for proxy in its],
            {name: ",".join(its) for name, its in addresses.items()},
            [_scheduler(stack, address) for address in addresses["scheduler_service"]],
        )
        stack.callback(cluster.kill)
        cluster.start()
        yield cluster


def _addresses(counts: Mapping[str, int]) -> dict[str, list[str]]:
    """As many as there are replicas, all different, by service."""
    free: set[str] = set()
    while len(free) < sum(counts.values()):
        free.update(free_addresses().values())
    return {service: [free.pop() for _ in range(counts[service])] for service in SERVICES}


def _environ(service: str, address: str, peers: Mapping[str, str], database: str, folder: Path) -> dict[str, str]:
    prefix = service.upper()
    settings = {
        "SCHEDULER_SERVICE_TASK_LEASE_SECONDS": str(LEASE_SECONDS),
        "POLICY_SERVICE_TRIGGER_LEASE_SECONDS": str(LEASE_SECONDS),
        f"{prefix}_DATABASE_URL": database,
        f"{prefix}_DATABASE_CONNECTIONS": str(_CONNECTIONS),
    }
    environ = environment(service, {**peers, service: address}, folder, str(folder / "clock"), os.environ)
    return {**environ, **settings}


def _scheduler(stack: ExitStack, address: str) -> Calls:
    client = Client(address)
    stack.callback(client.close)
    return Calls(client, execution_service_pb2_grpc.ExecutionServiceStub)
