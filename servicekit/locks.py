"""A lock that is handed over in the order of asking."""

import threading
from collections import deque


class FairLock:
    """First come, first served: a loop that writes again and again cannot starve the calls that wait beside it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def acquire(self, timeout_seconds: float) -> bool:
        """True once the lock is held; False if that took too long. Not reentrant."""
        with self._mutex:
            if not self._held:
                self._held = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout_seconds):
            return True
        with self._mutex:
            if turn not in self._waiting:  # handed over just as the time ran out
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
