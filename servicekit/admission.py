"""Refuses calls beyond a limit, and says when to come again, rather than letting them queue until they time out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc

from servicekit.errors import Unavailable
from servicekit.pools import CountingPool, on_pool
from servicekit.rpc import refuse

_RETRY_OVERLOADED = timedelta(milliseconds=500)
_RETRY_SHUTTING_DOWN = timedelta(seconds=1)


class Admission(grpc.ServerInterceptor):
    """Lets a call in while fewer than `limit` are in progress in `pool`; else UNAVAILABLE, OVERLOADED, with RetryInfo.

    Health checks and reflection always pass. Runs on the one serving thread: it compares two numbers. Refusals are sent
    by a thread of their own, since the pool is busy.
    """

    def __init__(self, pool: CountingPool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._refusals = ThreadPoolExecutor(1, thread_name_prefix="refuse")
        self._handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            on_pool(self._refuse, self._refusals)
        )

    def intercept_service(self, continuation: Callable[[Any], Any], call: Any) -> Any:
        if self._pool.in_progress < self._limit or call.method.startswith("/grpc."):
            return continuation(call)
        return self._handler

    def shut(self) -> None:
        """From now on every call is refused: UNAVAILABLE, SHUTTING_DOWN, with RetryInfo."""
        self._limit = 0

    def close(self) -> None:
        self._refusals.shutdown(wait=False)

    def _refuse(self, _request: object, context: grpc.ServicerContext) -> None:
        refuse(context, overloaded(f"{self._limit} calls are in progress") if self._limit else shutting_down())


def overloaded(message: str, retry_after: timedelta = _RETRY_OVERLOADED) -> Unavailable:
    return Unavailable("OVERLOADED", message, retry_after=retry_after)


def shutting_down() -> Unavailable:
    return Unavailable("SHUTTING_DOWN", "the service is shutting down", retry_after=_RETRY_SHUTTING_DOWN)
