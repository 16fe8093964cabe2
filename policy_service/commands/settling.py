"""What several commands share: a policy that is changed, and points that are settled before."""

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from policy_service.dependencies import Dependencies
from policy_service.domain import ledger as history
from policy_service.domain import triggers as rules
from policy_service.domain.policy import Policy, PolicyKey
from policy_service.domain.triggers import MissedReason, Trigger
from policy_service.store import associations, ledger, policies, triggers
from servicekit.errors import StaleEtag


def locked_policy(connection: sa.Connection, key: PolicyKey, etag: str) -> Policy:
    """The policy, to be changed. Raises PolicyNotFound, and StaleEtag if an etag is given and it is another."""
    policy = policies.get(connection, key, lock=True)
    check_etag(policy, etag)
    return policy


def check_etag(policy: Policy, etag: str) -> None:
    """Raises StaleEtag if an etag is given and it is not the policy's."""
    if etag and etag != policy.etag:
        raise StaleEtag("policy", policy.key.name)


def settle_due_points(
    deps: Dependencies, connection: sa.Connection, policy: Policy, reason: MissedReason, now: datetime
) -> Policy:
    """The points of a locked policy that are due, and were not taken up, are missed from now on (D1)."""
    trigger = rules.settle(policy, deps.ids.uid(), reason, now)
    if trigger is None:
        return policy
    record(connection, [trigger])
    return replace(policy, settled=trigger.scheduled)


def take_up_due_points(deps: Dependencies, connection: sa.Connection, policy: Policy, now: datetime) -> Policy:
    """What becomes of the points of a locked policy that are due when a scheduler asks becomes of them now (D1, D4).

    The caller stores the policy.
    """
    if rules.due_points(policy, now) is None:
        return policy
    linked = associations.of_policies(connection, [policy.uid])[policy.uid]
    moved_on, trigger = rules.take_up(policy, deps.ids.uid(), linked, now)
    record(connection, [trigger])
    if not moved_on.enabled:
        ledger.append(connection, [history.disabled_entry(moved_on, now)])
    return moved_on


def record(connection: sa.Connection, added: list[Trigger]) -> None:
    """Writes new triggers, and their history. Their policies are locked."""
    triggers.insert(connection, added)
    ledger.append(connection, [entry for trigger in added for entry in history.entries(trigger)])
