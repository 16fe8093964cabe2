"""How policies become triggers, and which triggers are leased together."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_service.domain.ledger import Event, LedgerEntry, entries, poisoned_entry
from policy_service.domain.policy import Logging, Policy, PolicyKey, PolicySpec, disable, enable, new_policy
from policy_service.domain.schedule import Interval, Points, Schedule, Unit
from policy_service.domain.triggers import (
    Candidate,
    Kind,
    Missed,
    MissedReason,
    Trigger,
    TriggeredAssociation,
    choose,
    due_points,
    is_poisonous,
    poisoned,
    run_now,
    settle,
    take_up,
)
from tests.support import START

KEY = PolicyKey("acme", "cn-north-1", "nightly")
DAY = timedelta(days=1)
LINKED = (TriggeredAssociation("association-1", "web"), TriggeredAssociation("association-2", "db"))


def policy(logging: Logging | None = None) -> Policy:
    """Due at START, then daily."""
    spec = PolicySpec(
        display_name="Nightly",
        description="",
        schedule=Schedule(START, Interval(1, Unit.DAY)),
        devices=("vda", "vdb"),
        logging=logging,
    )
    return new_policy(KEY, "policy-1", spec, enabled=True, now=START - DAY)


def trigger(**fields: object) -> Trigger:
    """What `take_up` makes at START, but for `fields`."""
    expected = {
        "uid": "trigger-1",
        "kind": Kind.SCHEDULED,
        "dedup_key": "1772438400000000",
        "policy": KEY,
        "policy_uid": "policy-1",
        "display_name": "Nightly",
        "devices": ("vda", "vdb"),
        "log_topic": "",
        "associations": LINKED,
        "scheduled": START,
        "run_id": "",
        "trigger_time": START,
        "missed": None,
    }
    return Trigger(**{**expected, **fields})  # type: ignore[arg-type]


def test_policy_taken_up_becomes_a_trigger_with_a_copy_and_moves_on() -> None:
    before = policy()
    after, made = take_up(before, "trigger-1", LINKED, START)
    assert made == trigger()
    assert made.weight == 2
    assert (after.next_execution, after.last_execution, after.execution_count) == (START + DAY, START, 1)
    assert (after.etag, after.update_time) == (before.etag, before.update_time)


def test_policy_taken_up_late_runs_the_newest_point_and_misses_the_others() -> None:
    now = START + 2 * DAY + timedelta(hours=1)
    after, made = take_up(policy(), "trigger-1", (), now)
    newest = START + 2 * DAY
    older = Missed(Points(START, START + DAY, 2), MissedReason.NOT_TAKEN_UP)
    assert (made.kind, made.scheduled, made.missed, made.weight) == (Kind.CATCH_UP, newest, older, 1)
    assert (after.next_execution, after.last_execution, after.execution_count) == (START + 3 * DAY, newest, 1)
    assert list(entries(made)) == [
        LedgerEntry(KEY, "policy-1", Event.MISSED, older.points, MissedReason.NOT_TAKEN_UP, now),
        LedgerEntry(KEY, "policy-1", Event.CATCH_UP, Points(newest, newest, 1), None, now),
    ]


@pytest.mark.parametrize(("enabled", "topic"), [(True, "topic"), (False, "")])
def test_trigger_carries_the_topic_while_logging_is_enabled(enabled: bool, topic: str) -> None:
    _, made = take_up(policy(Logging("topic", enabled)), "trigger-1", (), START)
    assert made.log_topic == topic


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a slow machine is no failure
@given(st.integers(0, 10**9), st.integers(12, 8760))
def test_every_point_up_to_now_is_settled_exactly_once(seconds_late: int, hours: int) -> None:
    now = START + timedelta(seconds=seconds_late)
    before = new_policy(
        KEY,
        "policy-1",
        PolicySpec(
            display_name="x",
            description="",
            schedule=Schedule(START, Interval(hours, Unit.HOUR)),
            devices=None,
            logging=None,
        ),
        enabled=True,
        now=START,
    )
    after, made = take_up(before, "trigger-1", (), now)
    settled = 1 + (made.missed.points.count if made.missed else 0)
    assert after.next_execution == START + settled * timedelta(hours=hours)
    assert made.scheduled <= now < after.next_execution
    assert (made.kind is Kind.SCHEDULED) == (now - made.scheduled <= timedelta(minutes=5))


def test_settling_records_all_points_due_as_missed() -> None:
    now = START + DAY
    points = Points(START, START + DAY, 2)
    assert settle(policy(), "trigger-1", MissedReason.POLICY_DISABLED, now) == trigger(
        kind=Kind.MISSED,
        dedup_key="missed-1772438400000000",
        associations=(),
        scheduled=START + DAY,
        trigger_time=now,
        missed=Missed(points, MissedReason.POLICY_DISABLED),
    )


def test_settling_when_nothing_is_due_makes_no_trigger() -> None:
    assert settle(policy(), "trigger-1", MissedReason.POLICY_DELETED, START - timedelta(microseconds=1)) is None


def test_enabling_again_never_leads_to_a_point_that_was_settled() -> None:
    triggered, _ = take_up(policy(), "trigger-1", (), START)
    for settled in (START, START + 2 * DAY):
        disabled = replace(triggered, next_execution=None, settled=settled)
        assert enable(disabled, START - timedelta(hours=1)).next_execution == settled + DAY


def test_point_that_another_version_of_the_time_zones_moved_stays_12_hours_from_the_next() -> None:
    early = START - timedelta(hours=1)
    after, made = take_up(replace(policy(), next_execution=early), "trigger-1", (), early)
    assert (made.scheduled, after.next_execution) == (early, START + DAY)
    disabled = replace(after, next_execution=None)
    assert enable(disabled, early + timedelta(minutes=1)).next_execution == START + DAY


def test_run_now_is_a_trigger_of_its_own() -> None:
    assert run_now(policy(), "trigger-1", "run-id", LINKED, START) == trigger(
        kind=Kind.RUN_NOW, dedup_key="run-run-id", run_id="run-id"
    )


@pytest.mark.parametrize(
    ("kind", "leases", "expected"),
    [(Kind.SCHEDULED, 5, False), (Kind.SCHEDULED, 6, True), (Kind.RUN_NOW, 7, True), (Kind.MISSED, 6, False)],
)
def test_trigger_is_poisonous_after_six_leases_if_it_runs_something(kind: Kind, leases: int, expected: bool) -> None:
    assert is_poisonous(kind, leases) is expected


def test_poisoned_trigger_runs_nothing_and_records_its_point_after_those_it_carried() -> None:
    carried = Missed(Points(START - 2 * DAY, START - DAY, 2), MissedReason.NOT_TAKEN_UP)
    assert poisoned(trigger(missed=carried, lease_count=6)) == trigger(
        kind=Kind.MISSED,
        associations=(),
        missed=Missed(Points(START - 2 * DAY, START, 3), MissedReason.POISONED),
        lease_count=6,
    )
    assert poisoned_entry(trigger(missed=carried), START + DAY) == LedgerEntry(
        KEY, "policy-1", Event.MISSED, Points(START, START, 1), MissedReason.POISONED, START + DAY
    )


@pytest.mark.parametrize(
    ("candidates", "room", "expected"),
    [
        ([], 10, ""),
        ([("a", 4, 0), ("b", 6, 2)], 10, "ab"),
        ([("a", 4, 0), ("b", 7, 0), ("c", 1, 0)], 9, "a"),
        ([("a", 11, 0), ("b", 1, 0)], 10, "a"),
        ([("a", 4, 0), ("b", 5, 0), ("c", 1, 0), ("d", 1, 0)], 10, "abd"),
        ([("a", 15, 0), ("b", 4, 0), ("c", 1, 0), ("d", 1, 0), ("e", 1, 0)], 20, "aed"),
        ([("a", 19, 0), ("b", 1, 0), ("c", 1, 0)], 20, "ac"),
        ([("a", 9, 0), ("b", 1, 0), ("c", 2, 0)], 10, "a"),
        ([("a", 9, 0), ("b", 1, 0), ("c", 1, 3)], 10, "ab"),
        ([("a", 1, 3), ("b", 9, 0), ("c", 1, 0)], 10, "a"),
        ([("a", 1, 3), ("b", 1, 0)], 10, "a"),
        ([("a", 1, 2), ("b", 1, 3), ("c", 1, 0)], 10, "ac"),
        ([("a", 20, 5)], 10, "a"),
    ],
    ids=[
        "none",
        "all",
        "as many as fit",
        "one at least",
        "the newest has a tenth of the room",
        "the newest have",
        "what is left of it",
        "the newest is too large",
        "the newest is suspect",
        "the oldest is suspect, and more waits",
        "suspect first",
        "suspect later",
        "large suspect",
    ],
)
def test_chosen_together_is_what_fits_from_both_ends_but_a_suspect_alone(
    candidates: list[tuple[str, int, int]], room: int, expected: str
) -> None:
    assert choose([Candidate(*each) for each in candidates], room) == list(expected)


def test_a_policy_has_due_points_from_its_next_execution_on_and_none_while_disabled() -> None:
    enabled = policy()
    assert due_points(enabled, START - timedelta(microseconds=1)) is None
    assert due_points(enabled, START) == Points(START, START, 1)
    assert due_points(enabled, START + 2 * DAY) == Points(START, START + 2 * DAY, 3)
    disabled = replace(enabled, next_execution=None)
    assert due_points(disabled, START + 2 * DAY) is None
    assert settle(disabled, "trigger-1", MissedReason.POLICY_DELETED, START + 2 * DAY) is None


def test_disabling_and_enabling_change_the_next_execution_and_the_revision_and_nothing_else() -> None:
    enabled = policy()
    disabled = disable(enabled, START + DAY)
    assert disabled == replace(enabled, next_execution=None, revision=2, update_time=START + DAY)
    assert disable(disabled, START + 2 * DAY) == disabled
    again = enable(disabled, START + 2 * DAY)
    assert again == replace(disabled, next_execution=START + 3 * DAY, revision=3, update_time=START + 2 * DAY)
    assert enable(again, START + 5 * DAY) == again
