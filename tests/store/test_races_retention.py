"""Retention of two schedulers over one database, and its meetings with the main job, stepped by hand."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from scheduler_service.commands.record_looks import Look, intend_to_delete, record_looks
from scheduler_service.domain.retention import KeptImage, Series, rested
from scheduler_service.domain.tasks import Phase, Task, TaskState
from scheduler_service.store import executions, kept_images, series, tasks
from servicekit.database import Database
from tests.support import START, database
from tests.support.races import overtaken, written
from tests.support.scheduler_values import IMAGE, a_kept_image, a_series, a_task, an_execution

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.rule("X9")]
LEASE = timedelta(seconds=30)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = database(tmp_path, "scheduler_service")
    yield made
    made.dispose()


def store(db: Database, one: Series, *images: KeptImage) -> None:
    with db.write() as connection:
        series.ask(connection, [one])
        kept_images.add(connection, images)


def store_tasks(db: Database, *instance_ids: str) -> list[Task]:
    """Tasks of one execution that have made images; their rows lie in this order."""
    execution = an_execution()
    made = [a_task(id, image=IMAGE, phase=Phase.DONE, state=TaskState.SUCCEEDED) for id in instance_ids]
    with db.write() as connection:
        executions.insert(connection, [execution], {execution.place: 1})
        tasks.insert(connection, made)
    return made


def claim(connection: sa.Connection, after: timedelta = timedelta(0)) -> list[Series]:
    operating = START + after
    return series.claim(connection, product=START, operating=operating, lease_end=operating + LEASE, limit=100)


def kept(db: Database) -> list[KeptImage]:
    with db.read() as connection:
        return kept_images.newest(connection, a_series().key, before=None, limit=100)


def test_two_looks_at_the_same_series_do_not_meet_and_do_not_wait(db: Database) -> None:
    store(db, a_series(), a_kept_image())
    with db.write() as one, db.write() as other:
        (claimed,), nothing = claim(one), claim(other)
    assert (claimed.fence, nothing) == (1, [])
    with db.write() as connection:
        assert claim(connection) == []


def test_a_look_that_was_overtaken_while_it_waited_deletes_nothing(db: Database) -> None:
    """It wakes up after its lease, while another takes the series over."""
    image = a_kept_image()
    store(db, a_series(), image)
    (slow,) = written(db, claim)()
    (quick,), intends = overtaken(
        db, lambda connection: claim(connection, LEASE), written(db, lambda c: intend_to_delete(c, slow, [image]))
    )
    assert (quick.fence, intends, kept(db)) == (2, False, [image])
    late = Look(rested(slow, START, START), deleted=[image])
    assert written(db, lambda connection: record_looks(connection, [late], START))() == []
    assert kept(db) == [image]


def test_an_image_that_comes_while_the_last_one_is_forgotten_keeps_the_series(db: Database) -> None:
    old, new = a_kept_image("img-old"), a_kept_image("img-new")
    store(db, a_series(), old)
    (claimed,) = written(db, claim)()

    def keep(connection: sa.Connection) -> None:
        series.ask(connection, [a_series()])
        kept_images.add(connection, [new])

    look = Look(rested(claimed, START, START), gone=[old])
    overtaken(db, lambda connection: record_looks(connection, [look], START), written(db, keep))
    assert kept(db) == [new]
    (again,) = written(db, lambda connection: claim(connection, LEASE))()
    assert again.key == a_series().key


def test_of_two_first_images_of_a_series_each_asks_for_a_look(db: Database) -> None:
    """Or a look between the two would see the first image only, and rest for a day."""

    def ask(connection: sa.Connection) -> None:
        series.ask(connection, [a_series()])

    overtaken(db, ask, written(db, ask))
    (claimed,) = written(db, claim)()
    assert claimed.asked == a_series().asked + 1


def test_a_late_result_and_a_look_at_the_same_series_do_not_wait_in_a_circle(db: Database) -> None:
    """The result is of a claim that ran out, on tasks of which one has an image that retention deletes."""
    (task,) = store_tasks(db, "i-1")
    image = replace(a_kept_image(), execution_uid=task.execution_uid)
    store(db, a_series(), image)
    (claimed,) = written(db, claim)()
    look = Look(rested(claimed, START, START), deleted=[image])
    _, looks = overtaken(
        db,
        lambda connection: tasks.still_claimed(connection, [task]),
        written(db, lambda connection: record_looks(connection, [look], START)),
        then=lambda connection: series.ask(connection, [a_series()]),
    )
    assert (looks, kept(db)) == ([look], [])


def test_deleted_images_are_noted_on_tasks_that_are_just_being_forgotten(db: Database) -> None:
    """Tasks are locked in key order, wherever their rows lie: the two do not wait in a circle."""
    second, first = store_tasks(db, "i-2", "i-1")
    keys = [(task.execution_uid, task.instance_id) for task in (first, second)]

    def forget(connection: sa.Connection) -> None:
        connection.execute(sa.text("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off"))
        executions.delete(connection, [first.execution_uid])

    overtaken(
        db,
        lambda connection: tasks.mark_images_deleted(connection, keys[:1], START),
        written(db, forget),
        then=lambda connection: tasks.mark_images_deleted(connection, keys[1:], START),
    )
    with db.read() as connection:
        assert executions.known(connection, [first.execution_uid]) == set()
