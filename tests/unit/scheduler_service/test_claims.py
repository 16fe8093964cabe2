"""Who may have its tasks taken up: shares, turns, and where builds may be begun."""

import pytest

from scheduler_service.domain.claims import Admission, Gate, account_of, in_turn, shares

NORTH, SOUTH = "accounts/a/regions/cn-north-1", "accounts/a/regions/cn-south-1"


@pytest.mark.rule("X7")
@pytest.mark.parametrize(
    ("waiting", "room", "expected"),
    [
        ("a", 500, [("a", 500)]),
        ("abc", 9, [("a", 3), ("b", 3), ("c", 3)]),
        ("abc", 8, [("a", 3), ("b", 3), ("c", 2)]),
        ("abc", 2, [("a", 1), ("b", 1)]),
        ("abc", 0, []),
    ],
)
def test_the_room_is_shared_and_no_more_than_it(waiting: str, room: int, expected: list[tuple[str, int]]) -> None:
    assert list(shares(waiting, room)) == expected


@pytest.mark.rule("X7")
@pytest.mark.parametrize(
    ("draw", "expected"), [(0.0, "abcd"), (0.24, "abcd"), (0.25, "bcda"), (0.99, "dabc"), (1.0, "abcd")]
)
def test_anybody_may_be_first_and_the_order_stays(draw: float, expected: str) -> None:
    assert in_turn("abcd", draw) == list(expected)
    assert in_turn("", draw) == []


@pytest.mark.rule("X7")
def test_without_a_limit_all_may_be_begun_but_in_paused_regions() -> None:
    gate = Gate(frozenset({"cn-south-1"}))
    assert (gate.admission(NORTH), gate.admission(SOUTH)) == (Admission.ALL, Admission.EXPIRED)
    assert (gate.is_paused(NORTH), gate.is_paused(SOUTH)) == (False, True)


@pytest.mark.rule("X7")
@pytest.mark.parametrize(("free", "room"), [(2, 2), (0, 0), (-1, 0)])
def test_with_a_limit_no_more_are_begun_than_are_free(free: int, room: int) -> None:
    gate = Gate(free={NORTH: free})
    assert (gate.admission(NORTH), gate.room(NORTH)) == (Admission.HELD, room)


def test_a_place_belongs_to_its_account() -> None:
    assert account_of(NORTH) == "a"
