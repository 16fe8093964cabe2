"""Clocks that a test moves by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime

from servicekit.clock import Clocks, ManualClock

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""A Monday morning, when tests begin unless they say otherwise."""


@dataclass(frozen=True)
class ManualClocks(Clocks):
    """Both clocks, known to be manual: `time.product.advance(…)`."""

    product: ManualClock
    operating: ManualClock


def clocks(start: datetime = START) -> ManualClocks:
    return ManualClocks(ManualClock(start), ManualClock(start))
