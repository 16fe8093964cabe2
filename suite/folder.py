"""The data folder: what a suite keeps, and the lock that keeps a second suite out of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from servicekit.clock import WallClock, write_clock
from suite.errors import SuiteError

WALL, STEPPED = "wall", "stepped"


class DataFolder:
    """Databases, `logs/`, the file `lock`, and, where product time is stepped, the file `clock`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.clock_file = self.path / "clock"

    def choose_clock(self, kind: str) -> str:
        """The setting of the services' product clock. Stepped time begins now, or goes on where it was.

        A folder stays with its kind of clock: product time that jumps would miss executions, or repeat their times.
        """
        if kind == STEPPED:
            if not self.clock_file.exists():
                write_clock(self.clock_file, WallClock().now())
            return str(self.clock_file)
        if self.clock_file.exists():
            raise SuiteError(f"{self.path} was used with stepped product time: go on with --clock {STEPPED}")
        return WALL

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder, and keeps other suites out of it. Raises SuiteError if one is in it already."""
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+", encoding="ascii")
        except OSError as error:
            raise SuiteError(f"data folder {self.path} cannot be used: {error.strerror}") from error
        with lock:
            self._lock(lock)
            yield

    def _lock(self, lock: TextIO) -> None:
        """Held until the file is closed; its content tells by whom."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip()
            raise SuiteError(f"data folder {self.path} is in use by another suite, process {owner}") from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
