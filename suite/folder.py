"""The data folder of a suite: databases, logs, and a lock, since two suites on one database would harm each other."""

import fcntl
import os
import time
from pathlib import Path

_PATIENCE_SECONDS = 15.0


class FolderInUse(Exception):
    """Another suite runs on the folder; the text names it."""


class FolderUnusable(Exception):
    """The folder can't be made or written."""


class DataFolder:
    """A locked data folder. Services inherit the lock, so that it lasts until the last of them has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.clock = self.path / "clock"
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise FolderUnusable(f"data folder {self.path} cannot be used: {error.strerror}") from error
        self._acquire()

    def database_url(self, service: str) -> str:
        return f"sqlite:///{self.path / service}.db"

    def close(self) -> None:
        os.close(self.lock)

    def _acquire(self) -> None:
        """Services of a suite that was killed are on their way out: waits for them, but not for a suite that lives."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self._try():
            holder = int(os.pread(self.lock, 20, 0) or b"0")
            if _lives(holder) or time.monotonic() > end:
                os.close(self.lock)
                raise FolderInUse(
                    f"data folder {self.path} is in use by another suite (process {holder}); "
                    "stop that one, or choose another folder with --data"
                )
            time.sleep(0.1)
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, str(os.getpid()).encode(), 0)

    def _try(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
