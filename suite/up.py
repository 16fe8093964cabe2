"""`autoimage up`: runs the suite until someone asks it to stop."""

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from suite.errors import SuiteError
from suite.folder import DataFolder
from suite.output import stop_printing
from suite.services import overruled
from suite.supervisor import Supervisor, running

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(data: Path, addresses: Mapping[str, str], clock: str) -> int:
    """Until Ctrl-C, SIGTERM, or the end of the terminal; 0 then. Raises SuiteError if the suite cannot start."""
    _check_environment()
    folder = DataFolder(data)
    begun = time.monotonic()
    with _stop_asked() as asked, running(folder, addresses, clock, _say) as suite:
        _say(_table(suite, addresses))
        _say(f"ready after {time.monotonic() - begun:.1f} s; data and logs in {folder.path}; Ctrl-C stops")
        _say(_examples(addresses))
        asked.wait()
        _say("stopping")
    _say("stopped")
    return 0


def _check_environment() -> None:
    """Whoever set a database's URL would look for the data there, and find nothing."""
    problems = [
        f"{name} is not for `autoimage up`, which says it by itself: unset it, or start each service alone"
        for name in overruled(os.environ)
    ]
    if problems:
        raise SuiteError(*problems)


class _Asked:
    """That someone asked the suite to stop.

    The signal itself writes to a pipe. Its handler in Python runs only between two steps of the main thread, and one
    that is just about to wait would wait for ever.
    """

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_blocking(self.write, False)
        self._times = 0

    def hear(self, *_: object) -> None:
        self._times += 1
        if self._times > 1:  # the services end by themselves when the suite is gone
            os._exit(130)

    def wait(self) -> None:
        select.select([self._read], [], [])

    def close(self) -> None:
        os.close(self._read)
        os.close(self.write)


@contextmanager
def _stop_asked() -> Iterator[_Asked]:
    asked = _Asked()
    wakeup = signal.set_wakeup_fd(asked.write)
    before = {number: signal.signal(number, asked.hear) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        asked.close()


def _say(text: str) -> None:
    """The suite goes on, and its services are watched, also when nobody reads any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()


def _table(suite: Supervisor, addresses: Mapping[str, str]) -> str:
    rows = [f"{service:18} {address:16} process {suite.process(service).pid}" for service, address in addresses.items()]
    return "\n".join(rows)


def _examples(addresses: Mapping[str, str]) -> str:
    place = "accounts/acme/regions/cn-north-1"
    lines = [
        _example(addresses["compute_sim"], "compute.v1.InstanceService/ListInstances", place),
        _example(addresses["policy_service"], "policy.v1.PolicyService/ListPolicies", place),
        _example(addresses["scheduler_service"], "scheduler.v1.ExecutionService/ListExecutions", f"{place}/policies/-"),
    ]
    return "\n".join(["", "For example:", *lines, ""])


def _example(address: str, method: str, parent: str) -> str:
    return f"""  grpcurl -plaintext -d '{{"parent": "{parent}"}}' {address} autoimage.{method}"""
