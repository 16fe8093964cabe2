"""Rules C1 to C4, images and their builds, through the public RPCs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from autoimage.compute.v1.compute_pb2 import Image, Instance, Snapshot
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
    BatchGetImagesRequest,
    ImageFilter,
    ListImagesRequest,
)
from autoimage.type.v1.reason_pb2 import (
    REASON_LOCAL_DISK,
    REASON_NO_SUCH_DISK,
    REASON_SNAPSHOT_FAILED,
    REASON_UNSPECIFIED,
)
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.compute_sim import (
    BUILD,
    INSTANCE,
    MICROSECOND,
    PLACE,
    REQUEST_ID,
    Compute,
    cloud,
    facts,
    image_request,
    local,
    running_compute,
)


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


def devices(image: Image) -> list[str]:
    return [disk.device_name for disk in image.disks]


def left_out(image: Image) -> dict[str, int]:
    return {disk.device_name: disk.reason for disk in image.left_out_disks}


# C1: an image includes the system disk and the selected cloud data disks, one snapshot each; never a local disk


@pytest.mark.rule("C1")
def test_an_image_of_all_disks_has_one_snapshot_of_each_cloud_disk(compute: Compute) -> None:
    image = compute.create_image()
    assert devices(image) == ["vda", "vdb", "vdc"]
    assert left_out(image) == {"vdd": REASON_LOCAL_DISK}
    disk_names = {disk.device_name: disk.disk for disk in compute.get_instance().disks}
    snapshots = {snapshot.name: snapshot for snapshot in compute.list_snapshots()}
    assert len(snapshots) == 3
    for disk in image.disks:
        snapshot = snapshots[disk.snapshot]
        assert (snapshot.image, snapshot.source_disk) == (image.name, disk_names[disk.device_name])
        assert (snapshot.device_name, snapshot.size_gib) == (disk.device_name, disk.size_gib)


@pytest.mark.rule("C1")
@pytest.mark.parametrize(
    ("asked", "included", "omitted"),
    [
        (["vda"], ["vda"], {}),
        (["vdc"], ["vda", "vdc"], {}),
        (["vdb", "vda"], ["vda", "vdb"], {}),
        (["vdd"], ["vda"], {"vdd": REASON_LOCAL_DISK}),
        (["vdz", "vdb"], ["vda", "vdb"], {"vdz": REASON_NO_SUCH_DISK}),
    ],
)
def test_the_system_disk_is_always_in_and_what_cannot_be_is_told(
    compute: Compute, asked: list[str], included: list[str], omitted: dict[str, int]
) -> None:
    image = compute.create_image(devices=asked)
    assert (devices(image), left_out(image)) == (included, omitted)
    assert compute.used()["snapshots"] == len(compute.list_snapshots()) == len(included)


# C2: a local or missing system disk is FAILED_PRECONDITION


@pytest.mark.rule("C2")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"disks": [local("vda"), cloud("vdb")]}, "LOCAL_SYSTEM_DISK"),
        ({"disks": [cloud("vdb")], "state": Instance.STATE_STOPPED}, "NO_SYSTEM_DISK"),
        ({"disks": [], "state": Instance.STATE_STOPPED}, "NO_SYSTEM_DISK"),
    ],
)
def test_an_instance_without_a_cloud_system_disk_gets_no_image(
    empty: Compute, fields: dict[str, Any], reason: str
) -> None:
    empty.create_instance(**fields)
    error = error_of(empty.create_image)
    assert facts(error) == (Code.FAILED_PRECONDITION, reason)
    assert error.precondition is not None
    assert error.precondition.subject == INSTANCE
    assert (empty.list_images(), empty.list_snapshots(), empty.used()["images"]) == ([], [], 0)


# C3: the instance is running or stopped; one image is built of it at a time


@pytest.mark.rule("C3")
@pytest.mark.parametrize("state", [Instance.STATE_RUNNING, Instance.STATE_STOPPED])
def test_a_running_or_stopped_instance_gets_an_image(empty: Compute, state: Instance.State.ValueType) -> None:
    empty.create_instance(state=state)
    assert empty.create_image().state == Image.STATE_CREATING


@pytest.mark.rule("C3")
def test_an_instance_is_busy_until_its_image_is_built(compute: Compute) -> None:
    first = compute.create_image()
    assert compute.get_instance().building_image == first.name
    compute.time.product.advance(BUILD - MICROSECOND)
    error = error_of(compute.create_image)
    assert facts(error) == (Code.FAILED_PRECONDITION, "INSTANCE_BUSY")
    assert error.metadata == {"image": first.name}
    assert compute.exists()["images"] == compute.used()["images"] == 1

    compute.time.product.advance(MICROSECOND)
    assert compute.create_image().name != first.name
    assert compute.used()["images"] == 2


@pytest.mark.rule("C3")
def test_an_instance_is_busy_for_the_second_request_of_the_same_batch(compute: Compute) -> None:
    batch = BatchCreateImagesRequest(parent=PLACE, requests=[image_request(), image_request()])
    first, second = compute.images.BatchCreateImages(batch).results
    assert first.image.state == Image.STATE_CREATING
    assert second.error.code == Code.FAILED_PRECONDITION.value
    assert compute.exists()["images"] == compute.used()["images"] == 1


@pytest.mark.rule("C3")
def test_of_16_requests_at_once_for_one_instance_one_is_accepted(compute: Compute) -> None:
    outcomes = at_once([compute.create_image] * 16)
    refused = [facts(outcome) for outcome in outcomes if not isinstance(outcome, Image)]
    assert refused == [(Code.FAILED_PRECONDITION, "INSTANCE_BUSY")] * 15
    assert compute.used() == compute.exists() == {"disks": 3, "images": 1, "instances": 1, "snapshots": 3}


@pytest.mark.rule("C3")
def test_an_instance_is_not_deleted_while_its_image_is_built(compute: Compute) -> None:
    compute.create_image()
    assert facts(error_of(compute.delete_instance)) == (Code.FAILED_PRECONDITION, "INSTANCE_BUSY")
    assert compute.get_instance().name == INSTANCE
    compute.time.product.advance(BUILD)
    compute.delete_instance()
    assert compute.list_instances() == []
    assert [image.source_instance for image in compute.list_images()] == [INSTANCE]


@pytest.mark.rule("C3")
def test_a_new_instance_of_a_deleted_ones_id_is_not_busy(compute: Compute) -> None:
    compute.create_image()
    compute.time.product.advance(BUILD)
    compute.delete_instance()
    compute.create_instance()
    assert compute.get_instance().building_image == ""
    assert compute.create_image().state == Image.STATE_CREATING


# C4: CREATING → AVAILABLE | ERROR, decided at acceptance, settled by whoever looks, never reverted


@pytest.mark.rule("C4")
def test_a_build_ends_at_its_time_and_not_before(compute: Compute) -> None:
    created = compute.create_image()
    assert (created.state, created.progress_percent) == (Image.STATE_CREATING, 0)
    assert not created.HasField("finish_time")
    compute.time.product.advance(BUILD - MICROSECOND)
    nearly = compute.get_image(created.name)
    assert (nearly.state, nearly.progress_percent, nearly.etag) == (Image.STATE_CREATING, 99, created.etag)
    assert {snapshot.state for snapshot in compute.list_snapshots()} == {Snapshot.STATE_CREATING}

    compute.time.product.advance(MICROSECOND)
    done = compute.get_image(created.name)
    assert (done.state, done.progress_percent, done.reason) == (Image.STATE_AVAILABLE, 100, REASON_UNSPECIFIED)
    assert done.finish_time == to_proto(START + BUILD)
    assert done.etag != created.etag
    assert {snapshot.state for snapshot in compute.list_snapshots()} == {Snapshot.STATE_AVAILABLE}


@pytest.mark.rule("C4", "Q1")
def test_a_failed_build_loses_its_snapshots_and_quota_and_keeps_its_record(failing: Compute) -> None:
    created = failing.create_image()
    assert failing.used()["snapshots"] == 3
    failing.time.product.advance(BUILD)
    failed = failing.get_image(created.name)
    assert (failed.state, failed.reason) == (Image.STATE_ERROR, REASON_SNAPSHOT_FAILED)
    assert failed.progress_percent < 100
    assert failed.finish_time == to_proto(START + BUILD)
    assert [(disk.device_name, disk.snapshot) for disk in failed.disks] == [("vda", ""), ("vdb", ""), ("vdc", "")]
    assert failing.list_snapshots() == []
    assert failing.used() == failing.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("C4", "Q1")
def test_the_quota_of_a_failed_build_is_there_for_the_very_request_that_settles_it(failing: Compute) -> None:
    failing.set_limit("images", 1)
    failing.create_image()
    failing.time.product.advance(BUILD)
    assert failing.create_image().state == Image.STATE_CREATING
    assert failing.used() == failing.exists()


@pytest.mark.rule("C4")
def test_a_failed_image_can_be_deleted_and_gives_back_nothing_twice(failing: Compute) -> None:
    name = failing.create_image().name
    failing.time.product.advance(BUILD)
    failing.delete_image(name)
    assert failing.list_images() == []
    assert failing.used() == failing.exists()


@pytest.mark.rule("C4")
@pytest.mark.parametrize(
    "look",
    [
        lambda compute, name: compute.get_image(name).state == Image.STATE_ERROR,
        lambda compute, name: compute.list_images()[0].state == Image.STATE_ERROR,
        lambda compute, name: list_with_state(compute, Image.STATE_CREATING) == [],
        lambda compute, name: len(list_with_state(compute, Image.STATE_ERROR)) == 1,
        lambda compute, name: batch_get(compute, name).state == Image.STATE_ERROR,
        lambda compute, name: compute.list_snapshots() == [],
        lambda compute, name: compute.used()["snapshots"] == 0,
        lambda compute, name: compute.set_limit("images", 1).used == 0,
        lambda compute, name: compute.get_instance().building_image == "",
        lambda compute, name: compute.list_instances()[0].building_image == "",
        lambda compute, name: compute.create_image().state == Image.STATE_CREATING,
        lambda compute, name: compute.resolve((INSTANCE, REQUEST_ID))[0].image.state == Image.STATE_ERROR,
        lambda compute, name: compute.create_image(request_id=REQUEST_ID).state == Image.STATE_ERROR,
        lambda compute, name: compute.delete_instance() is None,
        lambda compute, name: len(compute.attach(cloud("vde")).disks) == 5,
        lambda compute, name: len(compute.detach("vdb").disks) == 3,
        lambda compute, name: compute.stop().building_image == "",
        lambda compute, name: compute.start().building_image == "",
        lambda compute, name: compute.update_image(name, display_name="failed").state == Image.STATE_ERROR,
        lambda compute, name: compute.delete_image(name) is None and compute.used()["images"] == 0,
        lambda compute, name: facts(error_of(compute.create_from, name))[1] == "IMAGE_NOT_AVAILABLE",
    ],
)
def test_whoever_looks_finds_the_build_ended(failing: Compute, look: Callable[[Compute, str], bool]) -> None:
    name = failing.create_image(request_id=REQUEST_ID).name
    failing.time.product.advance(BUILD)
    assert look(failing, name)


def list_with_state(compute: Compute, state: Image.State.ValueType) -> list[Image]:
    return list(compute.images.ListImages(ListImagesRequest(parent=PLACE, filter=ImageFilter(states=[state]))).images)


def batch_get(compute: Compute, name: str) -> Image:
    return compute.images.BatchGetImages(BatchGetImagesRequest(parent=PLACE, names=[name])).results[0].image


@pytest.mark.rule("C4")
@pytest.mark.parametrize("failure_probability", [0.0, 1.0])
def test_an_ended_build_stays_as_it_is_when_the_clock_is_set_back(tmp_path: Path, failure_probability: float) -> None:
    with running_compute(tmp_path, failure_probability=failure_probability) as compute:
        compute.create_instance()
        name = compute.create_image().name
        compute.time.product.advance(BUILD)
        ended = compute.get_image(name)
        compute.time.product.set(START)
        assert compute.get_image(name) == ended
        compute.time.product.advance(timedelta(days=400))
        assert compute.get_image(name) == ended


@pytest.mark.rule("C4", "C5")
@pytest.mark.parametrize("failure_probability", [0.0, 1.0])
def test_builds_and_request_ids_survive_a_restart(tmp_path: Path, failure_probability: float) -> None:
    with running_compute(tmp_path, failure_probability=failure_probability) as before:
        before.create_instance()
        created = before.create_image(request_id=REQUEST_ID)
    # However the service is set up afterwards: the outcome was decided when the build was accepted.
    with running_compute(tmp_path, failure_probability=1.0 - failure_probability) as after:
        assert after.create_image(request_id=REQUEST_ID) == created
        assert after.get_instance().building_image == created.name
        after.time.product.advance(BUILD)
        expected = Image.STATE_ERROR if failure_probability else Image.STATE_AVAILABLE
        assert after.get_image(created.name).state == expected
        assert after.used() == after.exists()
