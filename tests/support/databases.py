"""Databases of services, migrated as in production."""

import functools
import importlib
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from servicekit.database import Database
from servicekit.migrations import upgrade


def database(folder: Path, service: str) -> Database:
    """An empty, migrated database of the service (its package's name) in the folder. The caller disposes of it."""
    path = folder / f"{service}.db"
    shutil.copyfile(_template(service), path)
    return Database(f"sqlite:///{path}")


def migration_differences(service: str) -> list[Any]:
    """What the service's migrations make differently from its metadata. Fails unless they end at HEAD."""
    with tempfile.TemporaryDirectory() as folder:
        migrated = database(Path(folder), service)
        try:
            with migrated.read() as connection:
                context = MigrationContext.configure(connection, opts={"compare_type": True})
                schema = _schema(service)
                assert context.get_current_revision() == schema.HEAD
                return list(compare_metadata(context, schema.metadata))
        finally:
            migrated.dispose()


@functools.cache
def _template(service: str) -> Path:
    """Migrated once per process: migrations take longer than most tests."""
    path = Path(_folder().name) / f"{service}.db"
    migrated = Database(f"sqlite:///{path}")
    upgrade(migrated, service, _schema(service).HEAD)
    migrated.dispose()
    with closing(sqlite3.connect(path)) as connection:  # all into the one file that is copied
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@functools.cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="template-databases-")


def _schema(service: str) -> Any:
    return importlib.import_module(f"{service}.store.schema")
