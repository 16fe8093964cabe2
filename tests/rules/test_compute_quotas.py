"""Rule Q1, quotas, through the public RPCs."""

import random
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from autoimage.compute.v1.compute_pb2 import Image, Instance
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
)
from servicekit.errors import Code, QuotaViolation, ServiceError
from servicekit.status import from_rpc_error
from tests.support import at_once, error_of
from tests.support.compute_sim import (
    BUILD,
    PLACE,
    Compute,
    cloud,
    disks,
    facts,
    image_request,
    local,
    running_compute,
)

ELSEWHERE = "accounts/acme/regions/cn-south-1"
NOTHING = {"disks": 0, "images": 0, "instances": 0, "snapshots": 0}


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Compute]:
    with running_compute(tmp_path) as service:
        yield service


@pytest.fixture
def compute(empty: Compute) -> Compute:
    """With the instance INSTANCE: three cloud disks and a local one."""
    empty.create_instance()
    return empty


@pytest.mark.rule("Q1")
def test_every_account_has_the_default_quotas(empty: Compute) -> None:
    assert empty.limits() == {"disks": 40, "images": 5, "instances": 20, "snapshots": 15}
    assert empty.used() == NOTHING


def fill(compute: Compute, count: int, **fields: Any) -> None:
    """Instances `i-0`, `i-1`…"""
    for number in range(count):
        compute.create_instance(f"i-{number}", **fields)


def name(number: int) -> str:
    return f"{PLACE}/instances/i-{number}"


@pytest.mark.rule("Q1")
def test_the_image_quota_allows_its_limit_and_not_one_more(empty: Compute) -> None:
    fill(empty, 6, disks=[cloud()])
    for number in range(5):
        empty.create_image(name(number))
    error = error_of(empty.create_image, name(5))
    assert facts(error) == (Code.RESOURCE_EXHAUSTED, "IMAGE_QUOTA_EXCEEDED")
    assert error.metadata == {"limit": "5", "used": "5", "wanted": "1"}
    assert error.quota == QuotaViolation(f"{PLACE}/quotas/images", error.message)
    assert empty.used() == empty.exists() == {"disks": 6, "images": 5, "instances": 6, "snapshots": 5}


@pytest.mark.rule("Q1")
def test_without_snapshot_quota_for_all_disks_nothing_is_taken(compute: Compute) -> None:
    compute.set_limit("snapshots", 2)
    error = error_of(compute.create_image)
    assert facts(error) == (Code.RESOURCE_EXHAUSTED, "SNAPSHOT_QUOTA_EXCEEDED")
    assert error.metadata == {"limit": "2", "used": "0", "wanted": "3"}
    assert compute.used() == compute.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}
    compute.set_limit("snapshots", 3)
    compute.create_image()
    assert compute.used()["snapshots"] == 3


@pytest.mark.rule("Q1")
def test_a_batch_takes_as_much_as_there_is_in_its_order(empty: Compute) -> None:
    fill(empty, 4, disks=[cloud("vda"), cloud("vdb")])
    empty.set_limit("snapshots", 5)
    requests = [image_request(name(number)) for number in range(3)] + [image_request(name(3), devices=["vda"])]
    results = empty.images.BatchCreateImages(BatchCreateImagesRequest(parent=PLACE, requests=requests)).results
    assert [result.WhichOneof("result") for result in results] == ["image", "image", "error", "image"]
    assert empty.used() == empty.exists() == {"disks": 8, "images": 3, "instances": 4, "snapshots": 5}


