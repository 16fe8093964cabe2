"""Databases of services, migrated as in production, on the engine that the test runs on.

A test that asks for `tmp_path` in one of the folders with a `conftest.py` that says so (see `on_both_engines`) runs
twice: on SQLite, and on a real PostgreSQL server.
"""

import contextlib
import functools
import importlib
import shutil
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from servicekit.database import Database, Limits
from servicekit.engines.sqlite import Sqlite
from servicekit.migrations import upgrade
from tests.support import postgresql

BRIEFLY = timedelta(milliseconds=50)
ENGINES = ("sqlite", "postgresql")
_in_use = "sqlite"
_made: dict[tuple[Path, str], str] = {}
"""The names of the databases on the server that the test has, by folder and service: as files are found in a folder."""
_free: defaultdict[str, list[str]] = defaultdict(list)
"""Databases on the server that are as new, by service: to empty one takes a tenth of the time that a copy takes."""


def on_both_engines(metafunc: pytest.Metafunc) -> None:
    """What a folder's `pytest_generate_tests` does: runs tests that may use a database once on each engine.

    Those marked `engines(…)`, on these only.
    """
    if "tmp_path" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        metafunc.parametrize("engine", marker.args if marker else ENGINES, indirect=True)


@contextlib.contextmanager
def using(engine: str) -> Iterator[None]:
    """Within the block, databases are made on this engine; those on the server are dropped at its end."""
    global _in_use  # noqa: PLW0603 - so that no helper between a test and its database has to hand it on
    before, _in_use = _in_use, engine
    try:
        yield
    finally:
        _in_use = before
        for folder, service in list(_made):
            _release(folder, service)


def database(folder: Path, service: str, limits: Limits = Limits()) -> Database:  # noqa: B008 - it is frozen
    """A new database of the service (its package's name) in the folder: migrated, and empty. The caller disposes of it.

    One that was there before is gone.
    """
    if _in_use == "sqlite":
        shutil.copyfile(_template_file(service), _file(folder, service))
    else:
        _release(folder, service)
        _made[folder, service] = _free[service].pop() if _free[service] else _copy(service)
    return reopened(folder, service, limits)


def reopened(folder: Path, service: str, limits: Limits = Limits()) -> Database:  # noqa: B008
    """The database that was made there before, once more, as another replica would; a new one if there is none."""
    if not (_file(folder, service).exists() or (folder, service) in _made):
        return database(folder, service, limits)
    opened = Database(url(folder, service), limits)
    if isinstance(opened._engine, Sqlite):
        # A process that dies here leaves the machine running: nothing needs to be synced to disk, and tests take half.
        sa.event.listen(opened._engine.reader.pool, "connect", _leave_unsynced)
    return opened


def url(folder: Path, service: str) -> str:
    """Of a database that was made there; for whoever opens it by itself."""
    if _in_use == "sqlite":
        return f"sqlite:///{_file(folder, service)}"
    return postgresql.server().url(_made[folder, service])


def _file(folder: Path, service: str) -> Path:
    return folder / f"{service}.db"


def empty_url(folder: Path, name: str) -> str:
    """Of a new database without tables, which on SQLite does not even exist."""
    if _in_use == "postgresql":
        _made[folder, name] = postgresql.create_database()
    return url(folder, name)


def migration_differences(folder: Path, service: str) -> list[Any]:
    """What the service's migrations make differently from its metadata. Fails unless they end at HEAD."""
    migrated = database(folder, service)
    try:
        with migrated.read() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            schema = _schema(service)
            assert context.get_current_revision() == schema.HEAD
            return list(compare_metadata(context, schema.metadata))
    finally:
        migrated.dispose()


def _leave_unsynced(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


@functools.cache
def _template_file(service: str) -> Path:
    """Migrated once per process: migrations take longer than most tests."""
    path = Path(_folder().name) / f"{service}.db"
    _migrate(f"sqlite:///{path}", service)
    with closing(sqlite3.connect(path)) as connection:  # all into the one file that is copied
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def _copy(service: str) -> str:
    return postgresql.create_database(_template_database(service))


@functools.cache
def _template_database(service: str) -> str:
    name = postgresql.create_database()
    _migrate(postgresql.server().url(name), service)
    postgresql.server().execute(_KEEP, name)
    return name


def _release(folder: Path, service: str) -> None:
    """The next test gets the database as new; unless the test changed its tables, or it never was a service's."""
    name = _made.pop((folder, service), None)
    if name is None:
        return
    try:
        postgresql.server().execute(_RENEW, name)
        _free[service].append(name)
    except psycopg.Error:
        postgresql.drop_database(name)


# What the migrations wrote is kept beside the tables; triggers and foreign keys do not matter while it is put back.
_KEEP = """
DO $$ DECLARE name text; BEGIN
    CREATE SCHEMA kept;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE kept.%1$I AS TABLE public.%1$I', name);
    END LOOP;
END $$
"""
_RENEW = """
DO $$ DECLARE name text; BEGIN
    PERFORM FROM kept.alembic_version;  -- fails unless it was a copy of a service's template
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept'
        UNION SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('DELETE FROM public.%I', name);
        EXECUTE format('INSERT INTO public.%1$I SELECT * FROM kept.%1$I', name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        PERFORM setval(format('public.%I', name), 1, false);
    END LOOP;
END $$
"""


def _migrate(url: str, service: str) -> None:
    migrated = Database(url)
    upgrade(migrated, service, _schema(service).HEAD)
    migrated.dispose()


@functools.cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="template-databases-")


def _schema(service: str) -> Any:
    return importlib.import_module(f"{service}.store.schema")
