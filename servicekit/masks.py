"""Update masks: which fields of a resource an update changes.

Every function takes `fields`, the paths that can be changed. A path such as `schedule.interval` reaches into a message;
what lies above it, `schedule`, can be changed as a whole.
"""

import itertools
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from servicekit.errors import FieldViolation

REASON = "UPDATE_MASK_INVALID"
_EVERYTHING = "*"
M = TypeVar("M", bound=Message)


def violations(mask: FieldMask, fields: Collection[str]) -> list[FieldViolation]:
    """Each path that can't be changed. `*` stands for all that can, and alone."""
    if is_everything(mask):
        return []
    known = {path for field in fields for path in itertools.accumulate(field.split("."), "{}.{}".format)}
    allowed = ", ".join(sorted(known))
    return [
        FieldViolation("update_mask", f"must name what can be changed ({allowed}) or be `*`, has {path[:63]!r}", REASON)
        for path in mask.paths
        if path not in known
    ]


def is_everything(mask: FieldMask) -> bool:
    """Whether it is `*`."""
    return list(mask.paths) == [_EVERYTHING]


def chosen(message: Message, mask: FieldMask, fields: Collection[str]) -> frozenset[str]:
    """What an update changes: the paths of the mask; all for `*`, as a whole; without a mask what `message` has set.

    A field without presence (a plain number, text or bool, a list, a map) is set when it is not empty.
    """
    if not mask.paths:
        return frozenset(field for field in fields if _is_set(message, field))
    return frozenset({field.partition(".")[0] for field in fields} if is_everything(mask) else mask.paths)


def _is_set(message: Any, path: str) -> bool:
    name, _, rest = path.partition(".")
    field = message.DESCRIPTOR.fields_by_name[name]
    there = message.HasField(name) if field.has_presence else getattr(message, name)
    return bool(there) and (not rest or _is_set(getattr(message, name), rest))


def merged(stored: M, given: M, paths: Iterable[str]) -> M:
    """A copy of `stored` that has of these paths what `given` has; what `given` lacks is cleared."""
    result = type(stored)()
    result.CopyFrom(stored)
    for path in sorted(paths):
        _replace(result, given, path)
    return result


def _replace(target: Any, given: Any, path: str) -> None:
    name, _, rest = path.partition(".")
    if rest:
        if given.HasField(name) or target.HasField(name):
            _replace(getattr(target, name), getattr(given, name), rest)
        return
    target.ClearField(name)
    FieldMask(paths=[name]).MergeMessage(given, target)
