"""Lists, page by page."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from servicekit.paging import Page, next_token, parse_page

Item = TypeVar("Item")


def page_of(
    request: Any, fetch: Callable[[Page], Sequence[Item]], id_of: Callable[[Item], str]
) -> tuple[list[Item], str]:
    """The items of the page that the request asks for, and the token of the next page.

    `fetch` answers the items of a page in the order of their ids, and one more if more follow.
    """
    query = _query(request)
    page = parse_page(request.page_size, request.page_token, query)
    items, more = page.cut(fetch(page))
    return items, next_token((id_of(items[-1]),), query) if more else ""


def _query(request: Any) -> dict[str, str]:
    """All of the request that must be the same on every page."""
    query = type(request)()
    query.CopyFrom(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    return {"type": request.DESCRIPTOR.full_name, "query": query.SerializeToString(deterministic=True).hex()}
