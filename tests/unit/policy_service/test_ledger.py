"""What the history says of a policy that became disabled by itself."""

from dataclasses import replace

import pytest

from policy_service.domain.ledger import DisabledReason, Event, LedgerEntry, disabled_entry
from policy_service.domain.policy import PolicyKey, PolicySpec, new_policy
from policy_service.domain.schedule import Interval, Schedule, Unit
from tests.support import START

KEY = PolicyKey("acme", "cn-north-1", "nightly")


@pytest.mark.parametrize(
    ("count", "reason"),
    [(1, DisabledReason.SCHEDULE_EXHAUSTED), (2, DisabledReason.EXECUTION_LIMIT_REACHED)],
)
def test_a_policy_is_disabled_by_its_limit_or_else_by_the_end_of_its_schedule(
    count: int, reason: DisabledReason
) -> None:
    schedule = Schedule(START, Interval(1, Unit.DAY), execution_limit=2)
    spec = PolicySpec(display_name="x", description="", schedule=schedule, devices=None, logging=None)
    policy = replace(new_policy(KEY, "policy-1", spec, enabled=False, now=START), limited_count=count)
    expected = LedgerEntry(KEY, "policy-1", Event.DISABLED, None, reason, START, schedule=schedule)
    assert disabled_entry(policy, START) == expected
