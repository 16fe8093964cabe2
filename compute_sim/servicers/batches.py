"""Batches: a malformed item is that item's result, and spoils no other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from compute_sim.validation import ANY_PLACE
from servicekit import rpc
from servicekit import validation as v
from servicekit.errors import ServiceError
from servicekit.names import Pattern
from servicekit.validation import Violations

Item = TypeVar("Item")
Request = TypeVar("Request", bound=Message)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Batch:
    """The envelope of a batch: the parent of all its items, and the regions that are served."""

    parent: str
    regions: frozenset[str]

    def create(
        self,
        requests: Iterable[Request],
        validator: rpc.Validator[Request],
        work: Callable[[list[Request]], Sequence[Result | ServiceError]],
    ) -> list[Result | ServiceError]:
        """Does the work for the requests that are well-formed, all at once. A result for each request."""

        def violations(index: int, request: Request) -> Violations:
            path = f"requests[{index}]."
            found = rpc.violations(request, validator, regions=self.regions, create=True, path=path)
            parent = getattr(request, "parent", "")
            if parent and self.parent not in (ANY_PLACE, parent):
                found += v.fail(f"{path}parent", f"must be {self.parent}, as that of the batch")
            return found

        return self._apart(requests, violations, work)

    def get(
        self, names: Iterable[str], pattern: Pattern, work: Callable[[list[str]], Sequence[Result | ServiceError]]
    ) -> list[Result | ServiceError]:
        """Does the work for the names that are well-formed, all at once. A result for each name."""
        below = "" if self.parent == ANY_PLACE else self.parent

        def violations(index: int, name: str) -> Violations:
            field = f"names[{index}]"
            if not name:
                return v.fail(field, "is required")
            return v.name(field, name, pattern, parent=below) or v.region_served(field, name, self.regions)

        return self._apart(names, violations, work)

    def _apart(
        self,
        items: Iterable[Item],
        violations_of: Callable[[int, Item], Violations],
        work: Callable[[list[Item]], Sequence[Result | ServiceError]],
    ) -> list[Result | ServiceError]:
        checked = [(item, violations_of(index, item)) for index, item in enumerate(items)]
        sound = [item for item, found in checked if not found]
        results = iter(work(sound) if sound else ())
        return [rpc.invalid(found, self.regions) if found else next(results) for _, found in checked]


def only(results: Sequence[Result | ServiceError]) -> Result:
    """The result of a batch of one, or its error raised."""
    [result] = results
    if isinstance(result, ServiceError):
        raise result
    return result
