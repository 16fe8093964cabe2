"""`autoimage backup` and `autoimage restore`: copies of the SQLite databases of a suite's data folder."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from suite.errors import SuiteError
from suite.folder import DataFolder

# Causes before effects: what an earlier copy asks for a second time, a later one knows to be done already. The other
# way round, a trigger that was acknowledged could have no execution anywhere.
_ORDER = ("policy_service", "scheduler_service", "compute_sim", "log_service")
_SIDE_FILES = ("-wal", "-shm")


def back_up(folder: DataFolder, target: Path) -> list[Path]:
    """Copies each database as it is at one moment, the suite running or not; the copies. `target` is made, or empty.

    Raises SuiteError, and leaves no `target` that looks whole, when a database is missing or can't be copied.
    """
    sources = [_existing(folder.path / f"{service}.db") for service in _ORDER]
    target = target.absolute()
    with _told(f"cannot back up to {target}"):
        if target.exists() and any(target.iterdir()):
            raise SuiteError(f"{target} is there already, and not empty")
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for source in sources:
            _copy(source, partial / source.name)
        if target.exists():
            target.rmdir()
        partial.rename(target)
        _sync(target.parent)
    return [target / source.name for source in sources]


def restore(folder: DataFolder, source: Path, services: tuple[str, ...] = _ORDER) -> list[Path]:
    """Puts copies in the place of the databases of a suite that does not run; those that were put back.

    Raises SuiteError, and has changed nothing, if a suite runs on the folder, or a copy is missing or broken.
    """
    copies = [_existing(source / f"{service}.db") for service in services]
    for copy in copies:
        _check(copy)
    with folder.locked(), _told(f"cannot restore to {folder.path}"):
        arrived = [folder.path / f"{copy.name}.restored" for copy in copies]
        for copy, place in zip(copies, arrived, strict=True):
            _copy(copy, place)
        for place in arrived:
            database = place.with_suffix("")
            for (
                suffix
            ) in _SIDE_FILES:  # they belong to the database that goes; the next one would take them for its own
                database.with_name(database.name + suffix).unlink(missing_ok=True)
            place.replace(database)
        _sync(folder.path)
    return [place.with_suffix("") for place in arrived]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise SuiteError(f"{path} does not exist")
    return path


def _copy(source: Path, target: Path) -> None:
    """By SQLite itself, so that a database in use is copied whole; on disk when it returns."""
    target.unlink(missing_ok=True)
    with closing(_open(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)
        written.execute("PRAGMA journal_mode=DELETE")
    _sync(target)


def _open(source: Path) -> sqlite3.Connection:
    """To read only."""
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)


def _check(copy: Path) -> None:
    with _told(f"{copy} is broken"), closing(_open(copy)) as read:
        (found,) = read.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise SuiteError(f"{copy} is broken: {found}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise SuiteError(f"{what}: {error}") from error
