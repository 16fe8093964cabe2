"""Makes a run that fails shorter: leaves out what it fails without."""

from collections.abc import Callable

from tests.simulation.plan import Plan
from tests.simulation.simulate import Outcome, simulate

_RUNS = 60
Simulate = Callable[[Plan], Outcome]


def shrunk(outcome: Outcome, simulate: Simulate = simulate, runs: int = _RUNS) -> Outcome:
    """A run of the same seed with fewer operations and faults that violates the same invariant; in at most `runs`.

    Halves are left out first, then quarters, and so on down to single ones.
    """
    wanted = {invariant for invariant, _ in outcome.violations}
    size = max(1, len(outcome.plan.items) // 2)
    while runs > 0:
        for start in range(0, len(outcome.plan.items), size):
            left_out = {item.number for item in outcome.plan.items[start : start + size]}
            if not left_out or runs == 0:
                continue
            runs -= 1
            shorter = simulate(outcome.plan.without(left_out))
            if wanted & {invariant for invariant, _ in shorter.violations}:
                outcome = shorter
                break
        else:
            if size == 1:
                break
            size //= 2
    return outcome
