"""ImageService, each method on a real server; how builds go is in the rules' tests."""

import re

import pytest
from google.protobuf.message import Message

from autoimage.compute.v1.compute_pb2 import Image, ImageDisk
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
    BatchGetImagesRequest,
    BatchGetImagesResponse,
    ImageFilter,
    ImageResult,
    ListImagesRequest,
)
from autoimage.compute.v1.instance_service_pb2 import BatchGetInstancesResponse, InstanceResult
from autoimage.type.v1.disks_pb2 import LeftOutDisk
from autoimage.type.v1.reason_pb2 import REASON_IMAGE_DELETED, REASON_LOCAL_DISK, REASON_REQUEST_RESOLVED
from servicekit.client import MAX_MESSAGE_BYTES
from servicekit.errors import Code, ResourceRef
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.compute_sim import (
    BUILD,
    BULKY,
    INSTANCE,
    OTHER_REQUEST_ID,
    PLACE,
    REQUEST_ID,
    Compute,
    cloud,
    facts,
    image_request,
    local,
)

FOREIGN = "accounts/globex/regions/cn-north-1"
EVERYWHERE = "accounts/-/regions/-"
DB = f"{FOREIGN}/instances/db"
GONE = f"{PLACE}/images/img-0000000000"


@pytest.fixture
def compute(compute: Compute) -> Compute:
    """With the instances INSTANCE, and DB of another account."""
    compute.create_instance()
    compute.create_instance("db", parent=FOREIGN)
    return compute


# Create and get


def test_a_created_image_is_answered_and_can_be_read(compute: Compute) -> None:
    labels = {"policy": "nightly", "a_b-1": "", "z": "值" * 256}
    created = compute.create_image(display_name="每日 1", labels=labels, devices=["vdd", "vdb"], request_id=REQUEST_ID)
    image_id = created.name.rpartition("/")[2]
    assert re.fullmatch("img-[a-z0-9]{10}", image_id)
    snapshots = [disk.snapshot for disk in created.disks]
    assert all(re.fullmatch(PLACE + "/snapshots/snapshot-[a-z0-9]{10}", name) for name in snapshots)
    assert created == Image(
        name=f"{PLACE}/images/{image_id}",
        display_name="每日 1",
        source_instance=INSTANCE,
        labels=labels,
        state=Image.STATE_CREATING,
        progress_percent=0,
        disks=[
            ImageDisk(device_name="vda", size_gib=40, snapshot=snapshots[0]),
            ImageDisk(device_name="vdb", size_gib=20, snapshot=snapshots[1]),
        ],
        left_out_disks=[LeftOutDisk(device_name="vdd", reason=REASON_LOCAL_DISK)],
        request_id=REQUEST_ID,
        create_time=to_proto(START),
        etag=created.etag,
    )
    assert created.etag
    assert compute.get_image(created.name) == created


def test_an_image_is_called_by_its_id_unless_named(compute: Compute) -> None:
    created = compute.create_image()
    assert created.name == f"{PLACE}/images/{created.display_name}"


def test_progress_is_the_share_of_the_time_that_has_passed(compute: Compute) -> None:
    name = compute.create_image().name
    compute.time.product.advance(BUILD / 2)
    assert compute.get_image(name).progress_percent == 50


def test_an_image_of_an_unknown_instance_is_refused(compute: Compute) -> None:
    missing = f"{PLACE}/instances/gone"
    error = error_of(compute.create_image, missing)
    assert facts(error) == (Code.NOT_FOUND, "INSTANCE_NOT_FOUND")
    assert (error.metadata, error.resource) == ({"name": missing}, ResourceRef("instance", missing))
    assert compute.used()["images"] == 0


def test_an_unknown_image_is_not_found(compute: Compute) -> None:
    error = error_of(compute.get_image, GONE)
    assert (facts(error), error.metadata) == ((Code.NOT_FOUND, "RESOURCE_NOT_FOUND"), {"name": GONE})


def test_an_image_is_not_found_under_another_account(compute: Compute) -> None:
    name = compute.create_image().name
    assert facts(error_of(compute.get_image, name.replace("acme", "globex")))[0] == Code.NOT_FOUND


# Batches


def test_a_batch_answers_each_request_in_its_place(compute: Compute) -> None:
    known = compute.create_image(DB, request_id=REQUEST_ID)
    requests = [
        image_request(),
        image_request(f"{PLACE}/instances/gone"),
        image_request(INSTANCE, parent=FOREIGN),
        image_request(DB, request_id=REQUEST_ID),
        image_request(devices=["sda"], labels={"Key": "x"}),
    ]
    results = compute.images.BatchCreateImages(BatchCreateImagesRequest(parent=EVERYWHERE, requests=requests)).results
    assert results[0].image == compute.list_images()[0]
    assert results[3].image == known
    errors = {index: from_status(results[index].error) for index in (1, 2, 4)}
    assert facts(errors[1]) == (Code.NOT_FOUND, "INSTANCE_NOT_FOUND")
    assert [violation.field for violation in errors[2].violations] == ["requests[2].image.source_instance"]
    assert [violation.field for violation in errors[4].violations] == [
        "requests[4].image.labels",
        "requests[4].devices[0]",
    ]
    assert compute.used() == compute.exists()


def test_a_batch_refuses_the_items_of_another_place_than_its_own(compute: Compute) -> None:
    requests = [image_request(DB), image_request(), image_request("nonsense")]
    results = compute.images.BatchCreateImages(BatchCreateImagesRequest(parent=PLACE, requests=requests)).results
    assert [violation.field for violation in from_status(results[0].error).violations] == ["requests[0].parent"]
    assert results[1].image.source_instance == INSTANCE
    assert {violation.field for violation in from_status(results[2].error).violations} == {
        "requests[2].parent",
        "requests[2].image.source_instance",
    }
    assert compute.list_images(FOREIGN) == []


