"""The tool for mutants reads what mutmut tells, and its list of those that nobody can notice is true to the code."""

from tools.mutate import Change, change_of, read_equivalent, vanished

SHOWN = """\
# policy_service.domain.triggers.x_choose__mutmut_12: survived
--- policy_service/domain/triggers.py
+++ policy_service/domain/triggers.py
@@ -1,4 +1,4 @@
 def choose(candidates, max_weight):
-    room = max_weight
+    room = None
     return []
"""


def test_a_mutant_is_known_by_what_it_changes_and_not_by_its_number() -> None:
    change = Change("policy_service.domain.triggers.x_choose", "room = max_weight", "room = None")
    assert change_of("policy_service.domain.triggers.x_choose__mutmut_12", SHOWN) == change


def test_a_change_of_several_lines_is_one() -> None:
    shown = "--- a\n+++ a\n-    f(\n-        1,\n-    )\n+    f()\n"
    assert change_of("a.x_b__mutmut_1", shown) == Change("a.x_b", "f( 1, )", "f()")


def test_a_listed_mutant_of_code_that_is_gone_is_found() -> None:
    gone = Change("policy_service.domain.triggers.x_choose", "room = 7", "room = 8")
    nowhere = Change("policy_service.domain.nowhere.x_choose", "room = 7", "room = 8")
    assert vanished([gone, nowhere]) == [gone, nowhere]


def test_the_listed_mutants_change_code_that_is_there_and_say_why_it_makes_no_difference() -> None:
    equivalent = read_equivalent()
    assert vanished(equivalent) == []
    assert all(equivalent.values())
