"""Update masks: which fields of a resource an update changes."""

from collections.abc import Collection
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from servicekit.errors import FieldViolation

REASON = "UPDATE_MASK_INVALID"
_EVERYTHING = "*"


def violations(mask: FieldMask, fields: Collection[str]) -> list[FieldViolation]:
    """Each path that is none of `fields`, those that can be changed. `*` stands for all of them, and alone."""
    if list(mask.paths) == [_EVERYTHING]:
        return []
    allowed = ", ".join(sorted(fields))
    return [
        FieldViolation("update_mask", f"must name what can be changed ({allowed}) or be `*`, has {path[:63]!r}", REASON)
        for path in mask.paths
        if path not in fields
    ]


def chosen(message: Message, mask: FieldMask, fields: Collection[str]) -> frozenset[str]:
    """The fields that an update changes: those of the mask; all for `*`; without a mask those that `message` has set.

    A field without presence (a plain number, text or bool, a list, a map) is set when it is not empty.
    """
    if not mask.paths:
        return frozenset(field for field in fields if _is_set(message, field))
    return frozenset(fields if _EVERYTHING in mask.paths else mask.paths)


def _is_set(message: Any, name: str) -> bool:
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.has_presence:
        return bool(message.HasField(name))
    return bool(getattr(message, name))
