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
_REGION = re.compile(r"(?:accounts/[^/]*/)?regions/([^/]+)(?:/|$)")


def region_of(name: str) -> str | None:
    """The region in a resource name, or None if there is none."""
    found = _REGION.match(name)
    return found[1] if found else None


def violations(message: Message, served: Collection[str], *, path: str = "", items: str = "") -> list[FieldViolation]:
    """Each resource name in the message whose region is not served; the fields' names begin with `path`.

    `-` passes, and malformed names are told elsewhere. What the field `items` holds is not looked at.
    """
    found: list[FieldViolation] = []
    for field, name in _names(message, path, items):
        found += violation(field, name, served)
    return found


def violation(field: str, name: str, served: Collection[str]) -> list[FieldViolation]:
    """That the region of this name is not served, or nothing."""
    region = region_of(name)
    if region is None or region == "-" or region in served:
        return []
    return [FieldViolation(field, f"region {region[:63]} is not served here", REASON)]


def first_name(message: Message) -> str:
    """The first resource name in the message, at any depth; empty if there is none."""
    return next((name for _, name in _names(message, "") if name), "")


@functools.cache
def _fields(descriptor: Descriptor, items: str) -> tuple[tuple[FieldDescriptor, bool], ...]:
    """The fields that hold resource names, and those whose messages may: with True, the field holds names itself."""
    chosen = []
    for field in descriptor.fields:
        if field.name == items:
            continue
        if field.type == field.TYPE_STRING:
            reference = field.GetOptions().HasExtension(_REFERENCE)
            if reference or field.name in ("name", "parent", "names"):
                chosen.append((field, True))
        elif field.message_type is not None and not _is_foreign(field.message_type):
            chosen.append((field, False))
    return tuple(chosen)


def name_fields(descriptor: Descriptor) -> list[str]:
    """The fields of the message itself that hold one resource name: what it is about first."""
    found = [field.name for field, holds_names in _fields(descriptor, "") if holds_names and not field.is_repeated]
    return sorted(found, key=lambda name: ("name", "parent", name).index(name))


def _is_foreign(descriptor: Descriptor) -> bool:
    """Well-known types and the entries of maps hold no names."""
    return descriptor.full_name.startswith("google.") or descriptor.GetOptions().map_entry


def _names(message: Any, path: str, items: str = "") -> Iterator[tuple[str, str]]:
    for field, holds_names in _fields(message.DESCRIPTOR, items):
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
