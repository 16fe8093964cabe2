"""`make simulate`: many seeds, or one with its story.

python -m tests.simulation --seeds 1000            from seed 0 on, in as many processes as there are processors
python -m tests.simulation --seed 17               one: what happened, and what broke, made as short as it gets
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from multiprocessing.pool import Pool

from tests.simulation.coverage import Coverage
from tests.simulation.faults import KINDS, STEPS
from tests.simulation.operations import OPERATIONS
from tests.simulation.plan import Plan, plan
from tests.simulation.shrink import shrunk
from tests.simulation.simulate import Outcome, brief, simulate

_EVERY_SECONDS = 15.0
_FULL_COVERAGE_SEEDS = 1000
"""With so many, every fault and operation has to have come, and a process to have died at every place of the steps."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description="Simulates the suite, whatever goes wrong.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run (default: 100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--seed", type=int, help="run this one, and tell its story")
    parser.add_argument("--aim", default="", help="a place at which a process is to die, besides all else in that seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    if asked.seed is not None:
        return _one(replace(plan(asked.seed), aim=asked.aim))
    return _many(range(asked.first, asked.first + asked.seeds), asked.processes)


def _one(planned: Plan) -> int:
    outcome = simulate(planned)
    if outcome.violations:
        print(f"seed {planned.seed} fails; making it shorter…", flush=True)
        outcome = shrunk(outcome)
        print(f"{len(outcome.plan.items)} operations and faults are left")
    print("\n".join(outcome.story))
    return _verdict([outcome])


def _many(seeds: range, processes: int) -> int:
    coverage = Coverage()
    # Spawned, not forked: grpc does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        failed = _run(pool, [plan(seed) for seed in seeds], coverage)
        if len(seeds) >= _FULL_COVERAGE_SEEDS:
            aimed = [replace(plan(coverage.reached_by[place]), aim=place) for place in coverage.never_died_at(STEPS)]
            print(f"nobody has died at {len(aimed)} places of the steps yet: a seed for each of them", flush=True)
            failed += _run(pool, aimed, coverage)
        pool.close()
        pool.join()  # each removes its folder
    complete = _tell_coverage(coverage)
    return _verdict(failed) or (0 if complete or len(seeds) < _FULL_COVERAGE_SEEDS else 1)


def _run(pool: Pool, plans: Sequence[Plan], coverage: Coverage) -> list[Outcome]:
    """Those that failed."""
    started = told = time.monotonic()
    failed: list[Outcome] = []
    for done, outcome in enumerate(pool.imap_unordered(brief, plans), 1):
        coverage.add(outcome.coverage)
        if outcome.violations:
            failed.append(outcome)
            _tell_violations(outcome)  # now: the rest may take hours
        if time.monotonic() - told > _EVERY_SECONDS:
            told = time.monotonic()
            print(f"{done} of {len(plans)} seeds, {len(failed)} failed, {told - started:.0f} s", flush=True)
    print(f"{len(plans)} seeds in {time.monotonic() - started:.0f} s", flush=True)
    return failed


def _tell_coverage(coverage: Coverage) -> bool:
    """Whether all that must happen did. Where in users' own calls processes die is left to chance."""
    _table("faults", coverage.faults.items())
    _table("operations", coverage.operations.items())
    _table("deaths", [(place, coverage.deaths[place]) for place in sorted(coverage.places)])
    places, never = coverage.places_of(STEPS), coverage.never_died_at(STEPS)
    missing = sorted(kind for kind in KINDS if not coverage.faults[kind]) + [
        operation.__name__ for operation in OPERATIONS if not coverage.operations[operation.__name__]
    ]
    print(f"nobody died at {len(never)} of {len(places)} places of the six steps: {', '.join(never) or 'none'}")
    print(f"faults and operations that never came: {', '.join(missing) or 'none'}")
    return not (never or missing)


def _table(headline: str, rows: Iterable[tuple[str, int]]) -> None:
    print(f"\n{headline}")
    for name, number in rows:
        print(f"  {number:8}  {name}")


def _verdict(outcomes: Iterable[Outcome]) -> int:
    """Prints what was violated; the exit code."""
    failed = [outcome for outcome in outcomes if outcome.violations]
    for outcome in failed:
        _tell_violations(outcome)
    print("FAILED" if failed else "OK")
    return 1 if failed else 0


def _tell_violations(outcome: Outcome) -> None:
    aimed = f" AIM='{outcome.plan.aim}'" if outcome.plan.aim else ""
    print(f"\nmake simulate SEED={outcome.plan.seed}{aimed}")
    for invariant, found in outcome.violations[:10]:
        print(f"  {invariant}: {found}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
