import pytest

from servicekit import regions
from servicekit.errors import FieldViolation
from tests.unit.servicekit.example import GetBookRequest, book, create_request

SERVED = {"cn-north-1"}
AWAY = "accounts/acme/regions/mars-1"


def test_names_of_regions_served_pass() -> None:
    assert regions.violations(create_request(), SERVED) == []


def test_every_name_of_another_region_is_told_with_its_path_and_reason() -> None:
    request = create_request(
        parent=AWAY, book=book(shelf=AWAY + "/shelves/a", shelves=[AWAY, "accounts/b/regions/cn-north-1"])
    )
    assert regions.violations(request, SERVED) == [
        FieldViolation(path, "region mars-1 is not served here", "REGION_NOT_SERVED")
        for path in ("parent", "book.shelf", "book.shelves[0]")
    ]


def test_items_that_are_looked_at_one_by_one_are_left_out() -> None:
    request = book(shelves=[AWAY], shelf=AWAY)
    found = regions.violations(request, SERVED, items="shelves", path="books[1].")
    assert [violation.field for violation in found] == ["books[1].shelf"]


@pytest.mark.parametrize(
    "name",
    ["", "-", "nonsense", "accounts/a/regions/-", "accounts/-/regions/-/books/b", "regions/-", "shelves/regions/x"],
)
def test_wildcards_and_what_is_no_name_pass(name: str) -> None:
    assert regions.violations(GetBookRequest(name=name), SERVED) == []


def test_the_region_of_a_name() -> None:
    assert regions.region_of("accounts/a/regions/r/books/b") == "r"
    assert regions.region_of("accounts/a/regions/r") == "r"
    assert regions.region_of("regions/r") == "r"
    assert regions.region_of("accounts/a") is None
