"""Changes of instances and images, and instances made from images (rules C3, C6, Q1), through the public RPCs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from autoimage.compute.v1.compute_pb2 import Image, Instance, InstanceDisk
from servicekit.errors import Code, ServiceError
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
    disks,
    facts,
    local,
    running_compute,
)

GONE = f"{PLACE}/instances/gone"
NO_IMAGE = f"{PLACE}/images/img-0000000000"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Compute]:
    with running_compute(tmp_path) as service:
        yield service


@pytest.fixture
def compute(empty: Compute) -> Compute:
    """With the instance INSTANCE: three cloud disks and a local one, running."""
    empty.create_instance()
    return empty


def names(instance: Instance) -> list[str]:
    return [disk.device_name for disk in instance.disks]


def built(compute: Compute, **fields: Any) -> Image:
    image = compute.create_image(**fields)
    compute.time.product.advance(BUILD)
    return compute.get_image(image.name)


# The states of an instance and what may be done in each (C3)

OK = "OK"
STATES: dict[str, Callable[[Compute], object]] = {
    "running": lambda compute: compute.create_instance(disks=[cloud(), cloud("vdb", 20)]),
    "stopped": lambda compute: compute.create_instance(disks=[cloud(), cloud("vdb", 20)], state=Instance.STATE_STOPPED),
    "running, imaged": lambda compute: (STATES["running"](compute), compute.create_image()),
    "stopped, imaged": lambda compute: (STATES["stopped"](compute), compute.create_image()),
    "stopped, bare": lambda compute: compute.create_instance(disks=[cloud("vdb", 20)], state=Instance.STATE_STOPPED),
    "running, local": lambda compute: compute.create_instance(disks=[local("vda"), cloud("vdb", 20)]),
    "gone": lambda compute: None,
}
ACTIONS: dict[str, Callable[[Compute], object]] = {
    "start": lambda compute: compute.start(),
    "stop": lambda compute: compute.stop(),
    "attach": lambda compute: compute.attach(cloud("vdc", 20)),
    "attach again": lambda compute: compute.attach(cloud("vdb", 20)),
    "attach system": lambda compute: compute.attach(cloud("vda", 40)),
    "detach": lambda compute: compute.detach("vdb"),
    "detach absent": lambda compute: compute.detach("vdz"),
    "detach system": lambda compute: compute.detach("vda"),
    "image": lambda compute: compute.create_image(),
    "delete": lambda compute: compute.delete_instance(),
}
BUSY, RUNNING, CONFLICT = "INSTANCE_BUSY", "INSTANCE_RUNNING", "DISK_CONFLICT"
BARE, LOCAL, MISSING = "NO_SYSTEM_DISK", "LOCAL_SYSTEM_DISK", "RESOURCE_NOT_FOUND"
MACHINE: dict[str, dict[str, str]] = {
    "running": {"attach again": CONFLICT, "attach system": RUNNING, "detach system": RUNNING},
    "stopped": {"attach again": CONFLICT, "attach system": CONFLICT},
    "running, imaged": dict.fromkeys(
        ("attach", "attach again", "attach system", "detach", "detach system", "image", "delete"), BUSY
    ),
    "stopped, imaged": dict.fromkeys(
        ("attach", "attach again", "attach system", "detach", "detach system", "image", "delete"), BUSY
    ),
    "stopped, bare": {"start": BARE, "attach again": CONFLICT, "image": BARE},
    "running, local": {"attach again": CONFLICT, "attach system": RUNNING, "detach system": RUNNING, "image": LOCAL},
    "gone": {**dict.fromkeys(ACTIONS, MISSING), "image": "INSTANCE_NOT_FOUND"},
}


@pytest.mark.rule("C3", "Q1")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_what_may_be_done_to_an_instance_in_each_state(empty: Compute, state: str, action: str) -> None:
    STATES[state](empty)
    before = (empty.list_instances(), empty.list_images())
    expected = MACHINE[state].get(action, OK)
    (outcome,) = at_once([partial(ACTIONS[action], empty)])
    if expected == OK:
        assert not isinstance(outcome, ServiceError), outcome
    else:
        code = Code.NOT_FOUND if state == "gone" else Code.FAILED_PRECONDITION
        assert facts(outcome) == (code, expected)
        assert (empty.list_instances(), empty.list_images()) == before
    assert empty.used() == empty.exists()


def test_an_instance_is_started_and_stopped_and_again_without_effect(compute: Compute) -> None:
    running = compute.get_instance()
    assert compute.start() == running
    stopped = compute.stop()
    assert (stopped.state, stopped.disks) == (Instance.STATE_STOPPED, running.disks)
    assert compute.stop() == compute.get_instance() == stopped
    assert compute.start() == compute.get_instance() == running


@pytest.mark.rule("C3")
def test_a_disk_is_refused_until_the_very_moment_the_build_ends(compute: Compute) -> None:
    image = compute.create_image()
    compute.time.product.advance(BUILD - MICROSECOND)
    for change in (partial(compute.attach, cloud("vde")), partial(compute.detach, "vdb")):
        error = error_of(change)
        assert (facts(error), error.metadata) == (
            (Code.FAILED_PRECONDITION, "INSTANCE_BUSY"),
            {"image": image.name},
        )
    compute.time.product.advance(MICROSECOND)
    assert names(compute.attach(cloud("vde"))) == ["vda", "vdb", "vdc", "vdd", "vde"]


# Disks come and go, and their quota with them (Q1)


@pytest.mark.rule("Q1")
def test_an_attached_disk_has_an_id_and_takes_quota_and_is_in_the_next_image(empty: Compute) -> None:
    empty.create_instance(disks=[cloud(), cloud("vdc", 20)])
    attached = empty.attach(cloud("vdb", 30))
    assert attached == empty.get_instance()
    assert names(attached) == ["vda", "vdb", "vdc"]
    assert attached.disks[1].disk.startswith(f"{PLACE}/disks/vol-")
    assert (attached.disks[1].kind, attached.disks[1].size_gib) == (InstanceDisk.KIND_CLOUD, 30)
    assert empty.used() == empty.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}
    assert [disk.device_name for disk in empty.create_image().disks] == ["vda", "vdb", "vdc"]


@pytest.mark.rule("Q1")
def test_a_local_disk_is_attached_and_detached_without_quota(compute: Compute) -> None:
    compute.set_limit("disks", 0)
    attached = compute.attach(local("vde", 1))
    assert attached.disks[4] == InstanceDisk(device_name="vde", kind=InstanceDisk.KIND_LOCAL, size_gib=1)
    assert compute.detach("vde") == compute.get_instance()
    assert names(compute.get_instance()) == ["vda", "vdb", "vdc", "vdd"]
    assert compute.used()["disks"] == 3


@pytest.mark.rule("Q1")
def test_the_disk_quota_allows_its_limit_and_not_one_more(compute: Compute) -> None:
    compute.set_limit("disks", 4)
    compute.attach(cloud("vde"))
    before = compute.get_instance()
    error = error_of(compute.attach, cloud("vdf"))
    assert facts(error) == (Code.RESOURCE_EXHAUSTED, "DISK_QUOTA_EXCEEDED")
    assert error.metadata == {"limit": "4", "used": "4", "wanted": "1"}
    assert error.quota is not None
    assert error.quota.subject == f"{PLACE}/quotas/disks"
    assert compute.get_instance() == before
    compute.detach("vdb")
    compute.attach(cloud("vdf"))
    assert compute.used() == compute.exists() == {"disks": 4, "images": 0, "instances": 1, "snapshots": 0}


def test_an_instance_takes_8_cloud_disks_and_25_disks_and_not_one_more(empty: Compute) -> None:
    empty.create_instance(disks=[cloud(f"vd{letter}") for letter in "abcdefg"])
    empty.attach(cloud("vdh"))
    assert facts(error_of(empty.attach, cloud("vdi"))) == (Code.FAILED_PRECONDITION, "DISK_CONFLICT")
    for letter in "ijklmnopqrstuvwxy":
        empty.attach(local(f"vd{letter}"))
    error = error_of(empty.attach, local("vdz"))
    assert facts(error) == (Code.FAILED_PRECONDITION, "DISK_CONFLICT")
    assert error.precondition is not None
    assert error.precondition.subject == INSTANCE
    assert len(empty.get_instance().disks) == 25
    assert empty.used() == empty.exists()


def test_the_system_disk_of_a_stopped_instance_is_changed(compute: Compute) -> None:
    compute.stop()
    old = compute.get_instance().disks[0].disk
    assert names(compute.detach("vda")) == ["vdb", "vdc", "vdd"]
    assert facts(error_of(compute.start)) == (Code.FAILED_PRECONDITION, "NO_SYSTEM_DISK")
    assert compute.attach(cloud("vda", 50)).disks[0].disk not in ("", old)
    assert compute.start().state == Instance.STATE_RUNNING
    assert compute.used() == compute.exists()


def test_images_keep_what_they_hold_when_the_disk_goes(compute: Compute) -> None:
    image = built(compute)
    compute.detach("vdb")
    assert compute.get_image(image.name) == image
    assert len(compute.list_snapshots()) == 3


# C6: an instance is made from an image


@pytest.mark.rule("C6", "Q1")
def test_an_instance_from_an_image_has_the_images_disks_made_from_their_snapshots(compute: Compute) -> None:
    image = built(compute, devices=["vdc"])
    copy = compute.create_from(image.name, display_name="copy-1", state=Instance.STATE_STOPPED)
    assert copy == compute.get_instance(f"{PLACE}/instances/copy")
    assert (copy.source_image, copy.display_name, copy.state) == (image.name, "copy-1", Instance.STATE_STOPPED)
    assert [(disk.device_name, disk.size_gib, disk.source_snapshot) for disk in copy.disks] == [
        (disk.device_name, disk.size_gib, disk.snapshot) for disk in image.disks
    ]
    assert {disk.kind for disk in copy.disks} == {InstanceDisk.KIND_CLOUD}
    originals = {disk.disk for disk in compute.get_instance().disks}
    assert len({disk.disk for disk in copy.disks} - originals) == 2
    assert compute.used() == compute.exists() == {"disks": 5, "images": 1, "instances": 2, "snapshots": 2}
    assert (compute.get_instance().source_image, compute.get_instance().disks[0].source_snapshot) == ("", "")


@pytest.mark.rule("C6")
def test_an_instance_outlives_the_image_that_it_was_made_from(compute: Compute) -> None:
    image = built(compute)
    copy = compute.create_from(image.name)
    compute.delete_image(image.name)
    assert compute.get_instance(copy.name) == copy
    assert built(compute, source=copy.name).state == Image.STATE_AVAILABLE


@pytest.mark.rule("C6")
def test_an_image_is_the_source_of_instances_from_the_moment_it_is_available(compute: Compute) -> None:
    image = compute.create_image()
    compute.time.product.advance(BUILD - MICROSECOND)
    error = error_of(compute.create_from, image.name)
    assert facts(error) == (Code.FAILED_PRECONDITION, "IMAGE_NOT_AVAILABLE")
    assert error.metadata == {"state": "CREATING"}
    assert error.precondition is not None
    assert error.precondition.subject == image.name
    assert compute.used() == compute.exists() == {"disks": 3, "images": 1, "instances": 1, "snapshots": 3}
    compute.time.product.advance(MICROSECOND)
    assert compute.create_from(image.name).source_image == image.name


@pytest.mark.rule("C6")
def test_no_instance_is_made_from_a_failed_image_or_one_that_is_gone(tmp_path: Path) -> None:
    with running_compute(tmp_path, failure_probability=1.0) as compute:
        compute.create_instance()
        error = error_of(compute.create_from, built(compute).name)
        assert (facts(error), error.metadata) == (
            (Code.FAILED_PRECONDITION, "IMAGE_NOT_AVAILABLE"),
            {"state": "ERROR"},
        )
        missing = error_of(compute.create_from, NO_IMAGE)
        assert (facts(missing), missing.metadata) == ((Code.NOT_FOUND, "RESOURCE_NOT_FOUND"), {"name": NO_IMAGE})
        assert [instance.name for instance in compute.list_instances()] == [INSTANCE]


@pytest.mark.rule("C6", "Q1")
def test_an_instance_from_an_image_needs_quota_for_all_its_disks(compute: Compute) -> None:
    image = built(compute)
    compute.set_limit("disks", 5)
    error = error_of(compute.create_from, image.name)
    assert facts(error) == (Code.RESOURCE_EXHAUSTED, "DISK_QUOTA_EXCEEDED")
    assert error.metadata == {"limit": "5", "used": "3", "wanted": "3"}
    assert compute.used() == compute.exists()
    compute.set_limit("disks", 6)
    compute.create_from(image.name)
    assert compute.used() == compute.exists()


@pytest.mark.rule("C5", "C6")
def test_a_repeated_request_answers_the_instance_even_when_the_image_is_gone(compute: Compute) -> None:
    image = built(compute)
    copy = compute.create_from(image.name, request_id=REQUEST_ID)
    compute.delete_image(image.name)
    assert compute.create_from(image.name, request_id=REQUEST_ID) == copy
    assert facts(error_of(compute.create_from, image.name, "b", request_id=OTHER_REQUEST_ID))[0] == Code.NOT_FOUND
    error = error_of(compute.create_from, NO_IMAGE, request_id=REQUEST_ID)
    assert facts(error) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")


# Snapshots go with their image


def test_a_snapshot_is_not_deleted_before_its_image(compute: Compute) -> None:
    image = compute.create_image()
    for _ in range(2):
        error = error_of(compute.delete_snapshot, image.disks[0].snapshot)
        assert facts(error) == (Code.FAILED_PRECONDITION, "SNAPSHOT_IN_USE")
        assert error.metadata == {"image": image.name}
        assert len(compute.list_snapshots()) == compute.used()["snapshots"] == 3
        compute.time.product.advance(BUILD)
    compute.delete_image(image.name)
    assert facts(error_of(compute.delete_snapshot, image.disks[0].snapshot)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")


def test_a_snapshot_of_a_failed_image_is_gone(tmp_path: Path) -> None:
    with running_compute(tmp_path, failure_probability=1.0) as compute:
        compute.create_instance()
        snapshot = compute.create_image().disks[0].snapshot
        compute.time.product.advance(BUILD)
        assert facts(error_of(compute.delete_snapshot, snapshot))[0] == Code.NOT_FOUND


# What a client says of an image; protected images stay

EXPIRES = to_proto(START + timedelta(days=30))


def test_an_image_is_made_protected_and_with_an_expire_time(compute: Compute) -> None:
    image = compute.create_image(deletion_protected=True, expire_time=EXPIRES)
    assert (image.deletion_protected, image.expire_time) == (True, EXPIRES)
    plain = compute.create_image(compute.create_instance("db").name)
    assert (plain.deletion_protected, plain.HasField("expire_time")) == (False, False)
    compute.time.product.set(EXPIRES.ToDatetime(START.tzinfo) + timedelta(days=1))
    assert compute.get_image(image.name).state == Image.STATE_AVAILABLE


CHANGES: dict[str, tuple[list[str], dict[str, Any], dict[str, Any]]] = {
    "each by the mask": (
        ["display_name", "labels", "deletion_protected", "expire_time"],
        {"display_name": "b", "labels": {"z": "1"}, "deletion_protected": True, "expire_time": EXPIRES},
        {"display_name": "b", "labels": {"z": "1"}, "deletion_protected": True, "expire_time": EXPIRES},
    ),
    "what is set, without a mask": (
        [],
        {"display_name": "b", "deletion_protected": True},
        {"display_name": "b", "labels": {"a": "1"}, "deletion_protected": True, "expire_time": Timestamp(seconds=9)},
    ),
    "labels, without a mask": (
        [],
        {"labels": {"b": "2"}},
        {"display_name": "a", "labels": {"b": "2"}, "deletion_protected": False, "expire_time": Timestamp(seconds=9)},
    ),
    "what the mask names only": (
        ["labels"],
        {"display_name": "b" * 200, "labels": {}, "expire_time": Timestamp(seconds=-1)},
        {"display_name": "a", "labels": {}, "deletion_protected": False, "expire_time": Timestamp(seconds=9)},
    ),
    "everything, cleared": (
        ["*"],
        {},
        {"display_name": "", "labels": {}, "deletion_protected": False, "expire_time": None},
    ),
    "the expire time, cleared": (
        ["expire_time"],
        {},
        {"display_name": "a", "labels": {"a": "1"}, "deletion_protected": False, "expire_time": None},
    ),
}


@pytest.mark.parametrize(("mask", "fields", "expected"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("outcome", [Image.STATE_CREATING, Image.STATE_AVAILABLE, Image.STATE_ERROR], ids=str)
def test_an_image_is_changed_as_the_mask_says_and_in_nothing_else(
    tmp_path: Path, mask: list[str], fields: dict[str, Any], expected: dict[str, Any], outcome: int
) -> None:
    with running_compute(tmp_path, failure_probability=float(outcome == Image.STATE_ERROR)) as compute:
        compute.create_instance()
        image = compute.create_image(display_name="a", labels={"a": "1"}, expire_time=Timestamp(seconds=9))
        if outcome != Image.STATE_CREATING:
            compute.time.product.advance(BUILD)
        before = compute.get_image(image.name)
        changed = compute.update_image(image.name, mask, etag=before.etag, **fields)
        wanted = Image()
        wanted.CopyFrom(before)
        for field in expected:
            wanted.ClearField(field)  # type: ignore[arg-type]
        wanted.MergeFrom(Image(**expected, etag=changed.etag))
        wanted.display_name = expected["display_name"] or image.name.rpartition("/")[2]
        assert changed == compute.get_image(image.name) == wanted
        assert changed.etag != before.etag
        assert compute.used() == compute.exists()


def test_an_update_that_changes_nothing_leaves_the_etag(compute: Compute) -> None:
    image = built(compute, display_name="a", labels={"a": "1"})
    assert compute.update_image(image.name) == image
    assert compute.update_image(image.name, display_name="a", labels={"a": "1"}) == image
    assert compute.update_image(image.name, ["deletion_protected"]) == image


@pytest.mark.parametrize("change", ["update", "settle"])
def test_an_update_with_an_etag_of_before_is_refused(compute: Compute, change: str) -> None:
    image = compute.create_image()
    if change == "update":
        compute.update_image(image.name, display_name="b")
    else:
        compute.time.product.advance(BUILD)
    now = compute.get_image(image.name)
    error = error_of(compute.update_image, image.name, display_name="c", etag=image.etag)
    assert (facts(error), error.metadata) == ((Code.ABORTED, "STALE_ETAG"), {"name": image.name})
    assert compute.get_image(image.name) == now
    assert compute.update_image(image.name, display_name="c", etag=now.etag).display_name == "c"


def test_of_16_updates_with_the_same_etag_one_counts(compute: Compute) -> None:
    image = built(compute)
    calls = [partial(compute.update_image, image.name, display_name=f"n{n}", etag=image.etag) for n in range(16)]
    outcomes = at_once(calls)
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Image)]
    refused = [facts(outcome) for outcome in outcomes if not isinstance(outcome, Image)]
    assert refused == [(Code.ABORTED, "STALE_ETAG")] * 15
    assert compute.get_image(image.name) == winner


def test_an_update_of_an_image_that_is_gone_is_refused(compute: Compute) -> None:
    error = error_of(compute.update_image, NO_IMAGE, display_name="b")
    assert (facts(error), error.metadata) == ((Code.NOT_FOUND, "RESOURCE_NOT_FOUND"), {"name": NO_IMAGE})


@pytest.mark.parametrize("failure_probability", [0.0, 1.0])
@pytest.mark.parametrize("wait", [timedelta(0), BUILD])
def test_a_protected_image_stays_until_it_is_protected_no_more(
    tmp_path: Path, failure_probability: float, wait: timedelta
) -> None:
    with running_compute(tmp_path, failure_probability=failure_probability) as compute:
        compute.create_instance()
        name = compute.create_image(deletion_protected=True).name
        compute.time.product.advance(wait)
        image = compute.get_image(name)
        for etag in ("", image.etag):
            error = error_of(compute.delete_image, name, etag)
            assert facts(error) == (Code.FAILED_PRECONDITION, "IMAGE_PROTECTED")
            assert error.precondition is not None
            assert error.precondition.subject == name
        assert compute.get_image(name) == image
        compute.update_image(name, ["deletion_protected"])
        assert facts(error_of(compute.delete_image, name, image.etag)) == (Code.ABORTED, "STALE_ETAG")
        compute.delete_image(name)
        assert compute.list_images() == []
        assert compute.used() == compute.exists()


# Q1 under any concurrency


@pytest.mark.rule("Q1")
def test_the_last_disk_goes_to_one_of_16_writers(empty: Compute) -> None:
    empty.create_instance(disks=disks())
    empty.set_limit("disks", 4)
    outcomes = at_once([partial(empty.attach, cloud(f"vd{letter}", 20)) for letter in "efghijklmnopqrst"])
    refused = [facts(outcome) for outcome in outcomes if not isinstance(outcome, Instance)]
    assert refused == [(Code.RESOURCE_EXHAUSTED, "DISK_QUOTA_EXCEEDED")] * 15
    assert empty.used() == empty.exists() == {"disks": 4, "images": 0, "instances": 1, "snapshots": 0}


@pytest.mark.rule("C3", "Q1")
def test_of_an_image_and_changes_at_once_the_image_holds_what_the_instance_has(compute: Compute) -> None:
    for letter in "ef":
        compute.attach(cloud(f"vd{letter}", 20))
    changes: list[Callable[[], object]] = [partial(compute.detach, f"vd{letter}") for letter in "bcef"]
    changes += [partial(compute.attach, cloud(f"vd{letter}", 20)) for letter in "ghi"]
    at_once([*changes, *[compute.create_image] * 9])
    (image,) = compute.list_images()
    held = [disk.device_name for disk in image.disks]
    assert held == [disk.device_name for disk in compute.get_instance().disks if disk.disk]
    assert compute.used() == compute.exists()
