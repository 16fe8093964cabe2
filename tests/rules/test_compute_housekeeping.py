"""Rule X10 in compute: what is forgotten by itself and when, through the public RPCs and the step that does it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from autoimage.compute.v1.compute_pb2 import Image
from autoimage.compute.v1.instance_service_pb2 import CreateInstanceRequest
from autoimage.type.v1.reason_pb2 import REASON_IMAGE_DELETED
from compute_sim.commands import keep_house as module
from compute_sim.commands.keep_house import keep_house
from compute_sim.store import schema
from servicekit.errors import Code
from servicekit.loop import Wake
from tests.support import error_of
from tests.support.compute_sim import (
    BUILD,
    INSTANCE,
    MICROSECOND,
    PLACE,
    REQUEST_ID,
    Compute,
    facts,
    instance,
    running_compute,
)

WEEK = timedelta(days=7)


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[Compute]:
    """With INSTANCE, whose images succeed."""
    with running_compute(tmp_path) as service:
        service.create_instance()
        yield service


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Compute]:
    """With INSTANCE, whose images fail."""
    with running_compute(tmp_path, failure_probability=1.0) as service:
        service.create_instance()
        yield service


def rows(compute: Compute, table: sa.Table) -> int:
    with compute.deps.database.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


@pytest.mark.rule("X10")
def test_the_record_of_a_failed_image_stays_for_7_days_and_leaves_a_mark(failing: Compute) -> None:
    name = failing.create_image(request_id=REQUEST_ID).name
    failing.time.product.advance(BUILD + WEEK - MICROSECOND)
    assert failing.get_image(name).state == Image.STATE_ERROR
    assert keep_house(failing.deps) == Wake()
    assert failing.get_image(name).state == Image.STATE_ERROR

    failing.time.product.advance(MICROSECOND)
    assert keep_house(failing.deps) == Wake()
    assert facts(error_of(failing.get_image, name)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert rows(failing, schema.image_disks) == 0
    assert failing.used() == failing.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}
    error = error_of(failing.create_image, request_id=REQUEST_ID)
    assert facts(error) == (Code.FAILED_PRECONDITION, "IMAGE_DELETED")
    assert failing.resolve((INSTANCE, REQUEST_ID))[0].refused == REASON_IMAGE_DELETED


@pytest.mark.rule("X10", "Q1")
def test_a_failure_that_nobody_looked_at_gives_its_quota_back_and_is_forgotten(failing: Compute) -> None:
    failing.create_image()
    failing.time.product.advance(BUILD + WEEK)
    keep_house(failing.deps)
    assert rows(failing, schema.images) == 0
    assert failing.used() == failing.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("X10")
def test_images_that_did_not_fail_stay(compute: Compute) -> None:
    built = compute.create_image(request_id=REQUEST_ID).name
    compute.time.product.advance(timedelta(days=1000))
    under_way = compute.create_image().name
    assert keep_house(compute.deps) == Wake()
    states = {image.name: image.state for image in compute.list_images()}
    assert states == {built: Image.STATE_AVAILABLE, under_way: Image.STATE_CREATING}
    assert compute.create_image(request_id=REQUEST_ID).name == built
    assert compute.used() == compute.exists()


@pytest.mark.rule("X10")
def test_a_protected_record_stays_until_it_is_protected_no_more(failing: Compute) -> None:
    name = failing.create_image(deletion_protected=True).name
    failing.time.product.advance(BUILD + WEEK)
    keep_house(failing.deps)
    failing.update_image(name, ["deletion_protected"])
    assert failing.get_image(name).state == Image.STATE_ERROR
    keep_house(failing.deps)
    assert failing.list_images() == []


@pytest.mark.rule("X10", "C5")
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda compute: compute.resolve((INSTANCE, REQUEST_ID)), "REQUEST_RESOLVED"),
        (lambda compute: compute.delete_image(compute.create_image(request_id=REQUEST_ID).name), "IMAGE_DELETED"),
    ],
    ids=["given up", "image deleted"],
)
def test_a_request_id_without_an_image_is_refused_for_400_days(
    compute: Compute, end: Callable[[Compute], object], reason: str
) -> None:
    end(compute)
    compute.time.product.advance(timedelta(days=400) - MICROSECOND)
    assert keep_house(compute.deps) == Wake()
    assert facts(error_of(compute.create_image, request_id=REQUEST_ID)) == (Code.FAILED_PRECONDITION, reason)
    compute.time.product.advance(MICROSECOND)
    assert keep_house(compute.deps) == Wake()
    assert compute.create_image(request_id=REQUEST_ID).request_id == REQUEST_ID
    assert compute.used() == compute.exists()


@pytest.mark.rule("X10", "C5")
def test_answers_to_requests_are_forgotten_after_24_hours(compute: Compute) -> None:
    request = CreateInstanceRequest(parent=PLACE, instance=instance(), request_id=REQUEST_ID)
    made = compute.instances.CreateInstance(request)
    compute.time.product.advance(timedelta(hours=24) - MICROSECOND)
    keep_house(compute.deps)
    assert compute.instances.CreateInstance(request) == made
    compute.time.product.advance(MICROSECOND)
    keep_house(compute.deps)
    assert rows(compute, schema.requests) == 0


@pytest.mark.rule("X10")
def test_a_step_forgets_a_bounded_number_and_comes_back_at_once(
    failing: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT", 2)
    for number in range(5):
        source = failing.create_instance(f"i-{number}", disks=[instance().disks[0]]).name
        failing.create_image(source, request_id=f"{REQUEST_ID[:-1]}{number}")
    step = partial(keep_house, failing.deps)
    failing.time.product.advance(BUILD + WEEK)
    assert [(step(), rows(failing, schema.images)) for _ in range(3)] == [
        (Wake(at_once=True), 3),
        (Wake(at_once=True), 1),
        (Wake(), 0),
    ]
    failing.time.product.advance(timedelta(days=400))
    assert [(step(), rows(failing, schema.image_requests)) for _ in range(3)] == [
        (Wake(at_once=True), 3),
        (Wake(at_once=True), 1),
        (Wake(), 0),
    ]
