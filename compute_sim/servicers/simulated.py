"""What befalls the calls of the compute contract, as the simulation says: in one place, around every method."""

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import Message

from compute_sim.commands.read import get_simulation
from compute_sim.dependencies import Dependencies
from compute_sim.domain.simulation import CallConduct, CallFault, Simulation
from servicekit.admission import overloaded
from servicekit.errors import DatabaseUnavailable
from servicekit.idempotency import fingerprint
from servicekit.rpc import Validator, full_name, rpc

S = TypeVar("S", bound="Simulated")
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
_Method = Callable[[S, Request, grpc.ServicerContext], Response]
_RETRY_THROTTLED = timedelta(seconds=2)
_MAX_COUNTED = 10_000


class Attempts:
    """Counts how often each call came, so that a repeat has a fate of its own. Of more than 10,000 the oldest go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[object, int] = OrderedDict()

    def count(self, call: object) -> int:
        """How often the call came before."""
        with self._lock:
            before = self._counts.pop(call, 0)
            self._counts[call] = before + 1
            if len(self._counts) > _MAX_COUNTED:
                self._counts.popitem(last=False)
            return before


class Simulated:
    """A servicer of the compute contract, which needs `simulated_rpc` on its methods."""

    def __init__(self, deps: Dependencies, regions: frozenset[str]) -> None:
        self._deps = deps
        self.regions = regions
        self._attempts = Attempts()

    def live_through(self, method: str, request: Message, work: Callable[[], Response]) -> Response:
        """Does the work as the simulation says: later, not at all, or without an answer."""
        simulation = get_simulation(self._deps)
        conduct = simulation.conduct_of(method)
        if conduct is None:
            return work()
        if conduct.latency:
            self._deps.sleep(conduct.latency.total_seconds())
        fault = self._fault(simulation, conduct, method, request)
        if fault is CallFault.REFUSED:
            raise DatabaseUnavailable("DATABASE_UNAVAILABLE", "simulated: the database does not answer")
        if fault is CallFault.THROTTLED:
            raise overloaded("simulated: too many calls", _RETRY_THROTTLED)
        response = work()
        if fault is CallFault.ANSWER_LOST:
            raise DatabaseUnavailable("DATABASE_UNAVAILABLE", "simulated: the database did not answer in time")
        return response

    def _fault(self, simulation: Simulation, conduct: CallConduct, method: str, request: Message) -> CallFault | None:
        """A call is counted anew under each revision, so that what was reset begins as it began before."""
        token = token_of(request)
        attempt = self._attempts.count((simulation.revision, method, token))
        return simulation.call_fault(conduct, method, token, attempt)


def simulated_rpc(
    validator: Validator[Request], *, per_item: str = ""
) -> Callable[[_Method[S, Request, Response]], _Method[S, Request, Response]]:
    """`@rpc`, and within it what the simulation says: a fault is told and logged as a real one would be."""

    def decorate(method: _Method[S, Request, Response]) -> _Method[S, Request, Response]:
        @functools.wraps(method)
        def serve(self: S, request: Request, context: grpc.ServicerContext) -> Response:
            name = full_name(cast("type", type(self)), method.__name__)
            return self.live_through(name, request, lambda: method(self, request, context))

        return rpc(validator, per_item=per_item)(serve)

    return decorate


def token_of(request: Message) -> str:
    """What tells a call from others, and is the same when it is repeated."""
    return hashlib.sha256(_told_by(request).encode()).hexdigest()


def _told_by(request: Any) -> str:
    """Its request id, or those of its items; else its name; else all that it says."""
    fields = request.DESCRIPTOR.fields_by_name
    if "requests" in fields:
        return "/".join(_told_by(item) for item in request.requests)
    for field in ("request_id", "name"):
        if field in fields and getattr(request, field):
            return str(getattr(request, field)).lower()
    return fingerprint(request)
