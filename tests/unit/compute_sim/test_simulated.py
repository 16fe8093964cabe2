"""What tells calls apart, and how they are counted."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf.message import Message

from autoimage.compute.v1.compute_pb2 import Image
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
    BatchGetImagesRequest,
    CreateImageRequest,
    GetImageRequest,
    ListImagesRequest,
    UpdateImageRequest,
)
from compute_sim.servicers import simulated
from compute_sim.servicers.simulated import Attempts, token_of
from servicekit.timestamps import to_proto
from tests.support import START

LATER = to_proto(START)
FIRST, SECOND = CreateImageRequest(request_id="AB"), CreateImageRequest(request_id="cd")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (FIRST, CreateImageRequest(request_id="ab", not_after=LATER), True),
        (FIRST, SECOND, False),
        (CreateImageRequest(devices=["vda"]), CreateImageRequest(devices=["vdb"]), False),
        (GetImageRequest(name="a"), GetImageRequest(name="b"), False),
        (BatchGetImagesRequest(names=["a", "b"]), BatchGetImagesRequest(names=["a", "b"]), True),
        (BatchGetImagesRequest(names=["a", "b"]), BatchGetImagesRequest(names=["b", "a"]), False),
        (
            BatchCreateImagesRequest(parent="a", requests=[FIRST, SECOND]),
            BatchCreateImagesRequest(
                parent="a", requests=[CreateImageRequest(request_id="ab", not_after=LATER), SECOND]
            ),
            True,
        ),
        (
            BatchCreateImagesRequest(parent="a", requests=[FIRST, SECOND]),
            BatchCreateImagesRequest(parent="a", requests=[FIRST]),
            False,
        ),
        (ListImagesRequest(parent="a"), ListImagesRequest(parent="a", page_size=1), False),
        (UpdateImageRequest(image=Image(name="a")), UpdateImageRequest(image=Image(name="b")), False),
    ],
)
def test_a_repeat_has_the_token_of_the_first_and_another_call_has_not(one: Message, other: Message, same: bool) -> None:
    assert (token_of(one) == token_of(other)) is same


def test_each_call_is_counted_by_itself() -> None:
    attempts = Attempts()
    assert [attempts.count(call) for call in ("a", "b", "a", "a", "b")] == [0, 0, 1, 2, 1]


def test_no_attempt_is_lost_or_counted_twice_by_16_threads() -> None:
    attempts = Attempts()
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda _: attempts.count("a"), range(1600)))
    assert sorted(counts) == list(range(1600))


def test_the_calls_that_came_least_lately_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "_MAX_COUNTED", 2)
    attempts = Attempts()
    assert [attempts.count(call) for call in ("a", "b", "a", "c", "a", "b")] == [0, 0, 1, 0, 2, 0]
