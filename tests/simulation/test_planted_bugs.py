"""The simulation can fail: each planted bug is found by the seed recorded for it, and by the right invariant."""

import pytest

from tests.simulation.faults import FAULTS
from tests.simulation.plan import plan
from tests.simulation.planted import PLANTED, PlantedBug, find
from tests.simulation.shrink import shrunk
from tests.simulation.simulate import Outcome, simulate

pytestmark = pytest.mark.timeout(900)  # a loaded machine is no failure

NEAR = 10
"""A change of the product shifts what a seed means a little: one of so many seeds from the recorded one has to do."""


def names(outcome: Outcome) -> set[str]:
    return {invariant for invariant, _ in outcome.violations}


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.plant.__name__)
def test_a_planted_bug_is_found_and_without_it_nothing_is(bug: PlantedBug) -> None:
    found = find(bug, range(bug.seed, bug.seed + NEAR))
    assert found is not None, "python -m tests.simulation.planted looks for another seed"
    seed, invariant = found
    assert invariant in bug.found_by
    assert names(simulate(plan(seed, bug.faults))) == set()


def test_the_faults_of_planted_bugs_exist() -> None:
    assert {name for bug in PLANTED for name in bug.faults} <= {fault.__name__ for fault in FAULTS}


def test_a_seed_that_fails_is_made_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    bug = next(bug for bug in PLANTED if bug.plant.__name__ == "new_request_id_for_a_retry")
    bug.plant(monkeypatch)
    outcome = simulate(plan(bug.seed, bug.faults))
    shorter = shrunk(outcome, runs=4)
    assert len(shorter.plan.items) < len(outcome.plan.items)
    assert names(shorter) & names(outcome)
