"""Batches: a malformed item is that item's result, and spoils no other."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from servicekit import behavior, regions
from servicekit import validation as v
from servicekit.errors import FieldViolation, InvalidArgument, ServiceError
from servicekit.names import Pattern
from servicekit.validation import Violations

ANY_PLACE = "accounts/-/regions/-"


Item = TypeVar("Item")
Result = TypeVar("Result")


def apart(
    items: Iterable[Item],
    violations_of: Callable[[int, Item], Violations],
    work: Callable[[list[Item]], Sequence[Result | ServiceError]],
) -> list[Result | ServiceError]:
    """Does the work for the well-formed items, all at once; others get InvalidArgument. A result for each item."""
    violations = [(item, violations_of(index, item)) for index, item in enumerate(items)]
    sound = [item for item, found in violations if not found]
    results = iter(work(sound) if sound else ())
    return [InvalidArgument(found) if found else next(results) for _, found in violations]


def create_violations(
    request: Any,
    index: int,
    validator: Callable[[Any], Violations],
    *,
    parent: str,
    served: Collection[str],
) -> Violations:
    """What is wrong with one request of a batch that creates, named as fields of the batch."""
    found = behavior.violations(request, create=True) + regions.violations(request, served)
    told = {violation.field for violation in found}
    found += [violation for violation in validator(request) if violation.field not in told]
    if request.parent and parent not in (ANY_PLACE, request.parent):
        found += v.fail("parent", f"must be {parent}, as that of the batch")
    return [FieldViolation(f"requests[{index}].{wrong.field}", wrong.description, wrong.reason) for wrong in found]


def name_violations(name: str, index: int, pattern: Pattern, *, parent: str, served: Collection[str]) -> Violations:
    """What is wrong with one name of a batch that gets."""
    field = f"names[{index}]"
    if not name:
        return v.fail(field, "is required")
    below = "" if parent == ANY_PLACE else parent
    return v.name(field, name, pattern, parent=below) or v.region_served(field, name, served)


def only(results: Sequence[Result | ServiceError]) -> Result:
    """The result of a batch of one, or its error raised."""
    [result] = results
    if isinstance(result, ServiceError):
        raise result
    return result
