"""What a call that is being served hands on to the calls made on its behalf."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_end: ContextVar[float | None] = ContextVar("end", default=None)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_made: ContextVar[int] = ContextVar("made", default=0)


@contextmanager
def serving(request_id: str, remaining_seconds: float | None) -> Iterator[None]:
    """Within the block, calls made carry this request id and end before this call's own deadline."""
    end = None if remaining_seconds is None else time.monotonic() + remaining_seconds
    end_token, id_token = _end.set(end), _request_id.set(request_id)
    try:
        yield
    finally:
        _end.reset(end_token)
        _request_id.reset(id_token)


def remaining_seconds() -> float | None:
    """How long the call being served may still take; None if nothing is being served, or without a deadline."""
    end = _end.get()
    return None if end is None else end - time.monotonic()


def count_call() -> None:
    """A call to another service begins, in this thread and for the call being served, if any is."""
    _made.set(_made.get() + 1)


def made() -> int:
    """How many calls were counted so far; to be compared with how many it were before."""
    return _made.get()


def current_request_id() -> str | None:
    return _request_id.get()


def request_id_of(metadata: object) -> str:
    """The caller's request id if it sent a sane one (1–128 letters, digits, dots, dashes), else a new one."""
    for key, value in metadata or ():  # type: ignore[attr-defined]
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4())
