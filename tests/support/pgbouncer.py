"""Debian's PgBouncer in transaction mode, before the server of `tests.support.postgresql`."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support import as_nobody, postgresql

_SERVER_CONNECTIONS = 3
"""Fewer than clients: so that consecutive transactions of one client find different connections."""


@contextmanager
def pgbouncer() -> Iterator[Path]:
    """The folder of its socket.

    Skips the test where there is no PgBouncer; fails it there if AUTOIMAGE_REQUIRE_PGBOUNCER is set.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        if os.environ.get("AUTOIMAGE_REQUIRE_PGBOUNCER"):
            pytest.fail("AUTOIMAGE_REQUIRE_PGBOUNCER is set, and there is no pgbouncer")
        pytest.skip("no pgbouncer; Debian and Ubuntu have it in the package pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    _write_configuration(folder)
    if os.geteuid() == 0:
        os.chown(folder, as_nobody.NOBODY, as_nobody.NOBODY)
    with (folder / "log").open("ab") as log:
        process = postgresql.spawn_as_nobody(Path(program), str(folder / "pgbouncer.ini"), log=log.fileno())
    try:
        postgresql.wait_until(lambda: process.poll() is not None or _answers(folder))
        assert process.poll() is None, (folder / "log").read_text()
        yield folder
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(folder)


def url(folder: Path, database: str) -> str:
    """Of a database on the server, through PgBouncer."""
    return f"postgresql://postgres@/{database}?host={folder}"


def _write_configuration(folder: Path) -> None:
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
[databases]
* = host={postgresql.server().folder} user=postgres
[pgbouncer]
listen_port = 5432
listen_addr =
unix_socket_dir = {folder}
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {_SERVER_CONNECTIONS}
"""
    )


def _answers(folder: Path) -> bool:
    try:
        psycopg.connect(url(folder, "postgres"), prepare_threshold=None).close()
    except psycopg.OperationalError:
        return False
    return True
