"""Proves the rules of docs/rules.md: runs their tests, and prints for each rule its source and how many passed.

Fails when a rule has no test, when a test fails, and when a test names a rule that there is not.
"""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "rules.md"
_ROW = re.compile(r"^\| (?P<id>[A-Z]\d+) \| (?P<text>.+?) \| (?P<sources>.+?) \|$", re.MULTILINE)


class Rule(NamedTuple):
    """A row of the document: `P1`, what it says, and the files that hold it."""

    id: str
    text: str
    sources: tuple[str, ...]


def read_rules() -> list[Rule]:
    """All rules of the document, in its order."""
    rows = _ROW.finditer(DOCUMENT.read_text("utf-8"))
    return [Rule(row["id"], row["text"], tuple(re.findall(r"`([^`]+)`", row["sources"]))) for row in rows]


class Counting:
    """A pytest plugin: runs the marked tests only, and counts what became of them by rule."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._rules: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for item in items:
            self._rules[item.nodeid] = {str(id) for mark in item.iter_markers("rule") for id in mark.args}
        others = [item for item in items if not self._rules[item.nodeid]]
        items[:] = [item for item in items if self._rules[item.nodeid]]
        config.hook.pytest_deselected(items=others)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.update(self._rules[report.nodeid])
        elif report.when == "call" and report.passed:
            self.passed.update(self._rules[report.nodeid])


def main() -> int:
    counting = Counting()
    status = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *sys.argv[1:], "tests"], plugins=[counting])
    rules = read_rules()
    print(f"\n{'rule':<6}{'passed':>7}{'failed':>8}  source")
    for rule in rules:
        print(f"{rule.id:<6}{counting.passed[rule.id]:>7}{counting.failed[rule.id]:>8}  {', '.join(rule.sources)}")
    without = [rule.id for rule in rules if not counting.passed[rule.id]]
    unknown = sorted((counting.passed | counting.failed).keys() - {rule.id for rule in rules})
    if without:
        print(f"\nwithout a test that passed: {', '.join(without)}")
    if unknown:
        print(f"\nnot in {DOCUMENT.name}: {', '.join(unknown)}")
    return 1 if status or without or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
