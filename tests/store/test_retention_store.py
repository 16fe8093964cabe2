"""The SQL of retention: claims and fences of series, and the images in its care."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.exc import IntegrityError

from scheduler_service.commands.record_looks import Look, intend_to_delete, record_looks
from scheduler_service.domain.executions import Execution
from scheduler_service.domain.retention import KEEP_FOREVER, KeptImage, Retention, Series, rested
from scheduler_service.domain.tasks import Phase, Task, TaskState
from scheduler_service.store import executions, kept_images, series, tasks
from scheduler_service.store.schema import image_series
from servicekit.database import Database
from tests.support import START, database
from tests.support.scheduler_values import (
    IMAGE,
    PLACE,
    a_kept_image,
    a_series,
    a_task,
    an_execution,
    instance_name,
    uid,
)

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
LEASE = timedelta(seconds=30)
LEASE_END = START + LEASE


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = database(tmp_path, "scheduler_service")
    yield made
    made.dispose()


def store(db: Database, one: Series, *images: KeptImage) -> None:
    with db.write() as connection:
        series.ask(connection, [one])
        kept_images.add(connection, images)


def some_images(number: int, of: Series | None = None) -> list[KeptImage]:
    """One a second, oldest first."""
    return [a_kept_image(f"img-{index:04}", START + index * SECOND, of) for index in range(number)]


def claim(
    db: Database,
    *,
    product: datetime = START,
    operating: datetime = START,
    lease_end: datetime = LEASE_END,
    limit: int = 100,
) -> list[Series]:
    with db.write() as connection:
        return series.claim(connection, product=product, operating=operating, lease_end=lease_end, limit=limit)


def finish(db: Database, *looks: Look) -> list[Look]:
    with db.write() as connection:
        return record_looks(connection, looks, START)


def kept(db: Database, of: Series | None = None) -> list[KeptImage]:
    with db.read() as connection:
        return kept_images.newest(connection, (of or a_series()).key, before=None, limit=10_000)


# Claims


def test_two_claimants_get_disjoint_series_the_longest_due_first(db: Database) -> None:
    for number in range(5):
        store(db, a_series(f"i-{number}", due_product=START - number * SECOND))
    first, second, third = claim(db, limit=3), claim(db, limit=3), claim(db, limit=3)
    assert [one.instance for one in first] == [instance_name(f"i-{number}") for number in (4, 3, 2)]
    assert {one.instance for one in second} == {instance_name("i-0"), instance_name("i-1")}
    assert third == []


def test_a_claim_gives_the_series_a_new_fence_and_holds_it_until_the_lease_ends(db: Database) -> None:
    store(db, a_series())
    assert claim(db) == [a_series(fence=1, due_operating=LEASE_END)]
    assert claim(db, operating=LEASE_END - timedelta(microseconds=1)) == []
    (again,) = claim(db, operating=LEASE_END, lease_end=LEASE_END + LEASE)
    assert again.fence == 2


@pytest.mark.parametrize(
    ("due_product", "due_operating", "is_due"),
    [
        (START, START, True),
        (START + timedelta(microseconds=1), START, False),
        (START, START + timedelta(microseconds=1), False),
    ],
)
def test_only_what_is_due_in_both_times_is_claimed(
    db: Database, due_product: datetime, due_operating: datetime, is_due: bool
) -> None:
    store(db, a_series(due_product=due_product, due_operating=due_operating))
    assert len(claim(db)) == is_due


def test_the_next_moment_to_come_back_is_told_for_what_is_due_and_for_what_is_not_yet(db: Database) -> None:
    with db.read() as connection:
        assert series.next_due(connection, START) == (None, None)
    store(db, a_series("i-1", due_operating=LEASE_END))
    store(db, a_series("i-2", due_operating=LEASE_END + SECOND))
    store(db, a_series("i-3", due_product=START + 2 * SECOND))
    store(db, a_series("i-4", due_product=START + SECOND))
    with db.read() as connection:
        assert series.next_due(connection, START) == (START + SECOND, LEASE_END)


# Looks


@pytest.mark.rule("X9")
def test_a_look_is_stored_whole(db: Database) -> None:
    images = some_images(4)
    store(db, a_series(), *images)
    (claimed,) = claim(db)
    assert intend(db, claimed, images[:3])
    assert [image.deleting for image in kept(db)] == [False, True, True, True]
    after = replace(rested(claimed, START, START), after=(START, IMAGE), tries=4)
    look = Look(after, deleted=images[:1], gone=images[1:2], spared=images[2:3])
    assert finish(db, look) == [look]
    assert kept(db) == [images[3], images[2]]
    assert claim(db) == []
    assert claim(db, product=START + DAY) == [replace(after, fence=2, due_operating=LEASE_END)]


def intend(db: Database, claimed: Series, images: list[KeptImage]) -> bool:
    with db.write() as connection:
        return intend_to_delete(connection, claimed, images)


@pytest.mark.rule("X9")
def test_a_look_of_an_old_claim_changes_nothing(db: Database) -> None:
    images = some_images(3)
    store(db, a_series(), *images)
    (old,) = claim(db)
    (new,) = claim(db, operating=LEASE_END, lease_end=LEASE_END + LEASE)
    assert not intend(db, old, images)
    assert finish(db, Look(rested(old, START, START), deleted=images)) == []
    assert kept(db) == images[::-1]
    with db.write() as connection:
        assert series.still_claimed(connection, [old, new]) == {new.key}
    assert claim(db, operating=LEASE_END) == []


@pytest.mark.rule("X9")
def test_a_series_that_was_asked_about_during_the_look_stays_due_and_is_not_forgotten(db: Database) -> None:
    first, second = some_images(2)
    store(db, a_series(), first)
    (claimed,) = claim(db)
    store(db, a_series(due_product=START - SECOND), second)
    finish(db, Look(rested(claimed, START, START), gone=[first]))
    assert claim(db) == [a_series(fence=2, asked=2, due_product=START - SECOND, due_operating=LEASE_END)]
    assert kept(db) == [second]


@pytest.mark.rule("X9")
def test_a_series_without_images_is_forgotten_and_comes_back_with_the_next_image(db: Database) -> None:
    (image,) = some_images(1)
    store(db, a_series(), image)
    (claimed,) = claim(db)
    finish(db, Look(rested(claimed, START, START), deleted=[image]))
    with db.read() as connection:
        assert connection.execute(sa.select(image_series)).all() == []
    store(db, a_series(), image)
    assert kept(db) == [image]
    assert claim(db) == [a_series(fence=1, due_operating=LEASE_END)]


@pytest.mark.rule("X9")
def test_an_image_is_never_without_its_series(db: Database) -> None:
    with pytest.raises(IntegrityError), db.write() as connection:
        kept_images.add(connection, some_images(1))


@pytest.mark.rule("X9")
def test_an_image_that_is_recorded_again_stays_as_it_is(db: Database) -> None:
    (image,) = some_images(1)
    store(db, a_series(), image)
    store(db, a_series(), replace(image, scheduled_time=START + DAY))
    assert kept(db) == [image]


@pytest.mark.rule("X9")
def test_the_task_of_a_deleted_image_tells_when_and_an_image_outlives_its_task(db: Database) -> None:
    execution, task = an_execution(), a_task(image=IMAGE, phase=Phase.DONE, state=TaskState.SUCCEEDED)
    store_task(db, execution, task)
    known = replace(some_images(1)[0], execution_uid=execution.uid)
    forgotten = a_kept_image("img-forgotten")
    store(db, a_series(), known, forgotten)
    (claimed,) = claim(db)
    finish(db, Look(rested(claimed, START, START), deleted=[known, forgotten]))
    assert kept(db) == []
    with db.read() as connection:
        (found,) = tasks.page(connection, execution.uid, states=(), after=None, limit=10)
    assert found == replace(task, image_delete_time=START)


def store_task(db: Database, execution: Execution, task: Task) -> None:
    with db.write() as connection:
        executions.insert(connection, [execution], {execution.place: 1})
        tasks.insert(connection, [task])


# Which images a limit concerns


def over_limits(db: Database, retention: Retention, *, now: datetime = START, **page: Any) -> list[str]:
    with db.read() as connection:
        found = kept_images.over_limits(
            connection, a_series().key, retention, now, **{"after": None, "limit": 100} | page
        )
    return [image.name.rpartition("/")[2] for image in found]


@pytest.mark.rule("X9", "P9")
@pytest.mark.parametrize(
    ("retention", "now", "expected"),
    [
        (KEEP_FOREVER, START + 1000 * DAY, []),
        (Retention(keep_last=3), START, ["img-0000", "img-0001"]),
        (Retention(keep_last=5), START, []),
        (Retention(keep_last=1000), START, []),
        (Retention(keep_days=1), START + DAY - SECOND, []),
        (Retention(keep_days=1), START + DAY, ["img-0000"]),
        (Retention(keep_days=1), START + DAY + SECOND, ["img-0000", "img-0001"]),
        (Retention(keep_days=1, keep_last=4), START + DAY + SECOND, ["img-0000", "img-0001"]),
        (Retention(keep_days=1, keep_last=3), START + DAY, ["img-0000", "img-0001"]),
        (Retention(keep_days=1, keep_last=2), START, ["img-0000", "img-0001", "img-0002"]),
        (Retention(keep_days=36_500), START, []),
    ],
)
def test_what_either_limit_concerns_is_found(
    db: Database, retention: Retention, now: datetime, expected: list[str]
) -> None:
    store(db, a_series(), *some_images(5))
    store(db, a_series("i-2"), *(replace(a_kept_image(f"img-2-{n}", START, a_series("i-2"))) for n in range(9)))
    assert over_limits(db, retention, now=now) == expected


def test_what_a_limit_concerns_is_found_in_pieces_and_by_name_where_times_are_the_same(db: Database) -> None:
    store(db, a_series(), *(a_kept_image(f"img-{number}", START) for number in range(5)))
    assert over_limits(db, Retention(keep_last=1), limit=2) == ["img-0", "img-1"]
    assert over_limits(db, Retention(keep_last=1), limit=9, after=(START, f"{PLACE}/images/img-1")) == [
        "img-2",
        "img-3",
    ]
    assert over_limits(db, Retention(keep_last=1), limit=9, after=(START, f"{PLACE}/images/img-3")) == []


def test_series_are_found_by_their_policys_name(db: Database) -> None:
    again = a_series(policy_uid="0" * 36)
    for one in (a_series("i-2"), a_series("i-1"), again, a_series(policy="weekly"), a_series("i-0", account="other")):
        store(db, one)
    with db.read() as connection:
        found = series.of_policy(connection, "acme", "cn-north-1", "daily", start=("", ""), limit=10)
        assert found == [again.key, a_series("i-1").key, a_series("i-2").key]
        rest = series.of_policy(
            connection, "acme", "cn-north-1", "daily", start=(instance_name("i-1"), uid("daily")), limit=10
        )
        assert rest == found[1:]
        assert series.of_policy(connection, "acme", "cn-north-1", "daily", start=("", ""), limit=1) == found[:1]


# What it costs


@contextmanager
def plans(connection: sa.Connection) -> Iterator[list[str]]:
    """What each statement reads, as the planner tells it of the statement that is sent."""
    found: list[str] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not statement.startswith(("INSERT", "EXPLAIN")):
            first = parameters[0] if many else parameters
            found.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", first))

    sa.event.listen(connection, "before_cursor_execute", explain)
    yield found
    sa.event.remove(connection, "before_cursor_execute", explain)


@pytest.mark.engines("sqlite")
def test_a_look_reads_by_index_only(db: Database) -> None:
    """Its cost depends on what is due, not on how many images there are."""
    images = some_images(5)
    store(db, a_series(), *images)
    with db.write() as connection, plans(connection) as found:
        series.next_due(connection, START)
        (claimed,) = series.claim(connection, product=START, operating=START, lease_end=LEASE_END, limit=100)
        for retention in (Retention(keep_days=1), Retention(keep_last=2), Retention(keep_days=1, keep_last=2)):
            for after in (None, images[0].age_key):
                kept_images.over_limits(connection, claimed.key, retention, START, after=after, limit=100)
        kept_images.newest(connection, claimed.key, before=images[3].age_key, limit=10)
        intend_to_delete(connection, claimed, images)
        record_looks(connection, [Look(claimed, deleted=images[:1], gone=images[1:2], spared=images[2:])], START)
        series.ask(connection, [claimed])
        series.of_policy(connection, "acme", "cn-north-1", "daily", start=("i", "u"), limit=10)
    assert len(found) > 20
    # The keys that were asked for are read from a list of values, and two answers in one row from none: no table is
    # read whole.
    scans = [step for step in found if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
    assert scans == ["SCAN CONSTANT ROW"]
    assert sum("TEMP B-TREE" in step for step in found) == 3, "rows are sorted to be locked in order, and only those"


# Images of before


@pytest.mark.rule("X9")
def test_images_that_were_made_before_there_was_retention_are_taken_over(db: Database) -> None:
    """The migration is run again, over tables as they were before it."""
    execution = an_execution(log_topic="")
    made = [
        a_task("i-1", execution, state=TaskState.SUCCEEDED, phase=Phase.DONE, image=f"{PLACE}/images/img-1"),
        a_task("i-2", execution, state=TaskState.FAILED, phase=Phase.DONE, image=f"{PLACE}/images/img-2"),
        a_task("i-3", execution, state=TaskState.BUILDING, phase=Phase.FOLLOW, image=f"{PLACE}/images/img-3"),
        a_task("i-4", execution, state=TaskState.FAILED, image=f"{PLACE}/images/img-4", late_image_time=START),
    ]
    with db.write() as connection:
        executions.insert(connection, [execution], {execution.place: 1})
        tasks.insert(connection, made)
    with db.write() as connection:
        connection.exec_driver_sql("DROP TABLE kept_images")
        connection.exec_driver_sql("DROP TABLE image_series")
        connection.exec_driver_sql("ALTER TABLE executions DROP COLUMN image_expire_time")
        connection.exec_driver_sql("ALTER TABLE image_tasks DROP COLUMN image_delete_time")
        migration = importlib.import_module("scheduler_service.store.migrations.versions.0002_retention")
        with Operations.context(MigrationContext.configure(connection)):
            migration.upgrade()
    for task in (made[0], made[3]):
        assert kept(db, a_series(task.instance_id)) == [
            KeptImage(task.image, uid("daily"), task.instance, START, task.request_id, execution.uid)
        ]
    expected = [a_series(id, fence=1, due_operating=LEASE_END) for id in ("i-1", "i-4")]
    claimed = [replace(one, due_product=START) for one in claim(db)]
    assert sorted(claimed, key=lambda one: one.key) == expected
