"""Behind PgBouncer in transaction mode: each transaction may find another connection to the server."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from log_service.commands.create_log_set import NewLogSet, create_log_set
from log_service.commands.create_log_topic import NewLogTopic, create_log_topic
from log_service.commands.write_log_entries import write_log_entries
from log_service.dependencies import Dependencies
from log_service.domain.logs import NewEntry, TopicKind
from log_service.domain.names import LogSetName, Place
from log_service.store import schema
from servicekit.database import Database, Limits
from servicekit.errors import DatabaseUnavailable
from servicekit.idempotency import Idempotency
from servicekit.migrations import upgrade
from tests.support import START, at_once, clocks, databases
from tests.support import pgbouncer as support

pytestmark = pytest.mark.engines("postgresql")
BACKUPS = LogSetName("acme", "cn-north-1", "backups")


@pytest.fixture(scope="module")
def bouncer() -> Iterator[Path]:
    with support.pgbouncer() as folder:
        yield folder


@pytest.fixture
def db(bouncer: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty database; PgBouncer lets go of it before it is dropped."""
    direct = databases.empty_url(tmp_path, "log_service")
    made = Database(support.url(bouncer, sa.make_url(direct).database or ""), Limits(connections=16))
    yield made
    made.dispose()


def test_migrations_run_and_are_found_to_have_run(db: Database) -> None:
    upgrade(db, "log_service", schema.HEAD)
    upgrade(db, "log_service", schema.HEAD)
    with db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.log_sets)) == 0


@pytest.mark.rule("L3")
def test_16_writers_over_3_connections_lose_and_double_nothing(db: Database) -> None:
    upgrade(db, "log_service", schema.HEAD)
    deps = Dependencies(db, clocks())
    create_log_set(deps, NewLogSet(Place("acme", "cn-north-1"), "backups", "Backups", 7), Idempotency("s", "r", "f"))
    create_log_topic(deps, NewLogTopic(BACKUPS, "t", "T", TopicKind("s", "p", "l")), Idempotency("", "", ""))

    def write(writer: int) -> None:
        for number in range(10):
            ids = [f"{writer}-{number}-{index}" for index in range(5)]
            write_log_entries(deps, [NewEntry(BACKUPS.topic("t"), id, START, 1, "", "", "", "", b"") for id in ids])

    assert at_once([partial(write, writer) for writer in range(16)]) == [None] * 16
    with db.read() as connection:
        sequences = connection.scalars(sa.select(schema.log_entries.c.sequence).order_by("sequence")).all()
    assert sequences == list(range(1, 16 * 10 * 5 + 1))


def test_timeouts_hold_in_each_transaction_and_in_no_other(bouncer: Path, db: Database) -> None:
    assert db._engine.writer.url.database is not None
    hasty = Database(support.url(bouncer, db._engine.writer.url.database), Limits(statement=databases.BRIEFLY))
    with pytest.raises(DatabaseUnavailable), hasty.write() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(10)")
    with db.write() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.2)")
    hasty.dispose()
