"""Which of several reasons a request is refused for, and what an accepted one becomes."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from compute_sim.domain.admission import Admission
from compute_sim.domain.images import Image, ImageDisk, ImageState, LeftOutDisk, NewImage
from compute_sim.domain.requests import ImageRequest, RequestFate
from servicekit.ids import Ids
from tests.support import START, error_of
from tests.unit.compute_sim.examples import ACME, WEB, admission, budget, cloud, instance, local, wanted

KEY = ACME.key("request-1")
PAST = START - timedelta(microseconds=1)


def test_an_accepted_request_becomes_an_image_under_construction() -> None:
    decided = admission(instance(disks=(cloud("vda", 40), local("vdb"))))
    key = decided.admit(wanted(display_name="nightly", labels={"a": "b"}, request_id="request-1"))
    (image,) = decided.accepted
    snapshot_id = image.disks[0].snapshot_id
    assert snapshot_id is not None
    assert snapshot_id.startswith("snapshot-")
    assert image == Image(
        key=key,
        display_name="nightly",
        instance_id="web",
        labels={"a": "b"},
        state=ImageState.CREATING,
        disks=(ImageDisk("vda", 40, "vol-vda", snapshot_id),),
        left_out_disks=(LeftOutDisk("vdb", "LOCAL_DISK"),),
        request_id="request-1",
        create_time=START,
        finish_time=START + timedelta(seconds=42),
        fails=False,
        revision=1,
    )
    assert decided.accepted_requests == [ImageRequest(KEY, "web", RequestFate.ACCEPTED, key.id)]


def test_a_refused_request_leaves_nothing_behind() -> None:
    decided = admission(budget=budget(snapshots=0))
    error_of(decided.admit, wanted(request_id="request-1"))
    assert (decided.accepted, decided.accepted_requests, decided.requests) == ([], [], {})


def known(fate: RequestFate, instance_id: str = "web") -> Admission:
    """The request is known, and every other reason to refuse it holds too."""
    image_id = None if fate is RequestFate.RESOLVED else "img-1"
    return replace(HOPELESS, requests={KEY: ImageRequest(KEY, instance_id, fate, image_id)}, instances={})


HOPELESS = admission(instance(building_image_id="img-0", disks=(local("vda"),)), budget=budget(images=0, snapshots=0))


@pytest.mark.parametrize(
    ("decided", "new", "reason"),
    [
        (known(RequestFate.ACCEPTED, "db"), wanted(request_id="request-1", not_after=PAST), "REQUEST_ID_REUSED"),
        (known(RequestFate.RESOLVED), wanted(request_id="request-1", not_after=PAST), "REQUEST_RESOLVED"),
        (known(RequestFate.DELETED), wanted(request_id="request-1", not_after=PAST), "IMAGE_DELETED"),
        (replace(HOPELESS, instances={}), wanted(not_after=PAST), "REQUEST_TOO_LATE"),
        (replace(HOPELESS, instances={}), wanted(), "INSTANCE_NOT_FOUND"),
        (HOPELESS, wanted(), "INSTANCE_BUSY"),
        (replace(HOPELESS, instances={WEB: instance(disks=(local("vda"),))}), wanted(), "LOCAL_SYSTEM_DISK"),
        (replace(HOPELESS, instances={WEB: instance(disks=())}), wanted(), "NO_SYSTEM_DISK"),
        (replace(HOPELESS, instances={WEB: instance()}), wanted(), "IMAGE_QUOTA_EXCEEDED"),
        (admission(budget=budget(snapshots=1)), wanted(), "SNAPSHOT_QUOTA_EXCEEDED"),
    ],
)
def test_the_most_telling_reason_comes_first(decided: Admission, new: NewImage, reason: str) -> None:
    assert error_of(decided.admit, new).reason == reason


def test_a_known_request_is_answered_whatever_speaks_against_a_new_one() -> None:
    answer = known(RequestFate.ACCEPTED).admit(wanted(request_id="request-1", not_after=PAST))
    assert answer == ACME.key("img-1")


def test_the_same_request_id_in_another_region_is_another_request() -> None:
    elsewhere = ACME._replace(region="cn-south-1")
    decided = known(RequestFate.ACCEPTED)
    error = error_of(decided.admit, wanted(place=elsewhere, request_id="request-1"))
    assert error.reason == "INSTANCE_NOT_FOUND"


@pytest.mark.parametrize("request_ids", [[f"request-{number}" for number in range(20)], [""] * 20])
def test_each_build_has_a_course_of_its_own(request_ids: list[str]) -> None:
    """By its request id, or its image's id."""
    doubtful = replace(HOPELESS.simulation, snapshot_failure_probability=0.5)
    fates = set()
    for number, request_id in enumerate(request_ids):
        decided = admission(simulation=doubtful, ids=Ids(Random(number)))
        decided.admit(wanted(request_id=request_id))
        fates.add(decided.accepted[0].fails)
    assert fates == {True, False}
