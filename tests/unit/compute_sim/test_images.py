"""What an image holds, and how far it is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from compute_sim.domain.images import ImageChange, ImageState, LeftOutDisk, select_disks
from compute_sim.domain.quotas import QuotaKind
from servicekit.errors import Code
from tests.support import START, error_of
from tests.support.told import told
from tests.unit.compute_sim.examples import HOUR, cloud, image, local

DISKS = (cloud("vda"), cloud("vdb"), local("vdc"))
LOCAL = LeftOutDisk("vdc", "LOCAL_DISK")
MISSING = LeftOutDisk("vdx", "NO_SUCH_DISK")


@pytest.mark.parametrize(
    ("devices", "included", "left_out"),
    [
        (set(), ["vda", "vdb"], (LOCAL,)),
        ({"vda"}, ["vda"], ()),
        ({"vdb"}, ["vda", "vdb"], ()),
        ({"vdx", "vdc"}, ["vda"], (LOCAL, MISSING)),
    ],
)
def test_disks_are_selected(devices: set[str], included: list[str], left_out: tuple[LeftOutDisk, ...]) -> None:
    selected, omitted = select_disks(DISKS, devices)
    assert ([disk.device_name for disk in selected], omitted) == (included, left_out)


@pytest.mark.parametrize(
    ("passed", "percent"),
    [
        (-HOUR, 0),
        (timedelta(0), 0),
        (HOUR / 100 - timedelta(microseconds=1), 0),
        (HOUR / 100, 1),
        (HOUR, 99),
        (HOUR * 5, 99),
    ],
)
def test_progress_grows_with_time_and_stays_below_100(passed: timedelta, percent: int) -> None:
    assert image().progress_percent(START + passed) == percent


def test_progress_of_a_build_that_takes_no_time_is_0_until_it_is_settled() -> None:
    assert image(finish_time=START).progress_percent(START) == 0


@pytest.mark.parametrize(("state", "percent"), [(ImageState.AVAILABLE, 100), (ImageState.ERROR, 99)])
def test_progress_of_an_ended_build_stands_still(state: ImageState, percent: int) -> None:
    assert {image(state=state).progress_percent(START + passed) for passed in (-HOUR, HOUR)} == {percent}


@pytest.mark.parametrize("state", [ImageState.CREATING, ImageState.AVAILABLE])
def test_an_image_holds_quota_until_it_fails(state: ImageState) -> None:
    assert image(state=state).quota() == {QuotaKind.IMAGES: 1, QuotaKind.SNAPSHOTS: 1}
    assert image(state=ImageState.ERROR).quota() == {}


@pytest.mark.parametrize(
    ("failed", "passed", "forgettable"),
    [
        ({}, timedelta(days=7) - timedelta(microseconds=1), False),
        ({}, timedelta(days=7), True),
        ({"state": ImageState.AVAILABLE}, timedelta(days=7), False),
        ({"state": ImageState.CREATING}, timedelta(days=7), False),
        ({"deletion_protected": True}, timedelta(days=7), False),
    ],
)
def test_an_unprotected_failure_is_forgettable_after_a_week(
    failed: dict[str, Any], passed: timedelta, forgettable: bool
) -> None:
    ended = image(**{"state": ImageState.ERROR, "finish_time": START, **failed})
    assert ended.is_forgettable(START + passed) is forgettable


def test_an_etag_must_be_that_of_the_image_unless_it_is_left_out() -> None:
    made = image()
    made.check_etag("")
    made.check_etag(made.etag)
    error = error_of(image(revision=2).check_etag, made.etag)
    assert told(error) == (Code.ABORTED, "STALE_ETAG", {"name": made.name}, (("image", made.name),))


def test_a_change_makes_the_next_revision_and_none_makes_none() -> None:
    made = image(display_name="nightly", labels={"a": "b"})
    assert ImageChange().applied(made) == made
    assert ImageChange(display_name="nightly", labels={"a": "b"}).applied(made) == made
    assert ImageChange(display_name="").applied(made) == replace(made, display_name="img-1", revision=2)
    assert ImageChange(labels={}).applied(made) == replace(made, labels={}, revision=2)
    assert ImageChange(deletion_protected=True).applied(made) == replace(made, deletion_protected=True, revision=2)
    expiring = replace(made, expire_time=START, revision=2)
    assert ImageChange(changes_expire_time=True, expire_time=START).applied(made) == expiring
    assert ImageChange(expire_time=START).applied(made) == made
    assert ImageChange(changes_expire_time=True).applied(expiring) == replace(made, revision=3)
