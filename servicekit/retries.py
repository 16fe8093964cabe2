"""Begins transactions anew that the database broke off because of others."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from servicekit import calls
from servicekit.errors import TransactionConflict

T = TypeVar("T")
_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.02


def retried(
    work: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep, draw: Callable[[], float] = random.random
) -> T:
    """What `work` returns, which is run anew, up to three times, when it raises TransactionConflict.

    It is one transaction or several, of which those before the last can be repeated without harm. If it called another
    service, it is not run anew: the conflict is the caller's, who knows what can be repeated. Pauses of up to 20, 40
    and 80 ms in between, drawn, so that those who were in each other's way do not meet again.
    """
    for attempt in range(_ATTEMPTS - 1):
        before = calls.made()
        try:
            return work()
        except TransactionConflict:
            if calls.made() != before:
                raise
            sleep(_FIRST_PAUSE_SECONDS * 2**attempt * draw())
    return work()
