"""Breaks the domain packages in a seeded sample of ways, one at a time, and counts how many the tests notice.

mutmut makes the mutants and runs, for each, the unit and rule tests that reach its function. What this adds is the
sample, and the mutants that nobody can notice: `equivalent_mutants.toml` lists them by what they change, not by number.
Fails under 90 %. The first steps and the tests of all mutants are told in `mutants/mutmut.log`.

    python -m tools.mutate --seed 7 --count 100 --jobs 2
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mutmut.stats import status_by_exit_code

from tools.check import tool
from tools.rules import ROOT

MUTANTS = ROOT / "mutants"
LOG = MUTANTS / "mutmut.log"
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.toml"
WANTED = 0.9
_NOTICED = {"killed", "timeout"}
_MISSED = {"survived", "no tests"}
# mutmut tests the mutants that it is told by name, but names them only on the way: these are its own first steps.
_MAKE = (
    "from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants, setup_source_paths\n"
    "copy_src_dir(); copy_also_copy_files(); setup_source_paths(); create_mutants(1)"
)
_NUMBER = re.compile(r"__mutmut_\d+$")


class Change(NamedTuple):
    """What a mutant changes: its function as mutmut calls it, and the lines before and after, without indent."""

    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.function}\n    - {self.before}\n    + {self.after}"


def change_of(name: str, diff: str) -> Change:
    """What the mutant of this name changes, by what `mutmut show` tells of it."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Change(_NUMBER.sub("", name), before, after)


def read_equivalent() -> dict[Change, str]:
    """The listed mutants, and why each makes no difference."""
    listed = tomllib.loads(EQUIVALENT.read_text("utf-8")).get("mutant", [])
    return {Change(each["function"], each["before"], each["after"]): each["why"] for each in listed}


def vanished(equivalent: Iterable[Change]) -> list[Change]:
    """Those of the listed that change lines which are no longer in the code."""
    return [change for change in equivalent if change.before not in _source(change.function)]


def _source(function: str) -> str:
    """The module of the function, each run of white space as one blank; empty if there is none."""
    path = ROOT / (function.rpartition(".")[0].replace(".", "/") + ".py")
    return " ".join(path.read_text("utf-8").split()) if path.is_file() else ""


def make() -> list[str]:
    """Makes all mutants anew; their names, in order."""
    shutil.rmtree(MUTANTS, ignore_errors=True)
    MUTANTS.mkdir()
    _run([sys.executable, "-c", _MAKE])
    return sorted(_results())


def test(names: Sequence[str], jobs: int) -> dict[str, str]:
    """What became of each of these mutants, in the words of mutmut."""
    _run([tool("mutmut"), "run", "--max-children", str(jobs), *names])
    results = _results()
    return {name: status_by_exit_code[results[name]] for name in names}


def _run(command: list[str]) -> None:
    with LOG.open("ab") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"mutmut failed; see {LOG.relative_to(ROOT)}")


def _results() -> dict[str, int | None]:
    """The exit code of pytest for each mutant, or None where it was not run."""
    found: dict[str, int | None] = {}
    for path in MUTANTS.rglob("*.py.meta"):
        found |= json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    return found


def _show(name: str) -> Change:
    shown = subprocess.run([tool("mutmut"), "show", name], cwd=ROOT, capture_output=True, text=True, check=True)
    return change_of(name, shown.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: %(default)s)")
    parser.add_argument("--count", type=int, default=300, help="how many mutants at most (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at the same time (default: %(default)s)")
    options = parser.parse_args()

    equivalent = read_equivalent()
    if gone := vanished(equivalent):
        print("listed as equivalent, but no longer in the code:", *gone, sep="\n\n")
        return 1
    start = time.monotonic()
    names = make()
    sample = random.Random(options.seed).sample(names, min(options.count, len(names)))
    print(f"==> testing {len(sample)} of {len(names)} mutants; {LOG.relative_to(ROOT)} tells how far it is", flush=True)
    results = test(sample, options.jobs)
    if odd := {name: result for name, result in results.items() if result not in _NOTICED | _MISSED}:
        print("could not be tested:", odd)
        return 1

    survivors = {name: _show(name) for name, result in results.items() if result in _MISSED}
    unnoticed = {name: change for name, change in survivors.items() if change not in equivalent}
    for name, change in sorted(unnoticed.items()):
        print(f"\n{results[name]}: {change}")
    counted = len(sample) - len(survivors) + len(unnoticed)
    score = (counted - len(unnoticed)) / counted
    print(
        f"\n{counted - len(unnoticed)} of {counted} mutants noticed, {score:.1%} (at least {WANTED:.0%} are wanted);"
        f" {len(survivors) - len(unnoticed)} that nobody can notice left out; {time.monotonic() - start:.0f} s"
    )
    return 0 if score >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
