"""A deployment serves the regions of its configuration; every name in a request is held against them, in one place."""

import functools
import re
from collections.abc import Collection, Iterator
from typing import Any

from google.api import resource_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from servicekit.errors import FieldViolation

# The stubs of googleapis-common-protos and protobuf do not fit each other here.
_REFERENCE: Any = resource_pb2.resource_reference
REASON = "REGION_NOT_SERVED"
_REGION = re.compile(r"accounts/[^/]*/regions/([^/]+)(?:/|$)")


def region_of(name: str) -> str | None:
    """The region in a resource name, or None if there is none."""
    found = _REGION.match(name)
    return found[1] if found else None


def violations(message: Message, served: Collection[str]) -> list[FieldViolation]:
    """Each resource name in the message whose region is not served. `-` passes; malformed names are told elsewhere."""
    found = []
    for path, name in _names(message, ""):
        region = region_of(name)
        if region is not None and region != "-" and region not in served:
            found.append(FieldViolation(path, f"region {region[:63]} is not served here", REASON))
    return found


@functools.cache
def _fields(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, bool], ...]:
    """The fields that hold resource names, and those whose messages may: with True, the field holds names itself."""
    chosen = []
    for field in descriptor.fields:
        if field.type == field.TYPE_STRING:
            reference = field.GetOptions().HasExtension(_REFERENCE)
            if reference or field.name in ("name", "parent", "names"):
                chosen.append((field, True))
        elif field.message_type is not None and not _is_foreign(field.message_type):
            chosen.append((field, False))
    return tuple(chosen)


def _is_foreign(descriptor: Descriptor) -> bool:
    """Well-known types and the entries of maps hold no names."""
    return descriptor.full_name.startswith("google.") or descriptor.GetOptions().map_entry


def _names(message: Any, path: str) -> Iterator[tuple[str, str]]:
    for field, holds_names in _fields(message.DESCRIPTOR):
        for inner_path, value in _values(message, field, path + field.name):
            if holds_names:
                yield inner_path, value
            else:
                yield from _names(value, inner_path + ".")


def _values(message: Any, field: FieldDescriptor, path: str) -> Iterator[tuple[str, Any]]:
    if field.is_repeated:
        for index, value in enumerate(getattr(message, field.name)):
            yield f"{path}[{index}]", value
    elif not field.has_presence or message.HasField(field.name):
        yield path, getattr(message, field.name)
