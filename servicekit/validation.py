"""Pieces of a validator: each looks at one field and answers its violations, none if it is right.

They look at shape only, and pass over what is unset: whether a field must be there is the contract's word (see
`behavior`).
"""

import re
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import regions, timestamps
from servicekit.errors import FieldViolation
from servicekit.names import Pattern, is_id

Violations = list[FieldViolation]
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def fail(field: str, description: str, reason: str = "INVALID_FIELD") -> Violations:
    """One violation, in the form that the other pieces answer."""
    return [FieldViolation(field, description, reason)]


def name(field: str, value: str, pattern: Pattern, *, parent: str = "", wildcards: bool = False) -> Violations:
    """A resource name like `pattern`; with `parent`, one below that name; with `wildcards`, `-` for any id."""
    if not value:
        return []
    if pattern.match(value, wildcards) is None:
        return fail(field, f"must be a name like {pattern.pattern}")
    if parent and not value.startswith(parent + "/"):
        return fail(field, f"must lie below {parent}")
    return []


def resource_id(field: str, value: str) -> Violations:
    """An id chosen by the client: 1–63 lower-case letters, digits and dashes, a letter first, no dash last."""
    if not value or is_id(value):
        return []
    return fail(field, "must be 1 to 63 lower-case letters, digits or dashes, a letter first and no dash last")


def length(field: str, value: str, minimum: int, maximum: int) -> Violations:
    """Code points from `minimum` to `maximum`, both allowed, and no NUL, which databases refuse in text."""
    if "\x00" in value:
        return fail(field, "must not contain the character NUL")
    if value and not minimum <= len(value) <= maximum:
        return fail(field, f"must have {minimum} to {maximum} characters, has {len(value)}")
    return []


def within(field: str, value: int, low: int, high: int) -> Violations:
    """A number from `low` to `high`, both allowed. Looks at 0 too: if 0 means unset, call it for what is set only."""
    return [] if low <= value <= high else fail(field, f"must be from {low} to {high}, is {value}")


def whole_seconds(field: str, value: Duration, low: timedelta, high: timedelta) -> Violations:
    """A duration of whole seconds from `low` to `high`, both allowed. Looks at an unset one too, as at 0."""
    if value.nanos:
        return fail(field, "must be of whole seconds")
    if not low.total_seconds() <= value.seconds <= high.total_seconds():
        return fail(field, f"must be from {low.total_seconds():.0f} to {high.total_seconds():.0f} seconds")
    return []


def count(field: str, values: Collection[object], maximum: int) -> Violations:
    """At most `maximum` items in a repeated field."""
    return [] if len(values) <= maximum else fail(field, f"must have at most {maximum} items, has {len(values)}")


def distinct(field: str, values: Iterable[str]) -> Violations:
    """No value twice; each repetition is told, with its index."""
    seen: set[str] = set()
    found: Violations = []
    for index, value in enumerate(values):
        if value in seen:
            found += fail(f"{field}[{index}]", "is there already")
        seen.add(value)
    return found


def timestamp(field: str, value: Timestamp) -> Violations:
    """A time from year 1 to 9999. `@rpc` looks at every Timestamp of a request already."""
    in_range = timestamps.MIN_SECONDS <= value.seconds <= timestamps.MAX_SECONDS and 0 <= value.nanos <= 999_999_999
    return [] if in_range else fail(field, "must be a time from year 1 to 9999")


def request_id(field: str, value: str) -> Violations:
    """A UUID of any version in canonical text, but not the one of zeros only. Empty: the request is not idempotent."""
    if not value or (_UUID.fullmatch(value) and value.strip("0-")):
        return []
    return fail(field, "must be a UUID such as 123e4567-e89b-42d3-a456-426614174000")


class _Paged(Protocol):
    page_size: int
    page_token: str


def page(request: _Paged) -> Violations:
    """The page size of a list request is not negative. The token is the business of `paging.parse_page`."""
    return [] if request.page_size >= 0 else fail("page_size", "must not be negative")


def region_served(field: str, name: str, served: Collection[str]) -> Violations:
    """The region in a resource name is one of `served`. `@rpc` looks at every name of a request already."""
    return regions.violation(field, name, served)
