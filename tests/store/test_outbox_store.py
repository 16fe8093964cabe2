"""The scheduler's outbox: log entries wait in it for their delivery."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import Missed
from scheduler_service.domain.tasks import LeftOut
from scheduler_service.store import outbox
from servicekit.database import Database
from tests.support import START, database
from tests.support.scheduler_values import IMAGE, an_entry, instance_name

SECOND = timedelta(seconds=1)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = database(tmp_path, "scheduler_service")
    yield made
    made.dispose()


def test_entries_wait_in_order_and_come_back_as_they_were_put_in(db: Database) -> None:
    plain = an_entry("1")
    full = an_entry(
        "2",
        start_time=START + SECOND,
        end_time=START + 2 * SECOND,
        instance_count=7,
        task_state="FAILED",
        reason="SNAPSHOT_FAILED",
        instance=instance_name("i-1"),
        image=IMAGE,
        included=("vda",),
        left_out=(LeftOut("vdb", "LOCAL_DISK"),),
        missed=Missed(START - SECOND, START, 2, "POLICY_DISABLED"),
    )
    with db.write() as connection:
        outbox.add(connection, [plain, full])
        outbox.add(connection, [an_entry("3")])
    with db.read() as connection:
        assert [waiting.entry for waiting in outbox.oldest(connection, 2)] == [plain, full]
        assert outbox.count(connection) == 3


def test_entries_without_a_topic_are_not_put_up(db: Database) -> None:
    with db.write() as connection:
        outbox.add(connection, [an_entry(log_topic="")])
        assert outbox.count(connection) == 0


def test_what_is_removed_is_counted_once(db: Database) -> None:
    with db.write() as connection:
        outbox.add(connection, [an_entry("1"), an_entry("2"), an_entry("3")])
    with db.read() as connection:
        ids = [waiting.id for waiting in outbox.oldest(connection, 2)]
    for expected in (2, 0):
        with db.write() as connection:
            assert outbox.remove(connection, ids) == expected
            outbox.count_dropped(connection, expected)
    with db.write() as connection:
        assert outbox.remove(connection, []) == 0
        assert [waiting.entry.insert_id for waiting in outbox.oldest(connection, 10)] == ["3"]
        assert outbox.dropped(connection) == 2


@pytest.mark.rule("L3")
def test_a_number_in_the_outbox_is_never_given_again(db: Database) -> None:
    """Who delivered the old entry at the same time as another replica would remove the new one undelivered."""
    with db.write() as connection:
        outbox.add(connection, [an_entry("1")])
    with db.write() as connection:
        (old,) = outbox.oldest(connection, 10)
        outbox.remove(connection, [old.id])
    with db.write() as connection:
        outbox.add(connection, [an_entry("2")])
        outbox.remove(connection, [old.id])
        assert [waiting.entry.insert_id for waiting in outbox.oldest(connection, 10)] == ["2"]
