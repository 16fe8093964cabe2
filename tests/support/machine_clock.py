"""A machine's time of day, as Debian's libfaketime tells it to processes; their uptime is the real one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

_LIBRARIES = ("*/faketime/libfaketimeMT.so.1", "faketime/libfaketimeMT.so.1")


class MachineClock:
    """Right, until it is set. Processes that were started with `environ` are told what it shows within a second."""

    def __init__(self, folder: Path) -> None:
        """Skips the test where there is no libfaketime."""
        self._file = folder / "machine-clock"
        self._ahead = timedelta(0)
        self.environ = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(timedelta(0))

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def set(self, ahead: timedelta) -> None:
        """So far ahead of the right time."""
        self._ahead = ahead
        written = self._file.with_suffix(".new")
        written.write_text(f"{ahead.total_seconds():+f}\n", "ascii")
        written.replace(self._file)


def _library() -> Path:
    for library in (found for pattern in _LIBRARIES for found in Path("/usr/lib").glob(pattern)):
        return library
    pytest.skip("no libfaketime; Debian and Ubuntu have it in the package libfaketime")
