"""Calls to another service: with a deadline, few at a time, and with the other side's error as it was raised there."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from servicekit import calls
from servicekit.errors import Unavailable
from servicekit.status import from_rpc_error

if TYPE_CHECKING:
    from google.protobuf.message import Message

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_INHERITED_MARGIN_SECONDS = 0.020
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A service that was restarted is found again at once; by default that can take two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    # Channels of one process to one address share a connection by default; a client is to own its own.
    ("grpc.use_local_subchannel_pool", 1),
]

Stub = TypeVar("Stub")
Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response")


class Client:
    """Owns one channel to `address` (`127.0.0.1:50053`). Safe to share between threads. Connects when first used.

    Of several addresses with commas between, those of a service's replicas, calls go to each in turn; one that does not
    answer is passed over.
    """

    def __init__(self, address: str, *, deadline: timedelta = timedelta(seconds=10), max_in_flight: int = 64) -> None:
        self._deadline_seconds = deadline.total_seconds()
        self._turn = threading.BoundedSemaphore(max_in_flight)
        self._channel = grpc.insecure_channel(_target(address), options=_OPTIONS)

    def stub(self, stub_class: Callable[[grpc.Channel], Stub]) -> Stub:
        """A generated stub on this client's channel; call its methods through `call` only."""
        return stub_class(self._channel)

    def connect(self, timeout: timedelta = timedelta(seconds=10)) -> None:
        """Waits for a connection: after a service was away, its client tries again a second later only.

        Raises Unavailable TRANSPORT if there is none in time.
        """
        try:
            grpc.channel_ready_future(self._channel).result(timeout.total_seconds())
        except grpc.FutureTimeoutError as error:
            raise Unavailable("TRANSPORT", "no connection in time") from error

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        deadline: timedelta | None = None,
    ) -> Response:
        """The response, or the ServiceError that the other side raised; Unavailable TRANSPORT if it cannot be told.

        After an Unavailable the call may or may not have been served: repeat it with the same request id. Waiting for
        one of the `max_in_flight` turns counts towards the deadline. Made while a call is being served, it ends 20 ms
        before that call does, so that the caller hears the inner error rather than a deadline.
        """
        calls.count_call()
        budget = self._budget(self._deadline_seconds if deadline is None else deadline.total_seconds())
        end = time.monotonic() + budget
        if budget <= 0 or not self._turn.acquire(timeout=budget):
            raise Unavailable("TRANSPORT", "no time left to make the call")
        try:
            return method(request, timeout=max(end - time.monotonic(), 0.0), metadata=_metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except ValueError as error:  # what grpc raises on a closed channel
            raise Unavailable("TRANSPORT", "the client is closed") from error
        finally:
            self._turn.release()

    def close(self) -> None:
        """Ends the calls in flight as Unavailable."""
        self._channel.close()

    @staticmethod
    def _budget(seconds: float) -> float:
        inherited = calls.remaining_seconds()
        return seconds if inherited is None else min(seconds, inherited - _INHERITED_MARGIN_SECONDS)


def _target(address: str) -> str:
    """What grpc calls it: it takes several addresses only under the scheme of their version."""
    if "," not in address:
        return address
    return f"{'ipv6' if address.startswith('[') else 'ipv4'}:{address}"


def _metadata() -> tuple[tuple[str, str], ...]:
    request_id = calls.current_request_id()
    return () if request_id is None else ((calls.REQUEST_ID_KEY, request_id),)
