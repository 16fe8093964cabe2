"""Nothing is triggered, settled or deleted by a product time that is not trusted."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from servicekit.clock_guard import guarded
from servicekit.errors import Code
from servicekit.loop import Wake
from tests.support import START, clocks, error_of
from tests.support.policy_service import PolicyService, policy, running_policy_service

DAY = timedelta(days=1)


class Doubt:
    """A guard that a test tells what to think."""

    def __init__(self) -> None:
        self.doubts = False

    def gain(self) -> timedelta | None:
        return DAY if self.doubts else None

    def confirm(self) -> None:
        self.doubts = False


@pytest.fixture
def guard() -> Doubt:
    return Doubt()


@pytest.fixture
def service(tmp_path: Path, guard: Doubt) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path, guard=guard) as running:
        running.create()
        yield running


@pytest.mark.rule("D1")
def test_nothing_is_triggered_while_product_time_is_doubtful(service: PolicyService, guard: Doubt) -> None:
    service.time.product.advance(365 * DAY)
    guard.doubts = True
    error = error_of(service.lease)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "PRODUCT_TIME_DOUBTFUL")
    assert error.retry_after == timedelta(seconds=1)
    service.time.product.set(START)
    guard.doubts = False
    assert list(service.lease().triggers) == []
    assert service.get().next_execution_time.ToDatetime() == policy().schedule.start_time.ToDatetime()


@pytest.mark.rule("D1", "P11", "P13", "P15")
@pytest.mark.parametrize(
    "change",
    [
        lambda service: service.update("schedule.interval", schedule=policy().schedule),
        lambda service: service.disable(),
        lambda service: service.enable(),
        lambda service: service.delete(),
    ],
)
def test_what_would_settle_points_by_a_doubtful_time_is_refused(
    service: PolicyService, guard: Doubt, change: Callable[[PolicyService], object]
) -> None:
    before = service.get()
    service.time.product.advance(365 * DAY)
    guard.doubts = True
    assert error_of(change, service).reason == "PRODUCT_TIME_DOUBTFUL"
    assert service.get() == before


def test_a_step_that_goes_by_product_time_waits_until_it_is_trusted(guard: Doubt) -> None:
    time, runs = clocks(), []

    def step() -> Wake:
        runs.append(time.product.now())
        return Wake(at_once=True)

    run = guarded(guard, step, time.operating)
    guard.doubts = True
    assert run() == Wake(operating=START + timedelta(seconds=1))
    guard.doubts = False
    assert run() == Wake(at_once=True)
    assert runs == [START]
