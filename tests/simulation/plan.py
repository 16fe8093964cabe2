"""What a seed decides beforehand: when which user does what, and which faults strike.

Each item draws its details from randomness of its own, so that a plan with items left out is the same but for them.
"""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from tests.simulation.faults import FAULTS
from tests.simulation.kernel import DAY, HOUR, MINUTE, SECOND
from tests.simulation.operations import OPERATIONS

ACCOUNTS = ("acme", "umbra")
POLICIES = 10
"""Of each account, when a run begins."""
_SLOTS = (1, 1, 2)
"""Few: the more is due at one moment, the more gets into each other's way."""
_OPERATIONS = (14, 22)
_FAULTS = (6, 12)
_SET_UP = 10 * MINUTE


@dataclass(frozen=True)
class Item:
    """At `moment` an account's user does something, or (no account) a fault strikes; `name` is the function's."""

    number: int
    moment: int
    account: str
    name: str


@dataclass(frozen=True)
class Plan:
    """`slots` are the times at which policies begin; things happen near the points that follow from them."""

    seed: int
    days: int
    instances: int
    slots: tuple[int, ...]
    items: tuple[Item, ...]
    aim: str = ""
    """A place at which a process dies, besides all else."""

    def stream(self, purpose: object) -> random.Random:
        return random.Random(f"{self.seed}/{purpose}")

    def without(self, numbers: set[int]) -> "Plan":
        return replace(self, items=tuple(item for item in self.items if item.number not in numbers))


def plan(seed: int, only: Collection[str] = ()) -> Plan:
    """`only`: the names of the faults that strike, if not all kinds are to."""
    draw = random.Random(f"{seed}/plan")
    slots = tuple(sorted(draw.sample(range(45, 23 * 60, 15), draw.choice(_SLOTS))))
    slots = tuple(minutes * MINUTE for minutes in slots)
    days = 3
    faults = {fault: weight for fault, weight in FAULTS.items() if not only or fault.__name__ in only}
    items = [
        *(("", name) for name in _chosen(draw, faults, draw.randint(*_FAULTS))),
        *((draw.choice(ACCOUNTS), name) for name in _chosen(draw, OPERATIONS, draw.randint(*_OPERATIONS))),
    ]
    moments = [_moment(draw, slots, days) for _ in items]
    return Plan(
        seed,
        days,
        instances=draw.randint(5, 9),
        slots=slots,
        items=tuple(Item(number, moments[number], *item) for number, item in enumerate(items)),
    )


def _chosen(draw: random.Random, functions: dict[Callable[..., None], int], count: int) -> list[str]:
    chosen = draw.choices(list(functions), list(functions.values()), k=count)
    return [function.__name__ for function in chosen]


def _moment(draw: random.Random, slots: tuple[int, ...], days: int) -> int:
    """Mostly just before or after something is due: there is most to be broken."""
    if draw.random() < 0.25:
        return draw.randint(_SET_UP, days * DAY)
    due = draw.choice(slots) + draw.randrange(2 * days) * 12 * HOUR
    near = draw.choice([SECOND, 10 * SECOND, 2 * MINUTE])
    return min(max(due + draw.randint(-near, 2 * near), _SET_UP), days * DAY)
