"""What operators ask of every service: whether it trusts product time."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from autoimage.operations.v1.clock_service_pb2 import Clock, ConfirmClockRequest, GetClockRequest
from autoimage.operations.v1.clock_service_pb2_grpc import ClockServiceStub
from servicekit.clock_service import clock_registration
from servicekit.errors import Code
from servicekit.timestamps import to_duration, to_proto
from tests.support import START, clocks, error_of, running_server

MINUTE = timedelta(minutes=1)


class Doubtful:
    """A guard that has stopped trusting, until someone confirms."""

    confirmed = 0

    def gain(self) -> timedelta | None:
        return None if self.confirmed else 90 * MINUTE

    def confirm(self) -> None:
        self.confirmed += 1


@pytest.fixture
def guard() -> Doubtful:
    return Doubtful()


@pytest.fixture
def stub(guard: Doubtful) -> Iterator[ClockServiceStub]:
    with running_server(clock_registration(guard, clocks().product)) as channel:
        yield ClockServiceStub(channel)


def test_the_clock_tells_that_it_is_doubtful_and_by_how_much(stub: ClockServiceStub) -> None:
    expected = Clock(name="clock", product_time=to_proto(START), trusted=False, gain=to_duration(90 * MINUTE))
    assert stub.GetClock(GetClockRequest(name="clock")) == expected


@pytest.mark.parametrize("off", [-10 * MINUTE, 0 * MINUTE, 10 * MINUTE])
def test_an_operator_who_has_the_same_time_confirms_it_once(
    stub: ClockServiceStub, guard: Doubtful, off: timedelta
) -> None:
    request = ConfirmClockRequest(name="clock", product_time=to_proto(START + off))
    for _ in range(2):
        assert stub.ConfirmClock(request) == Clock(name="clock", product_time=to_proto(START), trusted=True)
    assert guard.confirmed == 1


@pytest.mark.parametrize("off", [-10 * MINUTE - timedelta(seconds=1), 10 * MINUTE + timedelta(seconds=1)])
def test_a_time_that_is_not_product_time_confirms_nothing(
    stub: ClockServiceStub, guard: Doubtful, off: timedelta
) -> None:
    error = error_of(stub.ConfirmClock, ConfirmClockRequest(name="clock", product_time=to_proto(START + off)))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "PRODUCT_TIME_DIFFERS")
    assert error.metadata["product_time"] == START.isoformat().replace("+00:00", "Z")
    assert guard.confirmed == 0


def test_bad_requests_are_refused_with_every_field(stub: ClockServiceStub) -> None:
    for name in ("", "clocks", "clock\n"):
        assert error_of(stub.GetClock, GetClockRequest(name=name)).code is Code.INVALID_ARGUMENT
    error = error_of(stub.ConfirmClock, ConfirmClockRequest(name="x"))
    assert [violation.field for violation in error.violations] == ["product_time", "name"]
    wrong = ConfirmClockRequest(name="clock", product_time=Timestamp(seconds=253_402_300_800))
    assert [violation.field for violation in error_of(stub.ConfirmClock, wrong).violations] == ["product_time"]
