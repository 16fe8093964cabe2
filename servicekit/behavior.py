"""Enforces what every contract declares: google.api.field_behavior, the values of enums, the ranges of times.

One walk over the request reports every violation with the path of its field. What to look at is worked out once per
message type.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from servicekit.errors import FieldViolation
from servicekit.timestamps import MAX_SECONDS, MIN_SECONDS

_MAX_DURATION_SECONDS = 315_576_000_000
_MAX_NANOS = 999_999_999

# The stubs of googleapis-common-protos and protobuf do not fit each other here.
_BEHAVIOR: Any = field_behavior_pb2.field_behavior
_Found = list[FieldViolation]
_Check = Callable[[Any, str, bool, _Found], None]
"""Looks at a message, or at one value of a field, with its path; the flag says whether a resource is being created."""


def violations(
    message: Message, *, create: bool, path: str = "", items: str = "", partial: str = ""
) -> list[FieldViolation]:
    """What is wrong with the message by its contract, at any depth; the fields' names begin with `path`.

    That is every REQUIRED field that is unset and every OUTPUT_ONLY field that is set (when creating, IDENTIFIER too);
    every enum value that its enum lacks; every Timestamp and Duration out of range.
    A REQUIRED number without presence must not be 0, and a REQUIRED bool without presence is never missing. Whether the
    field `items` is there is looked at, what it holds is not.
    The message in the field `partial`, and single messages inside it, may lack fields of their own: it says what to
    change of a resource.
    """
    found: _Found = []
    for check in _checks(message.DESCRIPTOR, items, partial):
        check(message, path, create, found)
    return found


@functools.cache
def _checks(descriptor: Descriptor, items: str = "", partial: str = "", *, whole: bool = True) -> tuple[_Check, ...]:
    checks = (
        _field_checks(
            field,
            look_inside=field.name != items,
            whole=whole,
            inside_whole=field.name != partial and (whole or field.is_repeated),
        )
        for field in descriptor.fields
    )
    return tuple(itertools.chain.from_iterable(checks))


def _field_checks(field: FieldDescriptor, *, look_inside: bool, whole: bool, inside_whole: bool) -> list[_Check]:
    """`whole`: the message must have its REQUIRED fields; `inside_whole`: and so must the field's own message."""
    behaviors = set(field.GetOptions().Extensions[_BEHAVIOR])
    is_set = _presence(field)
    if field_behavior_pb2.OUTPUT_ONLY in behaviors:
        return [_forbidden(field.name, is_set, "is set by the server", on_create_only=False)]
    checks: list[_Check] = []
    if field_behavior_pb2.IDENTIFIER in behaviors:
        checks.append(_forbidden(field.name, is_set, "is made by the server when creating", on_create_only=True))
    if whole and field_behavior_pb2.REQUIRED in behaviors and (field.has_presence or field.type != field.TYPE_BOOL):
        checks.append(_required(field.name, is_set))
    value_check = _value_check(field, whole=inside_whole)
    if look_inside and value_check is not None:
        checks.append(_each(field, is_set, value_check))
    return checks


def _presence(field: FieldDescriptor) -> Callable[[Any], bool]:
    name, default = field.name, field.default_value
    if field.is_repeated:
        return lambda message: len(getattr(message, name)) > 0
    if field.has_presence:
        return lambda message: bool(message.HasField(name))
    return lambda message: bool(getattr(message, name) != default)


def _forbidden(name: str, is_set: Callable[[Any], bool], why: str, *, on_create_only: bool) -> _Check:
    def check(message: Any, path: str, create: bool, found: _Found) -> None:
        if (create or not on_create_only) and is_set(message):
            found.append(FieldViolation(path + name, f"{why}; leave it out"))

    return check


def _required(name: str, is_set: Callable[[Any], bool]) -> _Check:
    def check(message: Any, path: str, _create: bool, found: _Found) -> None:
        if not is_set(message):
            found.append(FieldViolation(path + name, "is required"))

    return check


def _value_check(field: FieldDescriptor, *, whole: bool = True) -> _Check | None:
    """How to look at one value of this field, or None if any value is right."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _value_check(field.message_type.fields_by_name["value"])
    if field.enum_type is not None:
        return _known_enum(frozenset(field.enum_type.values_by_number))
    if field.message_type is None:
        return None
    if field.message_type.full_name.startswith("google.protobuf."):
        return _WELL_KNOWN.get(field.message_type.name)
    return _message(field.message_type, whole=whole)


def _message(descriptor: Descriptor, *, whole: bool) -> _Check:
    def check(value: Any, path: str, create: bool, found: _Found) -> None:
        for inner in _checks(descriptor, whole=whole):
            inner(value, path + ".", create, found)

    return check


def _known_enum(numbers: frozenset[int]) -> _Check:
    def check(value: int, path: str, _create: bool, found: _Found) -> None:
        if value not in numbers:
            found.append(FieldViolation(path, f"has no value {value}"))

    return check


def _timestamp(value: Any, path: str, _create: bool, found: _Found) -> None:
    if not (MIN_SECONDS <= value.seconds <= MAX_SECONDS and 0 <= value.nanos <= _MAX_NANOS):
        found.append(FieldViolation(path, "must be a time from year 1 to 9999 with nanos from 0 to 999999999"))


def _duration(value: Any, path: str, _create: bool, found: _Found) -> None:
    in_range = abs(value.seconds) <= _MAX_DURATION_SECONDS and abs(value.nanos) <= _MAX_NANOS
    if not in_range or value.seconds * value.nanos < 0:
        found.append(FieldViolation(path, "must be a duration within 10,000 years, seconds and nanos of one sign"))


_WELL_KNOWN: dict[str, _Check] = {"Timestamp": _timestamp, "Duration": _duration}


def _each(field: FieldDescriptor, is_set: Callable[[Any], bool], check_value: _Check) -> _Check:
    """Applies the check to the field's value if it is set, or to each of its values with index or key in the path."""
    name = field.name
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry

    def single(message: Any, path: str, create: bool, found: _Found) -> None:
        if is_set(message):
            check_value(getattr(message, name), path + name, create, found)

    def repeated(message: Any, path: str, create: bool, found: _Found) -> None:
        for index, value in enumerate(getattr(message, name)):
            check_value(value, f"{path}{name}[{index}]", create, found)

    def mapped(message: Any, path: str, create: bool, found: _Found) -> None:
        for key, value in getattr(message, name).items():
            check_value(value, f'{path}{name}["{key}"]', create, found)

    return mapped if is_map else repeated if field.is_repeated else single
