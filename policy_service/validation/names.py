"""Names that more than one kind of request has."""

from servicekit import validation as v
from servicekit.names import POLICY


def any_policy(field: str, name: str) -> v.Violations:
    """A policy's name whose last id, and no other, may be `-`."""
    prefix, _, last = name.rpartition("/")
    return v.name(field, f"{prefix}/any" if last == "-" else name, POLICY)
