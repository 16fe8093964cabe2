"""The compute service's tables: made by its migrations, guarded by constraints, read through indexes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from compute_sim.domain.images import Image, ImageDisk, ImageState
from compute_sim.domain.instances import Disk, DiskKind, Instance, InstanceState
from compute_sim.domain.keys import Key, Place
from compute_sim.domain.quotas import DEFAULT_LIMITS, QuotaKind
from compute_sim.store import builds, image_requests, images, instances, quotas, schema
from servicekit.database import Database, constraint_name
from tests.support import START, database, migration_differences

ACME = Place("acme", "cn-north-1")
IMAGE = Image(
    key=ACME.key("img-1"),
    display_name="img-1",
    instance_id="web",
    labels={},
    state=ImageState.CREATING,
    disks=(ImageDisk("vda", 40, "vol-1", "snapshot-1"),),
    left_out_disks=(),
    request_id="",
    create_time=START,
    finish_time=START,
    fails=False,
    revision=1,
)
INSTANCE = Instance(ACME.key("web"), "web", InstanceState.RUNNING, (Disk("vda", DiskKind.CLOUD, 40, "vol-1"),), START)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = database(tmp_path, "compute_sim")
    yield opened
    opened.dispose()


def test_migrations_and_metadata_agree() -> None:
    assert migration_differences("compute_sim") == []


def test_an_instance_has_one_image_under_construction_whatever_the_code_does(db: Database) -> None:
    built = replace(IMAGE, key=ACME.key("img-0"), state=ImageState.AVAILABLE, disks=(ImageDisk("vda", 40, "v", "s"),))
    second = replace(IMAGE, key=ACME.key("img-2"))
    with db.write() as connection:
        images.insert(connection, [built, IMAGE])
    with pytest.raises(IntegrityError) as caught, db.write() as connection:
        images.insert(connection, [second])
    assert constraint_name(caught.value, schema.metadata) == "uq_images_account_region_instance_id_building"


@pytest.mark.parametrize(
    ("second", "constraint"),
    [
        (replace(IMAGE, instance_id="db"), "pk_images"),
        (replace(IMAGE, instance_id="db", key=ACME.key("img-2")), "uq_image_disks_account_region_snapshot_id"),
    ],
)
def test_an_id_that_is_drawn_twice_breaks_a_constraint_known_by_name(
    db: Database, second: Image, constraint: str
) -> None:
    with pytest.raises(IntegrityError) as caught, db.write() as connection:
        images.insert(connection, [IMAGE, second])
    assert constraint_name(caught.value, schema.metadata) == constraint


def test_counters_pass_no_limit_whatever_the_code_has_read(db: Database) -> None:
    key = (ACME, QuotaKind.IMAGES)
    with db.write() as connection:
        quotas.lock(connection, [ACME])
        quotas.take(connection, {key: DEFAULT_LIMITS[QuotaKind.IMAGES]})
    with pytest.raises(AssertionError), db.write() as connection:
        quotas.take(connection, {key: 1})
    with pytest.raises(IntegrityError), db.write() as connection:
        quotas.give_back(connection, {key: 6})
    with db.read() as connection:
        assert quotas.read(connection, ACME)[QuotaKind.IMAGES].used == 5


def test_quotas_of_many_places_are_made_at_their_first_use(db: Database) -> None:
    places = {Place(f"a{number}", region) for number in range(3) for region in ("cn-north-1", "cn-south-1")}
    with db.write() as connection:
        first = quotas.lock(connection, [ACME])
        locked = quotas.lock(connection, {*places, ACME})
        assert quotas.lock(connection, {*places, ACME}) == locked
    assert set(locked) == {(place, kind) for place in {*places, ACME} for kind in QuotaKind}
    assert {kind: quota.limit for (_, kind), quota in first.items()} == DEFAULT_LIMITS


@pytest.mark.parametrize("places", [1, 3])
def test_no_query_of_a_batch_reads_a_whole_table(db: Database, places: int) -> None:
    """As tables grow, a batch must cost no more. What each query reads is asked of the planner itself."""
    plans: list[str] = []
    keys = [Place(f"a{number % places}", "cn-north-1").key(f"x-{number}") for number in range(9)]
    keys += [IMAGE.key, INSTANCE.key]
    with db.write() as connection:
        quotas.lock(connection, {key.place for key in keys})
        quotas.take(connection, {(IMAGE.key.place, QuotaKind.IMAGES): 1, (IMAGE.key.place, QuotaKind.SNAPSHOTS): 1})
        images.insert(connection, [replace(IMAGE, fails=True)])
        instances.insert(connection, [INSTANCE])
        note = partial(_explain, plans)
        sa.event.listen(connection, "before_cursor_execute", note)
        _run_queries(connection, keys)
        sa.event.remove(connection, "before_cursor_execute", note)
    assert len(plans) > 10
    assert [plan for plan in plans if plan.startswith("SCAN")] == []


def _run_queries(connection: sa.Connection, keys: list[Key]) -> None:
    in_places = {key.place for key in keys}
    quotas.lock(connection, in_places)
    builds.any_due(connection, in_places, START)
    builds.settle(connection, in_places, START)
    assert set(images.get(connection, keys)) == {IMAGE.key}
    images.building(connection, keys)
    assert set(instances.get(connection, keys)) == {INSTANCE.key}
    instances.existing(connection, keys)
    images.ended_by(connection, START, 2)
    image_requests.purge(connection, START, 2)


def _explain(
    plans: list[str], _connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
) -> None:
    """Adds the plan of a statement that is about to run."""
    if not statement.startswith("INSERT"):
        first = parameters[0] if many else parameters
        rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", first).fetchall()
        plans += [row[3] for row in rows]
