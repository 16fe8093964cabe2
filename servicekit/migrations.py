"""Brings a service's database to the schema of its code, on start-up."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from servicekit.database import Database
from servicekit.retries import retried

if TYPE_CHECKING:  # imported late below: Alembic costs 0.3 s, and a schema that is current does not need it
    from alembic.config import Config


class DatabaseTooNew(Exception):
    """The database was written by a newer version of the service; this one must not touch it."""

    def __init__(self, found: str, head: str) -> None:
        super().__init__(
            f"the database is from a newer version: its schema is {found}, this version knows up to {head}; "
            "install the newer version, or restore a database of this one"
        )


def upgrade(database: Database, package: str, head: str) -> None:
    """Applies what `package`.store.migrations has and the database lacks, in one transaction.

    Safe when replicas start at once; does little when the schema is `head` already. Raises DatabaseTooNew,
    or DatabaseUnavailable.
    """
    with database.read() as connection:
        if _version(connection) == head:
            return
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = _config(package)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}

    def apply() -> None:
        with database.migrate() as connection:
            found = _version(connection)  # again: another replica may have been faster
            if found is not None and found not in known:
                raise DatabaseTooNew(found, head)
            if found != head:
                config.attributes["connection"] = connection
                command.upgrade(config, head)

    retried(apply)


def run_environment(metadata: sa.MetaData) -> None:
    """All that a service's store/migrations/env.py does."""
    from alembic import context  # noqa: PLC0415

    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def _version(connection: sa.Connection) -> str | None:
    """The schema of the database, None if it has none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


def _config(package: str) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    spec = find_spec(package)
    assert spec is not None, f"no package {package}"
    assert spec.submodule_search_locations, f"{package} is no package"
    config = Config()
    folder = Path(spec.submodule_search_locations[0]) / "store" / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
