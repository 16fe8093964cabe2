"""Runs the four services on one data folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from servicekit.clock import Clocks, WallClock
from servicekit.loop import Loop, Wake
from suite import log_files
from suite.clients import SERVICES
from suite.errors import SuiteError
from suite.folder import DataFolder
from suite.process import Say, ServiceProcess
from suite.services import environment, why_not_free

# Whoever calls ends before whoever is called.
_STOP_ORDER = ("scheduler_service", "policy_service", "compute_sim", "log_service")
_LOOK_AT_LOGS = timedelta(minutes=1)


class Supervisor:
    """The services as processes, each ready when this was made by `running`, and started again when it dies."""

    def __init__(self, processes: Mapping[str, ServiceProcess]) -> None:
        self._processes = processes
        clocks = Clocks(WallClock(), WallClock())
        self._bounding = Loop("log_files", self._bound_logs, clocks, idle=_LOOK_AT_LOGS)

    def _bound_logs(self) -> Wake:
        for process in self._processes.values():
            log_files.bound(process.log)
        return Wake()

    def process(self, service: str) -> ServiceProcess:
        """The process of the service of this package."""
        return self._processes[service]

    def start(self) -> None:
        """Returns when all are ready. Raises SuiteError with what each that failed has said."""
        self._bounding.start()
        for process in self._processes.values():
            process.start()
        failures = [failure for process in self._processes.values() if (failure := process.settle())]
        if failures:
            raise SuiteError(*failures)

    def stop(self) -> None:
        """Ends all in order."""
        for process in self._processes.values():
            process.ask_to_stop()
        for service in _STOP_ORDER:
            self._processes[service].stop()
        self._bounding.stop()


@contextmanager
def running(folder: DataFolder, addresses: Mapping[str, str], clock: str, say: Say) -> Iterator[Supervisor]:
    """A suite that is ready, until the block ends. `clock` is `wall` or `stepped`; `say` hears of deaths and restarts.

    Raises SuiteError if another suite uses the folder, a port is taken, or a service does not start.
    """
    with folder.locked():
        _check_ports(addresses)
        product_clock = folder.choose_clock(clock)
        supervisor = Supervisor(
            {
                service: ServiceProcess(
                    service,
                    addresses[service],
                    environment(service, addresses, folder.path, product_clock),
                    folder.logs / f"{service}.log",
                    say,
                )
                for service in SERVICES
            }
        )
        try:
            supervisor.start()
            yield supervisor
        finally:
            supervisor.stop()


def _check_ports(addresses: Mapping[str, str]) -> None:
    """Before anything starts: on a taken port whoever has it would answer that it is ready."""
    problems = []
    first: dict[str, str] = {}
    for service, address in addresses.items():
        other = first.setdefault(address, service)
        why = f"{other} is to listen there" if other != service else why_not_free(address)
        if why:
            problems.append(f"{service} cannot listen on {address}: {why}")
    if problems:
        raise SuiteError(*problems)
