"""The machine's clock leaps while the suite runs: nothing is made or deleted by it until it is right, or confirmed.

By hand only: libfaketime tells the time of day to whoever asks, but not to what waits in the kernel for a moment to
come, so that a library that mixes both may wait too long, or spin.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autoimage.operations.v1.clock_service_pb2 import Clock, GetClockRequest
from autoimage.policy.v1.policy_service_pb2 import ExecutePolicyRequest
from autoimage.scheduler.v1.execution_pb2 import Execution
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.clock import write_clock
from servicekit.errors import Code
from servicekit.timestamps import from_proto
from suite.cli import main
from suite.clients import SERVICES
from tests.support import error_of
from tests.support.machine_clock import MachineClock
from tests.support.product import Product
from tests.support.suite import Suite, clients, eventually, pids, ports, running_suite

LEAP = timedelta(hours=48)
"""Two points of a policy that runs each day, and twice as long as its images are kept."""
CLOSE = timedelta(minutes=5)


class Shop:
    """A policy that begins in an hour and runs each day, and two images of now; the older one is to go after a day."""

    def __init__(self, product: Product, clock: MachineClock) -> None:
        self.product = product
        self.clock = clock
        self.policy = product.policy("daily", retention=Retention(keep_days=1)).name
        product.associate(self.policy, product.instance("web"))
        self.run_to_the_end()
        self.run_to_the_end()

    def run(self) -> None:
        self.product.clients.policies.ExecutePolicy(ExecutePolicyRequest(name=self.policy))

    def run_to_the_end(self) -> None:
        before = len(self.executions())
        self.run()
        eventually(lambda: len(self.executions()) > before)
        eventually(lambda: all(execution.HasField("end_time") for execution in self.executions()))

    def executions(self) -> list[Any]:
        return self.product.executions(self.policy)

    def images(self) -> list[str]:
        return [image.name for image in self.product.images()]

    def kinds(self) -> list[str]:
        """Of its executions, the newest first."""
        return [Execution.Kind.Name(execution.kind) for execution in self.executions()]

    def trusts(self) -> bool:
        """Whether all services know what the machine's clock shows by now, and trust it."""
        return all(
            clock.trusted and abs(from_proto(clock.product_time) - self.clock.now) < CLOSE for clock in self._clocks()
        )

    def doubts(self) -> bool:
        """Whether all know, and find that it leapt."""
        gains = [clock.gain.ToTimedelta() for clock in self._clocks() if not clock.trusted]
        return len(gains) == len(SERVICES) and all(abs(gain - LEAP) < CLOSE for gain in gains)

    def _clocks(self) -> list[Clock]:
        return [clock.GetClock(GetClockRequest(name="clock")) for clock in self.product.clients.clocks.values()]


@contextmanager
def running_shop(folder: Path, clock: MachineClock) -> Iterator[tuple[Suite, Shop]]:
    environ = {"COMPUTE_SIM_BUILD_SECONDS_PER_GIB": "0", **clock.environ}
    with running_suite(folder / "data", environ=environ) as suite, clients(suite) as opened:
        write_clock(folder / "now", clock.now)
        yield suite, Shop(Product(opened, folder / "now", "acme"), clock)


def kill(suite: Suite, *services: str) -> None:
    """Returns when they are there again."""
    for service in services:
        os.kill(pids(suite)[service], signal.SIGKILL)
        suite.wait_for(f"{service} is ready again")


def confirm(suite: Suite, time: datetime) -> int:
    return main(["confirm-clock", "--ports", ports(suite.addresses), time.isoformat()])


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_leap_makes_and_deletes_nothing_until_it_is_confirmed_and_then_nothing_twice(tmp_path: Path) -> None:
    clock = MachineClock(tmp_path)
    with running_shop(tmp_path, clock) as (suite, shop):
        images, kinds = shop.images(), shop.kinds()

        clock.set(LEAP)
        eventually(shop.doubts)
        kill(suite, "scheduler_service", "policy_service")
        shop.product.clients.connect()
        eventually(shop.doubts)
        error = error_of(shop.run)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "PRODUCT_TIME_DOUBTFUL")

        clock.set(timedelta(0))
        eventually(shop.trusts)
        assert (shop.images(), shop.kinds()) == (images, kinds)

        clock.set(LEAP)
        eventually(shop.doubts)
        assert confirm(suite, clock.now - LEAP) == 2, "not what the services take the time for"
        assert shop.doubts()
        assert confirm(suite, clock.now) == 0
        eventually(shop.trusts)
        eventually(lambda: shop.kinds() == ["KIND_CATCH_UP", "KIND_MISSED", *kinds])
        eventually(lambda: len(shop.images()) == 1)
        (caught_up,) = shop.images()
        assert caught_up not in images

        clock.set(timedelta(0))
        eventually(shop.trusts)
        clock.set(LEAP)
        eventually(shop.doubts)
        assert confirm(suite, clock.now) == 0
        eventually(shop.trusts)
        shop.run_to_the_end()
        assert sorted(shop.kinds()) == sorted(["KIND_RUN_NOW", "KIND_CATCH_UP", "KIND_MISSED", *kinds])