@pytest.mark.rule("Q1")
@pytest.mark.parametrize(
    ("quota", "limit", "reason"),
    [("images", 3, "IMAGE_QUOTA_EXCEEDED"), ("snapshots", 6, "SNAPSHOT_QUOTA_EXCEEDED")],
)
def test_the_last_place_goes_to_one_of_16_writers(empty: Compute, quota: str, limit: int, reason: str) -> None:
    fill(empty, 18, disks=[cloud("vda"), cloud("vdb")])
    empty.set_limit("images", 18)
    empty.set_limit(quota, limit)
    empty.create_image(name(16))
    empty.create_image(name(17))
    outcomes = at_once([partial(empty.create_image, name(number)) for number in range(16)])
    refused = [facts(outcome) for outcome in outcomes if not isinstance(outcome, Image)]
    assert refused == [(Code.RESOURCE_EXHAUSTED, reason)] * 15
    assert empty.used() == empty.exists() == {"disks": 36, "images": 3, "instances": 18, "snapshots": 6}


@pytest.mark.rule("Q1")
@pytest.mark.parametrize(
    ("quota", "limit", "reason"), [("instances", 1, "INSTANCE_QUOTA_EXCEEDED"), ("disks", 3, "DISK_QUOTA_EXCEEDED")]
)
def test_the_last_place_for_an_instance_goes_to_one_of_16_writers(
    empty: Compute, quota: str, limit: int, reason: str
) -> None:
    empty.set_limit(quota, limit)
    two_disks = [cloud("vda"), cloud("vdb")]
    outcomes = at_once([partial(empty.create_instance, f"i-{number}", disks=two_disks) for number in range(16)])
    refused = [facts(outcome) for outcome in outcomes if not isinstance(outcome, Instance)]
    assert refused == [(Code.RESOURCE_EXHAUSTED, reason)] * 15
    assert empty.used() == empty.exists() == {"disks": 2, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("Q1")
def test_the_last_disk_goes_to_one_of_16_instances(empty: Compute) -> None:
    fill(empty, 16, disks=[cloud()])
    empty.set_limit("disks", 17)
    outcomes = at_once([partial(empty.attach, cloud("vdb"), name(number)) for number in range(16)])
    refused = [facts(outcome) for outcome in outcomes if not isinstance(outcome, Instance)]
    assert refused == [(Code.RESOURCE_EXHAUSTED, "DISK_QUOTA_EXCEEDED")] * 15
    assert empty.used() == empty.exists() == {"disks": 17, "images": 0, "instances": 16, "snapshots": 0}


@pytest.mark.rule("Q1")
def test_16_deletions_of_one_image_give_its_quota_back_once(compute: Compute) -> None:
    image = compute.create_image()
    outcomes = at_once([partial(compute.delete_image, image.name)] * 16)
    refused = [facts(outcome) for outcome in outcomes if isinstance(outcome, ServiceError)]
    assert refused == [(Code.NOT_FOUND, "RESOURCE_NOT_FOUND")] * 15
    assert compute.used() == compute.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("Q1")
@pytest.mark.parametrize("wait", [timedelta(0), BUILD])
def test_deleting_an_image_gives_its_quota_back_built_or_not(compute: Compute, wait: timedelta) -> None:
    image = compute.create_image()
    compute.time.product.advance(wait)
    compute.delete_image(image.name)
    assert compute.used() == compute.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}
    assert compute.get_instance().building_image == ""
    compute.create_image()


@pytest.mark.rule("Q1")
def test_a_limit_below_use_refuses_new_images_only(compute: Compute) -> None:
    name = compute.create_image().name
    assert compute.set_limit("images", 0).used == 1
    compute.time.product.advance(BUILD)
    assert facts(error_of(compute.create_image)) == (Code.RESOURCE_EXHAUSTED, "IMAGE_QUOTA_EXCEEDED")
    assert compute.get_image(name).state == Image.STATE_AVAILABLE
    compute.delete_image(name)
    assert compute.used()["images"] == 0


