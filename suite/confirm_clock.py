"""`autoimage confirm-clock`: lets the services go on after product time leapt ahead, if a person knows it is right."""

from collections.abc import Mapping
from datetime import datetime

from autoimage.operations.v1 import clock_service_pb2
from servicekit.errors import ServiceError
from servicekit.timestamps import to_proto
from suite.clients import Clients, told
from suite.errors import SuiteError

_CLOCK = "clock"


def run(addresses: Mapping[str, str], time: datetime) -> int:
    """Confirms at each service that it is now this time. Raises SuiteError with what each one says that does not."""
    clients = Clients(addresses)
    problems = []
    try:
        for service, clock in clients.clocks.items():
            try:
                clock.ConfirmClock(clock_service_pb2.ConfirmClockRequest(name=_CLOCK, product_time=to_proto(time)))
                print(f"{service}: product time is confirmed")
            except ServiceError as error:
                problems.append(f"{service}: {told(error)}")
    finally:
        clients.close()
    if problems:
        raise SuiteError(*problems)
    return 0
