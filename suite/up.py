"""`autoimage up`: runs the suite until someone asks it to stop."""

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from suite.folder import DataFolder
from suite.supervisor import running

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(data: Path, addresses: Mapping[str, str], clock: str) -> int:
    """Until Ctrl-C, SIGTERM, or the end of the terminal; 0 then. Raises SuiteError if the suite cannot start."""
    folder = DataFolder(data)
    begun = time.monotonic()
    with _stop_asked() as asked, running(folder, addresses, clock, _say):
        _say(_welcome(folder, addresses, time.monotonic() - begun))
        asked.wait()
        _say("stopping")
    _say("stopped")
    return 0


class _Asked:
    """That someone asked the suite to stop. A pipe, and no event: a signal handler must take no lock."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._times = 0

    def hear(self, *_: object) -> None:
        self._times += 1
        if self._times > 1:  # the services end by themselves when the suite is gone
            os._exit(130)
        os.write(self._write, b"!")

    def wait(self) -> None:
        select.select([self._read], [], [])


@contextmanager
def _stop_asked() -> Iterator[_Asked]:
    asked = _Asked()
    before = {number: signal.signal(number, asked.hear) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, flush=True)


def _welcome(folder: DataFolder, addresses: Mapping[str, str], seconds: float) -> str:
    policy, scheduler, compute = (
        addresses[service] for service in ("policy_service", "scheduler_service", "compute_sim")
    )
    return "\n".join(
        [
            *(f"{service:18} {address}" for service, address in addresses.items()),
            f"ready after {seconds:.1f} s; data in {folder.path}, logs in its folder logs; Ctrl-C stops",
            "",
            "For example:",
            _example(compute, "compute.v1.InstanceService/ListInstances", "accounts/acme/regions/cn-north-1"),
            _example(policy, "policy.v1.PolicyService/ListPolicies", "accounts/acme/regions/cn-north-1"),
            _example(
                scheduler, "scheduler.v1.ExecutionService/ListExecutions", "accounts/acme/regions/cn-north-1/policies/-"
            ),
            "",
        ]
    )


def _example(address: str, method: str, parent: str) -> str:
    return f"""  grpcurl -plaintext -d '{{"parent": "{parent}"}}' {address} autoimage.{method}"""