@pytest.mark.rule("Q1")
def test_instances_and_cloud_disks_have_quotas_and_local_disks_have_none(empty: Compute) -> None:
    empty.set_limit("disks", 2)
    empty.create_instance("a", disks=[cloud("vda"), local("vdb"), local("vdc")])
    error = error_of(empty.create_instance, "b", disks=[cloud("vda"), cloud("vdb")])
    assert facts(error) == (Code.RESOURCE_EXHAUSTED, "DISK_QUOTA_EXCEEDED")
    assert error.metadata == {"limit": "2", "used": "1", "wanted": "2"}
    empty.set_limit("instances", 1)
    assert facts(error_of(empty.create_instance, "c")) == (Code.RESOURCE_EXHAUSTED, "INSTANCE_QUOTA_EXCEEDED")
    assert empty.used() == empty.exists() == {"disks": 1, "images": 0, "instances": 1, "snapshots": 0}
    empty.delete_instance(f"{PLACE}/instances/a")
    assert empty.used() == NOTHING


@pytest.mark.rule("Q1")
def test_each_region_has_its_own_quotas(compute: Compute) -> None:
    compute.set_limit("instances", 1)
    compute.create_instance(parent=ELSEWHERE)
    assert compute.limits(ELSEWHERE)["instances"] == 20
    assert compute.used(ELSEWHERE) == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("Q1")
def test_used_is_what_exists_after_16_writers_did_what_they_liked(tmp_path: Path) -> None:
    with running_compute(tmp_path, failure_probability=0.2) as compute:
        compute.set_limit("disks", 20)
        compute.set_limit("instances", 6)
        fill(compute, 6, disks=disks())
        for _ in range(4):
            outcomes = at_once([partial(do_anything, compute, random.Random(f"{_}/{n}")) for n in range(16)])
            assert not [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
            assert {refusal for refused in outcomes for refusal in cast("list[Any]", refused)} <= EXPECTED
            used, limits = compute.used(), compute.limits()
            assert all(used[quota] <= limits[quota] for quota in used)
            assert compute.used() == compute.exists()
            compute.time.product.advance(BUILD)
        assert compute.used() == compute.exists()


ACTIONS = ("image", "image", "delete image", "delete instance", "instance", "attach", "attach", "detach", "copy")
EXPECTED = {
    (Code.ALREADY_EXISTS, "RESOURCE_EXISTS"),
    (Code.FAILED_PRECONDITION, "DISK_CONFLICT"),
    (Code.FAILED_PRECONDITION, "IMAGE_NOT_AVAILABLE"),
    (Code.FAILED_PRECONDITION, "INSTANCE_BUSY"),
    (Code.NOT_FOUND, "INSTANCE_NOT_FOUND"),
    (Code.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    (Code.RESOURCE_EXHAUSTED, "DISK_QUOTA_EXCEEDED"),
    (Code.RESOURCE_EXHAUSTED, "IMAGE_QUOTA_EXCEEDED"),
    (Code.RESOURCE_EXHAUSTED, "INSTANCE_QUOTA_EXCEEDED"),
    (Code.RESOURCE_EXHAUSTED, "SNAPSHOT_QUOTA_EXCEEDED"),
}


def do_anything(compute: Compute, draw: random.Random) -> list[tuple[Code, str]]:
    """Does eight things; what was refused of them."""
    refused = []
    for _ in range(8):
        try:
            do_something(compute, draw)
        except grpc.RpcError as error:
            refused.append(facts(from_rpc_error(error)))
    return refused


def do_something(compute: Compute, draw: random.Random) -> None:
    target, device, images = name(draw.randrange(6)), draw.choice("befg"), compute.list_images()
    action = draw.choice(ACTIONS)
    if action == "image":
        compute.create_image(target)
    elif action == "delete image" and images:
        compute.delete_image(draw.choice(images).name)
    elif action == "delete instance":
        compute.delete_instance(target)
    elif action == "attach":
        compute.attach(draw.choice((cloud, local))(f"vd{device}", 20), target)
    elif action == "detach":
        compute.detach(f"vd{device}", target)
    elif action == "copy" and images:
        compute.create_from(draw.choice(images).name, target.rpartition("/")[2])
    elif action == "instance":
        compute.create_instance(target.rpartition("/")[2])