def test_a_batch_tells_which_regions_are_served(compute: Compute) -> None:
    place = "accounts/acme/regions/mars"
    request = BatchCreateImagesRequest(
        parent=EVERYWHERE, requests=[image_request(f"{place}/instances/web"), image_request()]
    )
    first, second = compute.images.BatchCreateImages(request).results
    error = from_status(first.error)
    assert facts(error) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")
    assert error.metadata == {"regions": "cn-north-1,cn-south-1"}
    assert second.image.state == Image.STATE_CREATING


def test_a_batch_gets_each_name_in_its_place(compute: Compute) -> None:
    web, db = compute.create_image(), compute.create_image(DB)
    names = [db.name, GONE, INSTANCE, web.name, "accounts/acme/regions/mars/images/img-1"]
    results = compute.images.BatchGetImages(BatchGetImagesRequest(parent=EVERYWHERE, names=names)).results
    assert (results[0].image, results[3].image) == (db, web)
    errors = [facts(from_status(results[index].error)) for index in (1, 2, 4)]
    assert errors == [
        (Code.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED"),
    ]
    foreign = compute.images.BatchGetImages(BatchGetImagesRequest(parent=PLACE, names=[db.name])).results[0]
    assert facts(from_status(foreign.error)) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")


# List


def test_a_list_holds_what_fits_every_field_of_the_filter(compute: Compute) -> None:
    first = compute.create_image()
    compute.time.product.advance(BUILD)
    second = compute.create_image()
    compute.create_image(DB)
    ids = {image.name: image.name.rpartition("/")[2] for image in (first, second)}

    def names(**filter: object) -> set[str]:
        request = ListImagesRequest(parent=PLACE, filter=ImageFilter(**filter))  # type: ignore[arg-type]
        return {image.name for image in compute.images.ListImages(request).images}

    assert names() == set(ids)
    assert names(image_ids=[ids[second.name], "img-other"]) == {second.name}
    assert names(states=[Image.STATE_AVAILABLE]) == {first.name}
    assert names(states=[Image.STATE_AVAILABLE, Image.STATE_CREATING]) == set(ids)
    assert names(states=[Image.STATE_ERROR]) == set()
    assert names(source_instance=INSTANCE) == set(ids)
    assert names(source_instance=f"{PLACE}/instances/db") == set()
    assert names(source_instance=INSTANCE, states=[Image.STATE_CREATING]) == {second.name}


def test_pages_follow_each_other_in_the_order_of_ids(compute: Compute) -> None:
    for _ in range(3):
        compute.create_image()
        compute.time.product.advance(BUILD)
    request = ListImagesRequest(parent=PLACE, page_size=1)
    names = []
    while True:
        page = compute.images.ListImages(request)
        names += [image.name for image in page.images]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert len(names) == 3
    assert names == sorted(names)


# The largest messages


def test_the_largest_batches_fit_in_a_message(compute: Compute) -> None:
    place = f"accounts/{'a' * 63}/regions/cn-north-1"
    disks = [
        *(cloud(f"vd{letter}") for letter in "abcdefgh"),
        *(local(f"vd{letter}") for letter in "ijklmnopqrstuvwxy"),
    ]
    source = compute.create_instance("i" * 63, parent=place, disks=disks, display_name="国" * 32)
    request = image_request(
        source.name,
        display_name="国" * 128,
        labels=BULKY,
        deletion_protected=True,
        expire_time=to_proto(START),
        devices=[f"vd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"],
        request_id=REQUEST_ID,
        not_after=to_proto(START),
    )
    image = compute.images.CreateImage(request)
    messages: list[Message] = [
        BatchCreateImagesRequest(parent=EVERYWHERE, requests=[request] * 500),
        BatchGetImagesResponse(results=[ImageResult(image=image)] * 500),
        BatchGetInstancesResponse(results=[InstanceResult(instance=compute.get_instance(source.name))] * 500),
    ]
    assert [message.ByteSize() < MAX_MESSAGE_BYTES for message in messages] == [True] * 3
    assert len(image.left_out_disks) == 18


# Delete


def test_a_deleted_image_is_gone_with_its_snapshots(compute: Compute) -> None:
    image = compute.create_image()
    compute.delete_image(image.name, image.etag)
    for call in (compute.get_image, compute.delete_image):
        assert facts(error_of(call, image.name)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert (compute.list_images(), compute.list_snapshots()) == ([], [])


def test_an_image_that_has_changed_is_not_deleted_by_an_old_etag(compute: Compute) -> None:
    image = compute.create_image()
    compute.time.product.advance(BUILD)
    error = error_of(compute.delete_image, image.name, image.etag)
    assert (facts(error), error.metadata) == ((Code.ABORTED, "STALE_ETAG"), {"name": image.name})
    compute.delete_image(image.name, compute.get_image(image.name).etag)
    assert compute.list_images() == []


# Resolve


def test_requests_of_several_accounts_are_resolved_in_their_order(compute: Compute) -> None:
    deleted = compute.create_image(request_id=REQUEST_ID)
    compute.delete_image(deleted.name)
    image = compute.create_image(DB, request_id=REQUEST_ID)
    results = compute.resolve((f"{PLACE}/instances/never", OTHER_REQUEST_ID), (DB, REQUEST_ID), (INSTANCE, REQUEST_ID))
    assert results[0].refused == REASON_REQUEST_RESOLVED
    assert results[1].image == image
    assert results[2].refused == REASON_IMAGE_DELETED
