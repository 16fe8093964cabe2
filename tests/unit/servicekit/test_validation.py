from datetime import timedelta
from types import SimpleNamespace

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import validation as v
from servicekit.errors import FieldViolation
from servicekit.names import ACCOUNT_REGION, POLICY

PARENT = "accounts/acme/regions/cn-north-1"


def test_a_name_must_be_of_its_kind_and_below_its_parent() -> None:
    name = PARENT + "/policies/p"
    assert v.name("name", name, POLICY) == []
    assert v.name("name", name, POLICY, parent=PARENT) == []
    assert v.name("name", "", POLICY, parent=PARENT) == []
    assert v.name("name", PARENT, POLICY) == [FieldViolation("name", f"must be a name like {POLICY.pattern}")]
    other = PARENT + "0"
    assert v.name("name", name, POLICY, parent=other) == [FieldViolation("name", f"must lie below {other}")]


def test_wildcards_are_taken_where_they_may_be() -> None:
    assert v.name("parent", "accounts/-/regions/-", ACCOUNT_REGION, wildcards=True) == []
    assert v.name("parent", "accounts/-/regions/-", ACCOUNT_REGION) != []


@pytest.mark.parametrize(
    ("text", "right"), [("", True), ("a-1", True), ("a" * 63, True), ("a" * 64, False), ("A", False)]
)
def test_resource_ids(text: str, right: bool) -> None:
    assert (v.resource_id("policy_id", text) == []) is right


@pytest.mark.parametrize(
    ("text", "right"), [("", True), ("a", False), ("ab", True), ("长" * 4, True), ("😀" * 5, False), ("a\x00", False)]
)
def test_lengths_are_counted_in_code_points_from_end_to_end(text: str, right: bool) -> None:
    assert (v.length("display_name", text, 2, 4) == []) is right


@pytest.mark.parametrize(("number", "right"), [(1, False), (2, True), (4, True), (5, False)])
def test_numbers_from_end_to_end(number: int, right: bool) -> None:
    want = [] if right else [FieldViolation("count", f"must be from 2 to 4, is {number}")]
    assert v.within("count", number, 2, 4) == want


@pytest.mark.parametrize(("number", "right"), [(0, True), (3, True), (4, False)])
def test_counts(number: int, right: bool) -> None:
    assert (v.count("requests", ["x"] * number, 3) == []) is right


def test_each_repetition_is_told_at_its_index() -> None:
    assert v.distinct("devices", ["a", "b"]) == []
    assert v.distinct("devices", ["a", "b", "a", "a"]) == [
        FieldViolation("devices[2]", "is there already"),
        FieldViolation("devices[3]", "is there already"),
    ]


def test_timestamps() -> None:
    assert v.timestamp("start_time", Timestamp(seconds=0)) == []
    assert v.timestamp("start_time", Timestamp(seconds=2**62)) != []
    assert v.timestamp("start_time", Timestamp(nanos=-1)) != []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("", True),
        ("123e4567-e89b-12d3-a456-426614174000", True),
        ("123E4567-E89B-72D3-A456-426614174000", True),
        ("123e4567e89b12d3a456426614174000", False),
        ("{123e4567-e89b-12d3-a456-426614174000}", False),
        ("123e4567-e89b-12d3-a456-42661417400", False),
        ("123e4567-e89b-12d3-a456-426614174000\n", False),
        ("00000000-0000-0000-0000-000000000000", False),
    ],
)
def test_request_ids_are_uuids_of_any_version(text: str, right: bool) -> None:
    assert (v.request_id("request_id", text) == []) is right


@pytest.mark.parametrize(("size", "right"), [(-1, False), (0, True), (1000, True)])
def test_page_sizes(size: int, right: bool) -> None:
    assert (v.page(SimpleNamespace(page_size=size, page_token="")) == []) is right


def test_regions() -> None:
    served = {"cn-north-1"}
    assert v.region_served("parent", PARENT, served) == []
    assert v.region_served("parent", "accounts/-/regions/-", served) == []
    assert v.region_served("parent", "nonsense", served) == []
    assert v.region_served("parent", "accounts/a/regions/mars", served) == [
        FieldViolation("parent", "region mars is not served here", "REGION_NOT_SERVED")
    ]


@pytest.mark.parametrize(
    ("duration", "right"),
    [
        (Duration(), False),
        (Duration(seconds=1), False),
        (Duration(seconds=2), True),
        (Duration(seconds=5), True),
        (Duration(seconds=6), False),
        (Duration(seconds=-3), False),
        (Duration(seconds=3, nanos=1), False),
    ],
)
def test_durations_of_whole_seconds_from_end_to_end(duration: Duration, right: bool) -> None:
    low, high = timedelta(seconds=2), timedelta(seconds=5)
    assert [each.field for each in v.whole_seconds("spread", duration, low, high)] == ([] if right else ["spread"])
