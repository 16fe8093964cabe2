"""docs/rules.md, the tests' marks and the code agree."""

import re
from pathlib import Path

from tools.rules import ROOT, read_rules

_MARK = re.compile(r"mark\.rule\(([^)]*)\)")
_ID = re.compile(r'"([A-Z]\d+)"')


def marked() -> set[str]:
    """The rules that tests are marked with."""
    texts = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {id for text in texts for arguments in _MARK.findall(text) for id in _ID.findall(arguments)}


def test_each_rule_stands_in_the_document_once() -> None:
    ids = [rule.id for rule in read_rules()]

    assert len(ids) == len(set(ids)) > 30


def test_each_rule_has_a_marked_test_and_each_mark_is_a_rule() -> None:
    assert {rule.id for rule in read_rules()} == marked()


def test_the_files_that_hold_the_rules_exist() -> None:
    missing = [source for rule in read_rules() for source in rule.sources if not Path(ROOT / source).is_file()]

    assert missing == []
