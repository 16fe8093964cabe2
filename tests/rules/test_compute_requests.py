"""Rule C5, request ids, through the public RPCs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from autoimage.compute.v1.compute_pb2 import Image
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
)
from autoimage.compute.v1.instance_service_pb2 import BatchCreateInstancesRequest, CreateInstanceRequest
from autoimage.type.v1.reason_pb2 import (
    REASON_IMAGE_DELETED,
    REASON_REQUEST_RESOLVED,
)
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.compute_sim import (
    BUILD,
    INSTANCE,
    MICROSECOND,
    OTHER_REQUEST_ID,
    PLACE,
    REQUEST_ID,
    Compute,
    cloud,
    facts,
    image_request,
    instance,
    running_compute,
)

ELSEWHERE = "accounts/acme/regions/cn-south-1"
EVERYWHERE = "accounts/-/regions/-"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Compute]:
    with running_compute(tmp_path) as service:
        yield service


@pytest.fixture
def compute(empty: Compute) -> Compute:
    """With the instance INSTANCE: three cloud disks and a local one."""
    empty.create_instance()
    return empty


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Compute]:
    """With INSTANCE, all of whose snapshots will fail."""
    with running_compute(tmp_path, failure_probability=1.0) as service:
        service.create_instance()
        yield service


@pytest.mark.rule("C5")
def test_a_repeated_request_answers_the_image_whatever_else_differs(compute: Compute) -> None:
    first = compute.create_image(request_id=REQUEST_ID, display_name="first")
    assert compute.create_image(request_id=REQUEST_ID.upper(), display_name="other", devices=["vdb"]) == first
    compute.time.product.advance(timedelta(days=1000))
    assert compute.create_image(request_id=REQUEST_ID).name == first.name
    assert compute.exists()["images"] == compute.used()["images"] == 1


@pytest.mark.rule("C5")
def test_a_repeated_request_in_the_same_batch_answers_the_same_image(compute: Compute) -> None:
    batch = BatchCreateImagesRequest(parent=PLACE, requests=[image_request(request_id=REQUEST_ID)] * 2)
    first, second = compute.images.BatchCreateImages(batch).results
    assert first.image.name == second.image.name != ""
    assert compute.used()["images"] == 1


@pytest.mark.rule("C5")
def test_of_16_repeats_at_once_all_get_the_one_image(compute: Compute) -> None:
    outcomes = at_once([partial(compute.create_image, request_id=REQUEST_ID)] * 16)
    assert len({outcome.name for outcome in outcomes if isinstance(outcome, Image)}) == 1
    assert all(isinstance(outcome, Image) for outcome in outcomes)
    assert compute.used() == compute.exists()


@pytest.mark.rule("C5")
def test_the_request_id_of_an_image_is_refused_for_another_instance(compute: Compute) -> None:
    compute.create_instance("db")
    compute.create_image(request_id=REQUEST_ID)
    error = error_of(compute.create_image, f"{PLACE}/instances/db", request_id=REQUEST_ID)
    assert facts(error) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert compute.used()["images"] == 1


@pytest.mark.rule("C5")
def test_the_request_id_of_a_refused_request_can_be_used_again(compute: Compute) -> None:
    compute.set_limit("images", 0)
    error_of(compute.create_image, request_id=REQUEST_ID)
    compute.set_limit("images", 1)
    assert compute.create_image(request_id=REQUEST_ID).request_id == REQUEST_ID


@pytest.mark.rule("C5")
def test_the_request_id_of_a_deleted_image_builds_no_other(compute: Compute) -> None:
    name = compute.create_image(request_id=REQUEST_ID).name
    compute.delete_image(name)
    error = error_of(compute.create_image, request_id=REQUEST_ID)
    assert facts(error) == (Code.FAILED_PRECONDITION, "IMAGE_DELETED")
    assert compute.resolve((INSTANCE, REQUEST_ID))[0].refused == REASON_IMAGE_DELETED
    assert compute.list_images() == []


@pytest.mark.rule("C5")
def test_a_failed_build_is_not_repeated_by_its_request_id(failing: Compute) -> None:
    name = failing.create_image(request_id=REQUEST_ID).name
    failing.time.product.advance(BUILD)
    again = failing.create_image(request_id=REQUEST_ID)
    assert (again.name, again.state) == (name, Image.STATE_ERROR)


@pytest.mark.rule("C5")
def test_a_resolved_request_answers_its_image_or_never_gets_one(compute: Compute) -> None:
    image = compute.create_image(request_id=REQUEST_ID)
    known, unknown, repeated = compute.resolve(
        (INSTANCE, REQUEST_ID), (INSTANCE, OTHER_REQUEST_ID), (INSTANCE, OTHER_REQUEST_ID.upper())
    )
    assert known.image == image
    assert (unknown.refused, repeated.refused) == (REASON_REQUEST_RESOLVED, REASON_REQUEST_RESOLVED)
    compute.time.product.advance(timedelta(days=300))
    error = error_of(compute.create_image, request_id=OTHER_REQUEST_ID)
    assert facts(error) == (Code.FAILED_PRECONDITION, "REQUEST_RESOLVED")
    assert compute.used()["images"] == 1


@pytest.mark.rule("C5")
def test_a_request_id_of_another_instance_is_resolved_as_having_no_image(compute: Compute) -> None:
    image = compute.create_image(request_id=REQUEST_ID)
    (resolved,) = compute.resolve((f"{PLACE}/instances/db", REQUEST_ID))
    assert resolved.refused == REASON_REQUEST_RESOLVED
    assert compute.create_image(request_id=REQUEST_ID) == image


@pytest.mark.rule("C5")
def test_a_create_and_a_resolve_at_once_agree(compute: Compute) -> None:
    """Eight of each, over and over: either all know the image, or all know that there is none."""
    for number in range(10):
        request_id = f"123e4567-e89b-42d3-a456-4266141740{number:02}"
        create = partial(compute.create_image, request_id=request_id)
        resolve = partial(compute.resolve, (INSTANCE, request_id))
        calls: list[Callable[[], object]] = [*[create] * 8, *[resolve] * 8]
        outcomes = at_once(calls)
        images = {outcome.name for outcome in outcomes[:8] if isinstance(outcome, Image)}
        images |= {outcome[0].image.name for outcome in outcomes[8:] if isinstance(outcome, list)}
        assert len(images) == 1, "an image for all, or the empty name for all that resolved"
        if images == {""}:
            assert {facts(outcome) for outcome in outcomes[:8]} == {(Code.FAILED_PRECONDITION, "REQUEST_RESOLVED")}
        compute.time.product.advance(BUILD)
        compute.set_limit("images", 100)
        compute.set_limit("snapshots", 300)


@pytest.mark.rule("C5")
def test_a_request_is_accepted_until_its_not_after_and_refused_later(compute: Compute) -> None:
    not_after = to_proto(START + timedelta(seconds=30))
    compute.time.operating.advance(timedelta(seconds=30) + MICROSECOND)
    error = error_of(compute.create_image, request_id=REQUEST_ID, not_after=not_after)
    assert facts(error) == (Code.FAILED_PRECONDITION, "REQUEST_TOO_LATE")
    assert compute.list_images() == []
    compute.time.operating.advance(-MICROSECOND)
    image = compute.create_image(request_id=REQUEST_ID, not_after=not_after)
    compute.time.operating.advance(timedelta(hours=1))
    assert compute.create_image(request_id=REQUEST_ID, not_after=not_after) == image


@pytest.mark.rule("C5")
def test_not_after_is_held_against_operating_time(compute: Compute) -> None:
    compute.time.product.advance(timedelta(days=1))
    assert compute.create_image(not_after=to_proto(START)).state == Image.STATE_CREATING


@pytest.mark.rule("C5")
def test_a_repeated_request_answers_the_instance_for_24_hours(empty: Compute) -> None:
    request = CreateInstanceRequest(parent=PLACE, instance=instance(), request_id=REQUEST_ID)
    first = empty.instances.CreateInstance(request)
    empty.time.product.advance(timedelta(hours=24) - MICROSECOND)
    request.request_id = REQUEST_ID.upper()
    assert empty.instances.CreateInstance(request) == first
    assert empty.used()["instances"] == 1
    empty.time.product.advance(MICROSECOND)
    assert empty.instances.CreateInstance(request).name != first.name
    assert empty.used() == empty.exists() == {"disks": 6, "images": 0, "instances": 2, "snapshots": 0}


@pytest.mark.rule("C5")
def test_the_request_id_of_an_instance_is_refused_for_another_body(empty: Compute) -> None:
    request = CreateInstanceRequest(parent=PLACE, instance=instance(), request_id=REQUEST_ID)
    empty.instances.CreateInstance(request)
    request.instance.display_name = "other"
    assert facts(error_of(empty.call, request)) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert empty.used()["instances"] == 1


@pytest.mark.rule("C5")
def test_a_repeated_request_for_an_instance_survives_a_restart(tmp_path: Path) -> None:
    request = CreateInstanceRequest(parent=PLACE, instance=instance(), request_id=REQUEST_ID)
    with running_compute(tmp_path) as before:
        first = before.instances.CreateInstance(request)
    with running_compute(tmp_path) as after:
        assert after.instances.CreateInstance(request) == first


@pytest.mark.rule("C5")
def test_a_repeated_request_for_a_deleted_instance_makes_no_other(compute: Compute) -> None:
    request = CreateInstanceRequest(parent=PLACE, instance=instance(), request_id=REQUEST_ID)
    name = compute.instances.CreateInstance(request).name
    compute.delete_instance(name)
    error = error_of(compute.call, request)
    assert (facts(error), error.metadata) == ((Code.NOT_FOUND, "RESOURCE_NOT_FOUND"), {"name": name})


@pytest.mark.rule("C5")
def test_requests_for_instances_are_told_apart_within_a_batch(empty: Compute) -> None:
    """One that is repeated, one with its id and another body, and one with its id in another region."""
    first = CreateInstanceRequest(parent=PLACE, instance=instance(), request_id=REQUEST_ID)
    other = CreateInstanceRequest(parent=PLACE, instance=instance(display_name="other"), request_id=REQUEST_ID)
    elsewhere = CreateInstanceRequest(parent=ELSEWHERE, instance=instance(), request_id=REQUEST_ID)
    batch = BatchCreateInstancesRequest(parent=EVERYWHERE, requests=[first, first, other, elsewhere])
    results = empty.instances.BatchCreateInstances(batch).results
    assert results[0].instance == results[1].instance == empty.instances.CreateInstance(first)
    assert results[2].error.code == Code.ALREADY_EXISTS.value
    assert results[3].instance.name.startswith(ELSEWHERE)
    assert [len(empty.list_instances(place)) for place in (PLACE, ELSEWHERE)] == [1, 1]
    assert empty.instances.BatchCreateInstances(batch).results == results


@pytest.mark.rule("C5", "Q1")
def test_a_repeated_request_attaches_a_disk_once_for_24_hours(tmp_path: Path) -> None:
    with running_compute(tmp_path) as before:
        before.create_instance()
        attached = before.attach(cloud("vde"), request_id=REQUEST_ID)
    with running_compute(tmp_path) as after:
        assert after.attach(cloud("vde"), request_id=REQUEST_ID.upper()) == attached
        assert facts(error_of(after.attach, cloud("vdf"), request_id=REQUEST_ID)) == (
            Code.ALREADY_EXISTS,
            "REQUEST_ID_REUSED",
        )
        after.detach("vde")
        after.time.product.advance(timedelta(hours=24) - MICROSECOND)
        assert after.attach(cloud("vde"), request_id=REQUEST_ID) == after.get_instance()
        assert after.used() == after.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}
        after.time.product.advance(MICROSECOND)
        assert len(after.attach(cloud("vde"), request_id=REQUEST_ID).disks) == 5
        assert after.used() == after.exists() == {"disks": 4, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("C5")
def test_a_refused_attachment_is_not_remembered(compute: Compute) -> None:
    compute.set_limit("disks", 3)
    error_of(compute.attach, cloud("vde"), request_id=REQUEST_ID)
    compute.set_limit("disks", 4)
    assert len(compute.attach(cloud("vdf"), request_id=REQUEST_ID).disks) == 5
    compute.delete_instance()
    error = error_of(compute.attach, cloud("vdf"), request_id=REQUEST_ID)
    assert facts(error) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
