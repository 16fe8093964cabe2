"""What the log service takes from the disk, and that it does so in pieces."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from log_service.commands import purge as command
from log_service.commands.purge import purge
from log_service.commands.write_log_entries import write_log_entries
from log_service.dependencies import Dependencies
from log_service.domain.logs import LogSet, LogTopic, NewEntry, TopicKind
from log_service.domain.names import LogSetName, LogTopicName
from log_service.store import log_sets, log_topics, schema
from servicekit.idempotency import Idempotency, remember
from tests.support import START, ManualClocks, clocks, database

WEEK = LogSetName("acme", "cn-north-1", "week")
MONTH = LogSetName("acme", "cn-north-1", "month")
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def time() -> ManualClocks:
    return clocks()


@pytest.fixture
def deps(tmp_path: Path, time: ManualClocks) -> Iterator[Dependencies]:
    """With a topic `t` in each of two log sets."""
    db = database(tmp_path, "log_service")
    with db.write() as connection:
        for name, days in ((WEEK, 7), (MONTH, 30)):
            log_sets.insert(connection, LogSet(name, name.log_set, days, START))
            log_topics.insert(connection, LogTopic(name.topic("t"), "t", TopicKind("s", "p", "l"), START))
    yield Dependencies(db, time)
    db.dispose()


def write(deps: Dependencies, topic: LogTopicName, count: int = 1, event_time: datetime = START) -> None:
    write_log_entries(
        deps, [NewEntry(topic, f"{event_time}-{n}", event_time, 1, "", "", "", "", b"") for n in range(count)]
    )


def left(deps: Dependencies) -> tuple[int, int]:
    """How many entries and topics are on the disk."""
    with deps.database.read() as connection:
        entries = connection.execute(sa.select(sa.func.count()).select_from(schema.log_entries)).scalar_one()
        topics = connection.execute(sa.select(sa.func.count()).select_from(schema.log_topics)).scalar_one()
    return entries, topics


def test_only_entries_past_the_retention_of_their_log_set_are_purged(deps: Dependencies, time: ManualClocks) -> None:
    write(deps, WEEK.topic("t"))
    write(deps, WEEK.topic("t"), event_time=START + MICROSECOND)
    write(deps, MONTH.topic("t"))
    time.product.set(START + timedelta(days=7))
    assert not purge(deps)
    assert left(deps) == (3, 2)
    time.product.advance(MICROSECOND)
    assert not purge(deps)
    assert left(deps) == (2, 2)
    time.product.set(START + timedelta(days=31))
    purge(deps)
    assert left(deps) == (0, 2)


def test_a_deleted_topic_goes_with_the_last_of_its_entries(deps: Dependencies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LIMIT", 2)
    write(deps, WEEK.topic("t"), count=5)
    write(deps, MONTH.topic("t"))
    with deps.database.write() as connection:
        log_topics.delete(connection, WEEK.topic("t"))
    assert left(deps) == (6, 2)
    progress = []
    while purge(deps):
        progress.append(left(deps))
    assert progress == [(4, 2), (2, 2)]
    assert left(deps) == (1, 1)


def test_expired_entries_are_purged_in_pieces(
    deps: Dependencies, time: ManualClocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LIMIT", 2)
    write(deps, WEEK.topic("t"), count=3)
    time.product.advance(timedelta(days=8))
    assert purge(deps)
    assert left(deps) == (1, 2)
    assert not purge(deps)
    assert left(deps) == (0, 2)


def test_remembered_requests_are_purged_after_24_hours(deps: Dependencies, time: ManualClocks) -> None:
    def remembered() -> int:
        with deps.database.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(schema.requests)).scalar_one()

    with deps.database.write() as connection:
        remember(connection, schema.requests, Idempotency("scope", "id", "print"), "answer", START)
    time.product.set(START + timedelta(hours=24) - MICROSECOND)
    purge(deps)
    assert remembered() == 1
    time.product.advance(MICROSECOND)
    purge(deps)
    assert remembered() == 0
