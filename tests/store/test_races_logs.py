"""Two log services over one database, stepped by hand."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from autoimage.log.v1.log_service_pb2 import CreateLogSetRequest
from log_service.commands.create_log_set import NewLogSet, create_log_set
from log_service.commands.create_log_topic import NewLogTopic, create_log_topic
from log_service.commands.delete_log_set import delete_log_set
from log_service.commands.write_log_entries import write_log_entries
from log_service.domain.errors import LogSetNotEmpty, LogSetNotFound
from log_service.domain.logs import LogSet, LogTopic, NewEntry, NumberedEntry, TopicKind
from log_service.domain.names import LogSetName, Place
from log_service.store import log_entries, log_sets, log_topics, schema
from servicekit.idempotency import Idempotency, remember, remembered
from tests.support import START, at_once
from tests.support.log_service import PLACE, LogService, log_set, running_log_service
from tests.support.races import overtaken

pytestmark = pytest.mark.engines("postgresql")
BACKUPS = LogSetName("acme", "cn-north-1", "backups")
TOPIC = BACKUPS.topic("executions")
KIND = TopicKind("s", "p", "l")
ASKED = Idempotency(PLACE, "b2d7fb0a-b0a4-4d46-9a4e-8a7f3c8f1c11", "same")


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[LogService]:
    with running_log_service(tmp_path) as service:
        yield service


def an_entry(insert_id: str) -> NewEntry:
    return NewEntry(TOPIC, insert_id, START, 1, "", "", "", "", b"")


@pytest.mark.rule("L3")
def test_two_writers_to_a_topic_number_their_entries_in_the_order_of_their_commits(logs: LogService) -> None:
    """A tail that has seen the second writer's entry has seen the first one's: neither takes a number early."""
    logs.create_log_set()
    logs.create_topic()

    def write(connection: sa.Connection) -> None:
        state = log_topics.locked(connection, [TOPIC])[TOPIC]
        numbered = NumberedEntry(state.key, state.last_sequence + 1, an_entry("first"))
        log_entries.insert(connection, [numbered], START)
        log_topics.set_last_sequences(connection, {state.key: state.last_sequence + 1})
        assert logs.entries() == []

    second = [an_entry("first"), an_entry("second")]
    overtaken(logs.deps.database, write, lambda: write_log_entries(logs.deps, second))
    with logs.deps.database.read() as connection:
        rows = connection.execute(
            sa.select(schema.log_entries.c.sequence, schema.log_entries.c.insert_id).order_by("sequence")
        ).all()
    assert [tuple(row) for row in rows] == [(1, "first"), (2, "second")]


@pytest.mark.rule("L1")
def test_a_topic_for_a_log_set_that_is_just_being_deleted_finds_none(logs: LogService) -> None:
    logs.create_log_set()
    new = NewLogTopic(BACKUPS, "executions", "Executions", KIND)

    def create() -> str:
        with pytest.raises(LogSetNotFound) as caught:
            create_log_topic(logs.deps, new, Idempotency("", "", ""))
        return caught.value.reason

    overtaken(logs.deps.database, lambda connection: log_sets.delete(connection, BACKUPS), create)


@pytest.mark.rule("L1")
def test_a_log_set_that_just_gets_a_topic_is_not_deleted(logs: LogService) -> None:
    logs.create_log_set()

    def delete() -> None:
        with pytest.raises(LogSetNotEmpty):
            delete_log_set(logs.deps, BACKUPS)

    made = LogTopic(TOPIC, "Executions", KIND, START)
    overtaken(logs.deps.database, lambda connection: log_topics.insert(connection, made), delete)
    with logs.deps.database.read() as connection:
        assert log_topics.get(connection, TOPIC) == made


def test_a_request_that_comes_again_while_it_is_served_waits_for_its_answer(logs: LogService) -> None:
    made = LogSet(BACKUPS, "Backups", 7, START)

    def create(connection: sa.Connection) -> None:
        assert remembered(connection, schema.requests, ASKED, START) is None
        log_sets.insert(connection, made)
        remember(connection, schema.requests, ASKED, BACKUPS.log_set, START)

    new = NewLogSet(Place("acme", "cn-north-1"), "backups", "Backups", 7)
    _, answer = overtaken(logs.deps.database, create, lambda: create_log_set(logs.deps, new, ASKED))
    assert answer == made


def test_a_request_that_is_asked_16_times_at_once_makes_one_log_set(logs: LogService) -> None:
    request = CreateLogSetRequest(parent=PLACE, log_set=log_set(), request_id=ASKED.request_id)
    made = at_once([partial(logs.stub.CreateLogSet, request)] * 16)
    assert len({getattr(each, "name", repr(each)) for each in made}) == 1
