"""The threads that serve calls."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

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
        except RuntimeError:  # the pool is shut down
            self._finished()
            raise
        future.add_done_callback(self._finished)
        return future

    def _finished(self, _future: object = None) -> None:
        with self._count_lock:
            self.in_progress -= 1


def serve_apart(servicer: object, methods: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
    """Lets `pool` serve these methods of the servicer, so that they neither wait for other calls nor hold them up.

    Wraps the methods of this one object: grpc finds the pool as an attribute of the function, which on the class would
    be shared by every server of the process.
    """
    for name in methods:
        setattr(servicer, name, on_pool(getattr(servicer, name), pool))


def on_pool(behavior: Callable[..., Any], pool: ThreadPoolExecutor) -> Callable[..., Any]:
    """The behavior, to be served by `pool` when it is given to grpc."""

    @functools.wraps(behavior)
    def served(*args: Any, **kwargs: Any) -> Any:
        return behavior(*args, **kwargs)

    served.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return served
