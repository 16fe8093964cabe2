"""`make bench`: how fast the suite starts, what it takes at rest, and 10,000 instances due at one instant."""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.burst import Burst
from bench.processes import cpu_seconds, peak_mib
from servicekit.clock import write_clock
from suite.clients import SERVICES, Clients
from suite.folder import STEPPED, WALL, DataFolder
from suite.services import free_addresses
from suite.supervisor import Supervisor, running

START = datetime(2030, 1, 7, tzinfo=UTC)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--instances", type=int, default=10_000, help="due at one instant (default: 10,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument(
        "--rest", type=int, default=20, metavar="SECONDS", help="how long to look at rest (default: 20)"
    )
    options = parser.parse_args()
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {datetime.now(UTC):%Y-%m-%d}")
    print("Four processes on SQLite, this program beside them. Each line: the rounds, in order.\n")
    _report("all four ready, from nothing (s)", options.rounds, lambda: _start_seconds(fresh=True))
    _report("all four ready, on their data (s)", options.rounds, lambda: _start_seconds(fresh=False))
    _report("at rest, all four (% of one core)", 1, lambda: _rest_percent(options.rest))
    right = True
    for number in range(options.rounds):
        right = _burst(number + 1, options.instances) and right
    print("\neverything correct afterwards" if right else "\nNOT CORRECT; see above")
    return 0 if right else 1


def _report(title: str, rounds: int, measure: Callable[[], float]) -> None:
    print(f"{title:<40} {'  '.join(f'{measure():.2f}' for _ in range(rounds))}", flush=True)


def _start_seconds(*, fresh: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="autoimage-bench-") as path:
        if not fresh:
            with _suite(Path(path), WALL):
                pass
        begun = time.monotonic()
        with _suite(Path(path), WALL):
            return time.monotonic() - begun


def _rest_percent(seconds: int) -> float:
    with tempfile.TemporaryDirectory(prefix="autoimage-bench-") as path, _suite(Path(path), WALL) as (supervisor, _):
        time.sleep(2)  # what follows a start is over
        before = sum(cpu_seconds(pid) for pid in _pids(supervisor).values())
        time.sleep(seconds)
        return (sum(cpu_seconds(pid) for pid in _pids(supervisor).values()) - before) / seconds * 100


def _burst(number: int, instances: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="autoimage-bench-") as path:
        write_clock(DataFolder(Path(path)).clock_file, START)
        with _suite(Path(path), STEPPED) as (supervisor, addresses):
            clients = Clients(addresses)
            burst = Burst(clients, DataFolder(Path(path)).clock_file, START, instances)
            load = _seconds(burst.load)
            accepted = _seconds(burst.accept)
            finished = accepted + _seconds(burst.finish)
            wrong = burst.wrong()
            peaks = ", ".join(f"{service} {peak_mib(pid):.0f}" for service, pid in _pids(supervisor).items())
            clients.close()
    print(f"\nround {number}: {instances:,} instances due at one instant")
    print(f"  loaded in {load:.2f} s; all accepted in {accepted:.2f} s; all done and logged in {finished:.2f} s")
    print(f"  most memory (MiB): {peaks}", flush=True)
    for line in wrong:
        print(f"  WRONG: {line}")
    return not wrong


def _seconds(work: Callable[[], None]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


@contextmanager
def _suite(path: Path, clock: str) -> Iterator[tuple[Supervisor, Mapping[str, str]]]:
    addresses = free_addresses()
    with running(DataFolder(path), addresses, clock, print) as supervisor:
        yield supervisor, addresses


def _pids(supervisor: Supervisor) -> dict[str, int]:
    found = {service: supervisor.process(service).pid for service in SERVICES}
    return {service: pid for service, pid in found.items() if pid is not None}


if __name__ == "__main__":
    raise SystemExit(main())
