import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import InvalidArgument
from servicekit.paging import Page, next_token, parse_page

QUERY = {"parent": "accounts/acme/regions/cn-north-1", "states": [1, 2]}


@pytest.mark.parametrize(("asked", "given"), [(0, 20), (1, 1), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_the_size_is_20_unless_asked_and_never_more_than_100(asked: int, given: int) -> None:
    assert parse_page(asked, "", QUERY) == Page(given, None)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_page(-1, "", QUERY)
    assert [violation.field for violation in caught.value.violations] == ["page_size"]
    assert caught.value.reason == "INVALID_ARGUMENT"


@given(st.lists(st.one_of(st.text(max_size=100), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=3))
def test_a_token_brings_back_its_key(key: list[str | int]) -> None:
    token = next_token(tuple(key), QUERY)
    assert parse_page(0, token, dict(reversed(QUERY.items()))) == Page(20, tuple(key))


def test_the_size_may_change_between_pages() -> None:
    assert parse_page(7, next_token(("a",), QUERY), QUERY) == Page(7, ("a",))


def _tampered() -> list[str]:
    token = next_token(("b", 7), QUERY)
    key, seal = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    forged = [[["a", 7], seal], [key], [key, seal, 1], {"a": 1, "b": 2}, 7, None, "ab", [None, seal], [{}, seal]]
    texts = [base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=") for content in forged]
    return [*texts, token[:-1], token[1:], token + "A", "x", "!", "é", "=", "AAAA", "[" * 2500, token * 100]


@pytest.mark.parametrize("token", _tampered())
def test_a_damaged_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_page(0, token, QUERY)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


@pytest.mark.parametrize("query", [{}, {**QUERY, "states": [1]}, {**QUERY, "parent": "other"}, {**QUERY, "more": ""}])
def test_a_token_of_another_query_is_refused(query: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_page(0, next_token(("b", 7), QUERY), query)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_the_extra_row_tells_that_more_follow() -> None:
    page = Page(2, None)
    assert page.cut([]) == ([], False)
    assert page.cut([1, 2]) == ([1, 2], False)
    assert page.cut([1, 2, 3]) == ([1, 2], True)
