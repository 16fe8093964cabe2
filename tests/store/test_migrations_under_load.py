"""A release that only adds to the schema, while replicas of the one before go on writing."""

import importlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa

from log_service.commands.write_log_entries import write_log_entries
from log_service.dependencies import Dependencies
from log_service.domain.logs import LogSet, LogTopic, NewEntry, TopicKind
from log_service.domain.names import LogSetName
from log_service.store import log_sets, log_topics, schema
from servicekit.database import Database
from servicekit.migrations import DatabaseTooNew, upgrade
from tests.support import START, clocks, database, reopened
from tests.support.postgresql import wait_until

NEXT = "9999"
TOPIC = LogSetName("acme", "cn-north-1", "backups").topic("executions")
WRITERS = 4


@contextmanager
def _closing(database: Database) -> Iterator[Database]:
    yield database
    database.dispose()


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with the log service's migrations and one more."""
    package = tmp_path / "next_log_service"
    made_from = Path(next(iter(importlib.import_module("log_service").__path__)))
    shutil.copytree(made_from / "store" / "migrations", package / "store" / "migrations")
    (package / "__init__.py").write_text("")
    (package / "store" / "migrations" / "versions" / f"{NEXT}_more.py").write_text(
        textwrap.dedent(f"""
            import sqlalchemy as sa
            from alembic import op

            revision = "{NEXT}"
            down_revision = "{schema.HEAD}"

            def upgrade() -> None:
                # Topics first, as whoever writes entries locks them first; the other way round would be a deadlock.
                op.add_column("log_topics", sa.Column("size", sa.BigInteger, nullable=False, server_default="0"))
                op.add_column("log_entries", sa.Column("color", sa.Text))
                op.create_index("ix_log_entries_color", "log_entries", ["topic_key", "color"])
                op.create_table("colors", sa.Column("name", sa.Text, primary_key=True))
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package.name
    sys.modules.pop(package.name, None)


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """Of the release before, and of the next one."""
    with _closing(database(tmp_path, "log_service")) as old, _closing(reopened(tmp_path, "log_service")) as new:
        with old.write() as connection:
            log_sets.insert(connection, LogSet(TOPIC.parent, "Backups", 7, START))
            log_topics.insert(connection, LogTopic(TOPIC, "Executions", TopicKind("s", "p", "l"), START))
        yield old, new


def test_the_release_before_goes_on_while_the_next_one_migrates(
    replicas: tuple[Database, Database], next_release: str
) -> None:
    old, new = replicas
    deps = Dependencies(old, clocks())
    written = [0] * WRITERS
    over = Event()

    def write(writer: int) -> None:
        for number in count():
            if over.is_set():
                return
            write_log_entries(deps, [NewEntry(TOPIC, f"{writer}-{number}", START, 1, "", "", "", "", b"")])
            written[writer] += 1

    def each_wrote_more() -> Callable[[], bool]:
        before = list(written)
        return lambda: any(each.done() for each in writing) or all(map(int.__gt__, written, before))

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, writer) for writer in range(WRITERS)]
        try:
            wait_until(each_wrote_more())
            upgrade(new, next_release, NEXT)
            wait_until(each_wrote_more())
        finally:
            over.set()
        for each in writing:
            each.result()
    with new.read() as connection:
        found = connection.exec_driver_sql("SELECT sequence, color FROM log_entries ORDER BY sequence").all()
    assert [tuple(row) for row in found] == [(number, None) for number in range(1, sum(written) + 1)]


def test_a_replica_of_the_release_before_that_starts_afterwards_is_refused(
    replicas: tuple[Database, Database], next_release: str
) -> None:
    old, new = replicas
    upgrade(new, next_release, NEXT)
    with pytest.raises(DatabaseTooNew):
        upgrade(old, "log_service", schema.HEAD)
    with new.read() as connection:
        assert sa.inspect(connection).has_table("colors")
