"""`autoimage up`: the suite in the foreground."""

import os
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path

from servicekit.clock import write_clock
from suite.clients import SERVICES, default_addresses
from suite.folder import DataFolder
from suite.supervisor import Supervisor

_ABOUT = {
    "policy_service": "policies and associations",
    "scheduler_service": "executions",
    "compute_sim": "instances, images, quotas (simulated)",
    "log_service": "log sets, topics, entries",
}
_EXAMPLES = """\
Try (in another terminal; grpcurl finds out the rest by itself):

  grpcurl -plaintext {compute_sim} list
  grpcurl -plaintext {policy_service} describe autoimage.policy.v1.PolicyService
  grpcurl -plaintext -d '{{"parent": "accounts/acme/regions/cn-north-1"}}' \\
    {policy_service} autoimage.policy.v1.PolicyService/ListPolicies
"""


def up(data: Path, clock: str) -> int:
    """Runs until Ctrl-C or SIGTERM; 0 when all services stopped. A second Ctrl-C kills them.

    With `clock` "stepped", product time is that of the file `clock` in the data folder, made with the present time.
    """
    folder = DataFolder(data)
    addresses = _addresses()
    product_clock = "wall"
    if clock == "stepped":
        product_clock = str(folder.clock)
        if not folder.clock.exists():
            write_clock(folder.clock, datetime.now(UTC))
    supervisor = Supervisor(folder, addresses, product_clock=product_clock)
    stop = _stop_on_signals(supervisor)
    print(f"starting four services on {folder.path} …", flush=True)
    supervisor.start()
    print(_welcome(folder, addresses), flush=True)
    stop.wait()
    print("stopping …", flush=True)
    supervisor.stop()
    folder.close()
    print("stopped", flush=True)
    return 0


def _addresses() -> dict[str, str]:
    """The defaults, but for those that the services' own variables name."""
    defaults = default_addresses()
    return {service: os.environ.get(f"{service.upper()}_LISTEN", defaults[service]) for service in SERVICES}


def _stop_on_signals(supervisor: Supervisor) -> threading.Event:
    stop = threading.Event()

    def ask(number: int, _frame: object) -> None:
        if number == signal.SIGINT and stop.is_set():
            supervisor.kill_all()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def _welcome(folder: DataFolder, addresses: dict[str, str]) -> str:
    lines = ["", *(f"  {service:<18} {addresses[service]:<18} {_ABOUT[service]}" for service in SERVICES), ""]
    logs = f"Logs are in {folder.logs}. Ctrl-C stops the suite; started again, it goes on where it was.\n"
    return "\n".join([*lines, logs, _EXAMPLES.format_map(addresses)])
