"""A made-up service with two migrations, upgraded from each state that a database can be in."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from servicekit.database import Database
from servicekit.errors import DatabaseUnavailable
from servicekit.migrations import DatabaseTooNew, upgrade
from tests.support import databases

_ENV = """
from servicekit.migrations import run_environment
import sqlalchemy as sa
run_environment(sa.MetaData())
"""
_VERSIONS = {
    "0001": """
        from alembic import op
        import sqlalchemy as sa
        revision = "0001"
        down_revision = None
        def upgrade() -> None:
            op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
    """,
    "0002": """
        from alembic import op
        import sqlalchemy as sa
        revision = "0002"
        down_revision = "0001"
        def upgrade() -> None:
            op.add_column("notes", sa.Column("author", sa.Text))
    """,
    "0003": """
        from alembic import op
        import sqlalchemy as sa
        revision = "0003"
        down_revision = "0002"
        def upgrade() -> None:
            op.drop_table("notes")
            raise RuntimeError("half way")
    """,
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The migrations folder of a package `notes_service`, in a path with a character that configuration files eat."""
    folder = tmp_path / "50%"
    migrations = folder / "notes_service" / "store" / "migrations"
    (migrations / "versions").mkdir(parents=True)
    (folder / "notes_service" / "__init__.py").write_text("")
    (migrations / "env.py").write_text(_ENV)
    _write_versions(migrations, "0001", "0002")
    monkeypatch.syspath_prepend(str(folder))
    yield migrations
    sys.modules.pop("notes_service", None)


def _write_versions(migrations: Path, *versions: str) -> None:
    for version in versions:
        (migrations / "versions" / f"{version}_step.py").write_text(textwrap.dedent(_VERSIONS[version]))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(databases.empty_url(tmp_path, "notes"))
    yield made
    made.dispose()


def _state(db: Database) -> tuple[str | None, list[str]]:
    with db.read() as connection:
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        inspector = sa.inspect(connection)
        columns = inspector.get_columns("notes") if inspector.has_table("notes") else []
        return version, [column["name"] for column in columns]


def test_a_new_database_gets_every_migration(package: Path, db: Database) -> None:
    upgrade(db, "notes_service", "0002")
    assert _state(db) == ("0002", ["id", "text", "author"])


def test_an_older_database_gets_what_it_lacks_and_keeps_what_it_has(package: Path, db: Database) -> None:
    upgrade(db, "notes_service", "0001")
    with db.write() as connection:
        connection.exec_driver_sql("INSERT INTO notes (text) VALUES ('kept')")
    upgrade(db, "notes_service", "0002")
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT text, author FROM notes").all() == [("kept", None)]


def test_a_database_from_a_newer_version_is_refused_and_left_alone(package: Path, db: Database) -> None:
    upgrade(db, "notes_service", "0002")
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(DatabaseTooNew, match="its schema is 0009, this version knows up to 0002"):
        upgrade(db, "notes_service", "0002")
    assert _state(db) == ("0009", ["id", "text", "author"])


def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(package: Path, db: Database) -> None:
    upgrade(db, "notes_service", "0002")
    _write_versions(package, "0003")
    with pytest.raises(RuntimeError, match="half way"):
        upgrade(db, "notes_service", "0003")
    assert _state(db) == ("0002", ["id", "text", "author"])


def test_replicas_that_start_at_once_all_succeed(package: Path, db: Database, tmp_path: Path) -> None:
    replicas = [Database(databases.url(tmp_path, "notes")) for _ in range(3)]

    def start(replica: Database) -> None:
        upgrade(replica, "notes_service", "0002")
        replica.dispose()

    with ThreadPoolExecutor(1) as pool:  # Alembic is not for threads; the processes below race for real
        list(pool.map(start, replicas))
    script = (
        "from servicekit.database import Database; from servicekit.migrations import upgrade; "
        f"upgrade(Database('{databases.empty_url(tmp_path, 'other')}'), 'notes_service', '0002')"
    )
    path = f"{package.parents[2]}:{Path.cwd()}"
    racing = [
        subprocess.Popen([sys.executable, "-c", script], env={"PYTHONPATH": path}, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(process.communicate()[1], process.returncode) for process in racing] == [(b"", 0)] * 3


def test_a_schema_that_is_current_needs_no_alembic(package: Path, db: Database, tmp_path: Path) -> None:
    upgrade(db, "notes_service", "0002")
    script = (
        "import sys; from servicekit.database import Database; from servicekit.migrations import upgrade; "
        f"upgrade(Database('{databases.url(tmp_path, 'notes')}'), 'notes_service', '0002'); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.engines("sqlite")
def test_a_database_that_cannot_be_opened_is_told(package: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.db").write_text("Dear Emma, " * 500)
    with pytest.raises(DatabaseUnavailable):
        upgrade(Database(f"sqlite:///{tmp_path}/letter.db"), "notes_service", "0002")
