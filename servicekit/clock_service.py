"""autoimage.operations.v1 on the wire: the same for every service."""

from datetime import timedelta

import grpc

from autoimage.operations.v1 import clock_service_pb2_grpc
from autoimage.operations.v1.clock_service_pb2 import Clock as ClockMessage
from autoimage.operations.v1.clock_service_pb2 import ConfirmClockRequest, GetClockRequest
from servicekit.clock import Clock
from servicekit.clock_guard import MOST_GAIN, Guard
from servicekit.errors import FailedPrecondition, FieldViolation
from servicekit.rpc import rpc
from servicekit.server import Registration
from servicekit.timestamps import from_proto, to_duration, to_proto
from servicekit.validation import timestamp

NAME = "clock"


class ProductTimeDiffers(FailedPrecondition):
    """What a person takes for the right time is not product time."""

    def __init__(self, product_time: str) -> None:
        super().__init__(
            "PRODUCT_TIME_DIFFERS",
            f"product time is {product_time}, more than {MOST_GAIN // timedelta(minutes=1)} minutes off",
            subject=NAME,
            metadata={"product_time": product_time},
        )


def _question(request: GetClockRequest) -> list[FieldViolation]:
    return _name(request.name)


def _confirmation(request: ConfirmClockRequest) -> list[FieldViolation]:
    return [*_name(request.name), *timestamp("product_time", request.product_time)]


def _name(name: str) -> list[FieldViolation]:
    return [] if name == NAME else [FieldViolation("name", f"must be {NAME}")]


class ClockServicer(clock_service_pb2_grpc.ClockServiceServicer):
    regions: frozenset[str] = frozenset()

    def __init__(self, guard: Guard, product: Clock) -> None:
        self._guard = guard
        self._product = product

    @rpc(_question)
    def GetClock(self, request: GetClockRequest, context: grpc.ServicerContext) -> ClockMessage:
        return self._clock()

    @rpc(_confirmation)
    def ConfirmClock(self, request: ConfirmClockRequest, context: grpc.ServicerContext) -> ClockMessage:
        now = self._product.now()
        if abs(from_proto(request.product_time) - now) > MOST_GAIN:
            raise ProductTimeDiffers(now.isoformat().replace("+00:00", "Z"))
        if self._guard.gain() is not None:
            self._guard.confirm()
        return self._clock()

    def _clock(self) -> ClockMessage:
        gain = self._guard.gain()
        return ClockMessage(
            name=NAME,
            product_time=to_proto(self._product.now()),
            trusted=gain is None,
            gain=None if gain is None else to_duration(gain),
        )


def clock_registration(guard: Guard, product: Clock) -> Registration:
    """The service as a server takes it."""
    servicer = ClockServicer(guard, product)
    return clock_service_pb2_grpc.add_ClockServiceServicer_to_server, servicer, "autoimage.operations.v1.ClockService"
