"""Refuses calls beyond a limit, and says when to come again, rather than letting them queue until they time out."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import grpc

from servicekit.errors import Unavailable
from servicekit.rpc import refuse

_RETRY_AFTER = timedelta(milliseconds=500)
P = ParamSpec("P")
T = TypeVar("T")


class CountingPool(ThreadPoolExecutor):
    """Knows how many calls it was given and has not finished: waiting ones too, and those whose caller went away."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="rpc")
        self._count_lock = threading.Lock()
        self.in_progress = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with self._count_lock:
            self.in_progress += 1
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._finished()
            raise
        future.add_done_callback(self._finished)
        return future

    def _finished(self, _future: object = None) -> None:
        with self._count_lock:
            self.in_progress -= 1


class Admission(grpc.ServerInterceptor):
    """Lets a call in while fewer than `limit` are in progress in `pool`; else UNAVAILABLE, OVERLOADED, with RetryInfo.

    Health checks and reflection always pass. Runs on the one serving thread: it compares two numbers. Refusals
    are sent by a thread of their own, since the pool is busy.
    """

    def __init__(self, pool: CountingPool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._refusals = ThreadPoolExecutor(1, thread_name_prefix="refuse")
        self._handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(self._refusal())

    def intercept_service(self, continuation: Callable[[Any], Any], call: Any) -> Any:
        if self._pool.in_progress < self._limit or call.method.startswith("/grpc."):
            return continuation(call)
        return self._handler

    def close(self) -> None:
        self._refusals.shutdown(wait=False)

    def _refusal(self) -> Callable[[Any, Any], Any]:
        message = f"{self._limit} calls are in progress"

        def overloaded(_request: object, context: grpc.ServicerContext) -> object:
            refuse(context, Unavailable("OVERLOADED", message, retry_after=_RETRY_AFTER))

        overloaded.experimental_thread_pool = self._refusals  # type: ignore[attr-defined]
        return overloaded
