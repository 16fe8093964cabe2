"""Pages of lists: 20 items unless asked otherwise, never more than 100, and tokens that fit one query only."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from servicekit.errors import FieldViolation, InvalidArgument

DEFAULT_SIZE = 20
MAX_SIZE = 100
_MAX_TOKEN_LENGTH = 2000
Key = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """What to fetch: `size + 1` rows (the extra one tells that more follow), in the order of a key, after this key."""

    size: int
    after: Key | None

    def cut(self, rows: Sequence[T]) -> tuple[list[T], bool]:
        """The rows of this page out of the `size + 1` fetched, and whether more follow."""
        return list(rows[: self.size]), len(rows) > self.size


def parse_page(page_size: int, page_token: str, query: Mapping[str, Any]) -> Page:
    """The page that a list request asks for. `query` is all that must stay the same between pages: parent and filters.

    A negative size, and a token that is damaged or came from another query, raise InvalidArgument.
    """
    if page_size < 0:
        raise InvalidArgument([FieldViolation("page_size", "must not be negative")])
    return Page(min(page_size or DEFAULT_SIZE, MAX_SIZE), parse_token(page_token, query) if page_token else None)


def next_token(key: Key, query: Mapping[str, Any]) -> str:
    """The token that goes on after `key`, the key of the page's last row."""
    return base64.urlsafe_b64encode(_json([list(key), _seal(list(key), query)])).decode().rstrip("=")


def parse_token(token: str, query: Mapping[str, Any], field: str = "page_token") -> Key:
    """The key that `next_token` was given. Raises InvalidArgument unless it was given the same query."""
    try:
        if len(token) > _MAX_TOKEN_LENGTH:
            raise ValueError("too long")
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        key, seal = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if seal != _seal(key, query):
            raise ValueError("of another query")
        return tuple(key)
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        description = "is not a token of this query; start again without one"
        raise InvalidArgument([FieldViolation(field, description, "PAGE_TOKEN_INVALID")]) from error


def _seal(key: list[str | int], query: Mapping[str, Any]) -> str:
    """Binds key and query together. Stops mistakes, not attackers, who win nothing: the query limits what is seen."""
    return hashlib.sha256(_json([key, dict(query)])).hexdigest()[:16]


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()
