"""The two kinds of time, given to everything that needs to know what time it is.

Product time moves schedules, builds and retention; operating time moves leases, deadlines and backoff. They are never
mixed.
"""

import os
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells the time as an aware UTC datetime, truncated to microseconds."""

    def now(self) -> datetime: ...


class ClockFileError(Exception):
    """The clock file is missing or does not hold a time; the message names the file."""


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SteppedClock:
    """Reads the time from a file that one driver writes with `write_clock`; the time stands still between writes.

    The file is read anew at every call: a cache keyed by its inode and modification time could miss a step, since both
    repeat when steps follow each other within one tick of the file system. `now` raises ClockFileError.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def now(self) -> datetime:
        try:
            text = self.path.read_text("ascii").strip()
            moment = datetime.fromisoformat(text)
        except OSError as error:
            raise ClockFileError(f"clock file {self.path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ClockFileError(f"clock file {self.path} does not hold an RFC 3339 time") from error
        if moment.tzinfo is None:
            raise ClockFileError(f"clock file {self.path} holds a time without an offset from UTC")
        return moment.astimezone(UTC)


class ManualClock:
    """A clock for tests: moves only when told to. Safe to share between threads."""

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, by: timedelta) -> None:
        with self._lock:
            self._now += by

    def set(self, moment: datetime) -> None:
        with self._lock:
            self._now = moment.astimezone(UTC)


@dataclass(frozen=True)
class Clocks:
    """The two clocks of a service; see the module's text for which one to ask."""

    product: Clock
    operating: Clock


def product_clock(setting: str) -> Clock:
    """The clock that a setting names: `wall`, or the path of a clock file, which must tell a time already."""
    if setting == "wall":
        return WallClock()
    clock = SteppedClock(setting)
    clock.now()
    return clock


def write_clock(path: Path | str, moment: datetime) -> None:
    """Sets the time that every SteppedClock on `path` tells. A reader sees the old time or the new one, whole."""
    path = Path(path)
    text = moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
    Path(temporary).replace(path)
