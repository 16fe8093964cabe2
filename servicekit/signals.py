"""Being asked to stop, by SIGTERM or SIGINT."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ASKING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """Within the block the event tells that a signal asked to stop; after that, a SIGINT ends the process at once.

    The main thread only. A thread hears of the signals through a pipe that the interpreter itself writes to. A handler
    would run between two steps of the main thread: never, if that one is just about to wait; and if it is just inside
    the event, holding its lock, setting the event there would wait for ever.
    """
    stop = threading.Event()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    threading.Thread(target=_listen, args=(read_end, stop), name="signals", daemon=True).start()
    wakeup = signal.set_wakeup_fd(write_end)
    before = {number: signal.signal(number, _leave_to_the_thread) for number in _ASKING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(write_end)


def _listen(read_end: int, stop: threading.Event) -> None:
    """Until the other end is closed. The pipe carries the number of each signal."""
    with open(read_end, "rb", buffering=0) as pipe:
        while heard := pipe.read(1):
            if heard[0] == signal.SIGINT and stop.is_set():
                os._exit(130)
            if heard[0] in _ASKING:
                stop.set()


def _leave_to_the_thread(_number: int, _frame: object) -> None:
    """There must be a handler, or the interpreter would not hear of the signal."""
