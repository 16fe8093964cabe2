"""Long lists of values in pieces that a statement can take."""

from collections.abc import Collection, Iterator

_SIZE = 500


def chunks(values: Collection[str]) -> Iterator[list[str]]:
    """The values without repetition, sorted, at most 500 at a time."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _SIZE):
        yield ordered[start : start + _SIZE]
