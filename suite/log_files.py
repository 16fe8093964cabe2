"""Keeps the services' logs from filling the disk."""

import shutil
from pathlib import Path

LIMIT_BYTES = 16 * 1024 * 1024


def bound(log: Path, limit: int = LIMIT_BYTES) -> None:
    """A log of more than `limit` bytes becomes `….log.1`, in place of the one before, and begins anew.

    The service keeps its open file and goes on at the new end, since it appends. What it writes in the moment between
    the last byte copied and the emptying is lost: a few lines of many thousands, once in a while.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return
    with log.open("r+b") as full, log.with_name(f"{log.name}.1").open("wb") as older:
        shutil.copyfileobj(full, older)
        full.truncate(0)
