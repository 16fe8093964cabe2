"""Carries calls between processes, as bytes, and loses, delays, doubles and overtakes them as it is told to."""

import enum
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from servicekit import calls
from servicekit.client import Client
from servicekit.status import from_rpc_error
from tests.simulation.kernel import MILLISECOND, SECOND, Kernel
from tests.simulation.machines import Machine

DEADLINE = 10 * SECOND
_LATENCY = (MILLISECOND // 2, 20 * MILLISECOND)


class Trouble(enum.StrEnum):
    """What may happen to a call; each of the value's words is seen in stories and in the coverage."""

    LOST_REQUEST = "lost request"
    LOST_ANSWER = "lost answer"
    DELAYED_REQUEST = "delayed request"
    DELAYED_ANSWER = "delayed answer"
    DUPLICATE = "duplicate"
    OVERTAKEN = "overtaken request"


@dataclass
class Ambush:
    """Trouble for the `nth` call of a method (its last name) from some moment on; `delay` where trouble means one."""

    trouble: Trouble
    method: str
    nth: int
    delay: int


@dataclass
class _Reply:
    """What the caller waits for."""

    arrived: bool = False
    payload: bytes = b""
    error: "Refused | None" = None


class Refused(grpc.RpcError):
    """What a stub raises: a status, and perhaps its details."""

    def __init__(self, code: grpc.StatusCode, details: str, trailer: tuple[tuple[str, bytes], ...] = ()) -> None:
        super().__init__(f"{code.name}: {details}")
        self._code, self._details, self._trailer = code, details, trailer

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailer


class _Context:
    """As much of a servicer's context as `@rpc` uses."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata
        self._trailer: tuple[tuple[str, bytes], ...] = ()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def time_remaining(self) -> None:
        """Deadlines are the caller's alone: servers finish what they began."""

    def set_trailing_metadata(self, trailer: tuple[tuple[str, bytes], ...]) -> None:
        self._trailer = trailer

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Refused(code, details, self._trailer)


@dataclass
class Network:
    """`story` is told of every trouble; `seen` of every request that reaches a servicer, and again with its answer."""

    kernel: Kernel
    random: random.Random
    story: Callable[[str, str], None]
    faults: Counter[str]
    seen: Callable[[str, str, str, Any, Any], None]
    machines: dict[str, list[Machine]] = field(default_factory=dict)
    """By the second word of their packages: `policy` has `autoimage.policy.v1`."""
    ambushes: list[Ambush] = field(default_factory=list)

    def call(self, source: str, path: str, request: bytes, deadline: int) -> bytes:
        """The answer; raises Refused."""
        task = self.kernel.current
        assert task is not None
        reply = _Reply()
        method = path.rpartition("/")[2]

        def arrive(payload: bytes, error: Refused | None) -> None:
            if not reply.arrived:
                reply.arrived, reply.payload, reply.error = True, payload, error
                self.kernel.wake(task)

        self._carry(source, path, request, arrive, self._ambush(method))
        self.kernel.wait(self.kernel.now + deadline)
        if not reply.arrived:
            reply.arrived = True
            raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "nobody answered in time")
        if reply.error is not None:
            raise reply.error
        return reply.payload

    def _ambush(self, method: str) -> Ambush | None:
        """The trouble that awaits this call, if any."""
        found = None
        for ambush in [ambush for ambush in self.ambushes if ambush.method == method]:
            ambush.nth -= 1
            if ambush.nth <= 0 and found is None:
                self.ambushes.remove(ambush)
                found = ambush
        return found

    def _carry(
        self,
        source: str,
        path: str,
        request: bytes,
        arrive: Callable[[bytes, Refused | None], None],
        ambush: Ambush | None,
    ) -> None:
        trouble = ambush.trouble if ambush else None
        delay = ambush.delay if ambush else 0
        if trouble is not None:
            self.faults[trouble.value] += 1
            self.story(
                f"{source} → {path.rpartition('/')[2]}",
                f"{trouble.value}" + (f" by {delay / SECOND:.3f} s" if delay else ""),
            )
        answer = arrive
        if trouble is Trouble.LOST_ANSWER:
            answer = _forget
        elif trouble is Trouble.DELAYED_ANSWER:
            answer = self._later(arrive, delay)
        held = trouble in (Trouble.DELAYED_REQUEST, Trouble.OVERTAKEN)
        begin = self.kernel.now + self._latency() + (delay if held else 0)
        if trouble is not Trouble.LOST_REQUEST:
            self.kernel.at(begin, lambda: self._deliver(source, path, request, answer))
        if trouble is Trouble.DUPLICATE:
            self.kernel.at(begin + delay, lambda: self._deliver(source, path, request, _forget))

    def _later(
        self, arrive: Callable[[bytes, Refused | None], None], delay: int
    ) -> Callable[[bytes, Refused | None], None]:
        return lambda payload, error: self.kernel.at(self.kernel.now + delay, lambda: arrive(payload, error))

    def _deliver(self, source: str, path: str, request: bytes, arrive: Callable[[bytes, Refused | None], None]) -> None:
        """Hands the request to one of the machines that live; all but the network's own words go through bytes."""
        alive = [each for each in self.machines[_package(path)] if each.alive]
        if not alive:
            self._answer(arrive, b"", Refused(grpc.StatusCode.UNAVAILABLE, "connection refused"))
            return
        machine = alive[self.random.randrange(len(alive))] if len(alive) > 1 else alive[0]
        if machine.unreachable_until > self.kernel.now:
            self._answer(arrive, b"", Refused(grpc.StatusCode.UNAVAILABLE, "unreachable"))
            return

        def lose() -> None:
            self._answer(arrive, b"", Refused(grpc.StatusCode.UNAVAILABLE, "connection reset"))

        def serve() -> None:
            payload, error = self._serve(source, machine, path, request)
            machine.on_death.remove(lose)
            self._answer(arrive, payload, error)

        machine.on_death.append(lose)
        self.kernel.spawn(machine, path.rpartition("/")[2], serve)

    def _serve(self, source: str, machine: Machine, path: str, request: bytes) -> tuple[bytes, Refused | None]:
        handler: Any = machine.handlers[path]
        message = handler.request_deserializer(request)
        self.seen(source, machine.name, path, message, None)
        try:
            response = handler.unary_unary(message, _Context(((calls.REQUEST_ID_KEY, "simulated"),)))
        except Refused as error:
            self.seen(source, machine.name, path, message, error)
            return b"", error
        self.seen(source, machine.name, path, message, response)
        return handler.response_serializer(response), None

    def _answer(self, arrive: Callable[[bytes, Refused | None], None], payload: bytes, error: Refused | None) -> None:
        self.kernel.at(self.kernel.now + self._latency(), lambda: arrive(payload, error))

    def _latency(self) -> int:
        return self.random.randint(*_LATENCY)


def _forget(_payload: bytes, _error: Refused | None) -> None:
    pass


def _package(path: str) -> str:
    """`autoimage.simulation.v1` is served by who serves compute."""
    return {"simulation": "compute"}.get(found := path.split(".")[1], found)


class _Channel:
    """What generated stubs ask of a channel: they get the path and how to turn messages into bytes and back."""

    def unary_unary(self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        return path, request_serializer, response_deserializer

    def unary_stream(self, path: str, **_: Any) -> Any:
        """Streams are not simulated; nothing in the main job uses one."""


class SimulatedClient(Client):
    """What a process or a person calls services with; the path of a method tells which service is meant."""

    def __init__(self, network: Network, source: str) -> None:
        self._network, self._source = network, source

    def stub(self, stub_class: Callable[[Any], Any]) -> Any:
        return stub_class(_Channel())

    def call(self, method: Any, request: Any, *, deadline: Any = None) -> Any:
        path, serialize, deserialize = method
        limit = DEADLINE if deadline is None else int(deadline.total_seconds() * SECOND)
        try:
            return deserialize(self._network.call(self._source, path, serialize(request), limit))
        except Refused as error:
            raise from_rpc_error(error) from error

    def close(self) -> None:
        pass
