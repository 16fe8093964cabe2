"""Who may have its tasks taken up, in which order, and how many (X7)."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class Admission(enum.Enum):
    """Which of the tasks that are due in a place may be taken up to be sent."""

    ALL = "whatever is due"
    HELD = "those that count as builds in flight already, and those past their start window, which only end"
    NEW = "the others"
    EXPIRED = "those past their start window, which only end"


@dataclass(frozen=True, slots=True)
class Gate:
    """Where builds may be begun: nowhere in a paused region, and at most `free` more in a place (None: any)."""

    paused: frozenset[str] = frozenset()
    free: Mapping[str, int] | None = None

    def admission(self, place: str) -> Admission:
        """What may be taken up in this place besides NEW ones; of those see `room`."""
        if self.is_paused(place):
            return Admission.EXPIRED
        return Admission.ALL if self.free is None else Admission.HELD

    def is_paused(self, place: str) -> bool:
        return place.rpartition("/")[2] in self.paused

    def room(self, place: str) -> int:
        """How many of NEW may be begun where the admission is HELD."""
        return max(0, self.free.get(place, 0)) if self.free is not None else 0


def account_of(place: str) -> str:
    """Of `accounts/{account}/regions/{region}`."""
    return place.split("/")[1]


def in_turn(waiting: Sequence[T], draw: float) -> list[T]:
    """The same ring from another start, `draw` from 0 to below 1: nobody is first for ever where not all fit."""
    start = int(draw * len(waiting))
    return [*waiting[start:], *waiting[:start]]


def shares(waiting: Sequence[T], room: int) -> Iterator[tuple[T, int]]:
    """What each may have of the room, all the same but for the remainder; if they are too many, the first have 1."""
    each, remainder = divmod(room, len(waiting))
    for number, item in enumerate(waiting):
        share = each + (number < remainder)
        if share:
            yield item, share
