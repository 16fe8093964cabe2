"""What an image holds, and how far it is."""

from datetime import timedelta
from typing import Any

import pytest

from compute_sim.domain.images import ImageState, LeftOutDisk, select_disks
from compute_sim.domain.quotas import QuotaKind
from tests.support import START
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
