"""What several commands share: a policy that is changed, and points that are settled before."""

import sqlalchemy as sa

from policy_service.dependencies import Dependencies
from policy_service.domain import ledger as history
from policy_service.domain import triggers as rules
from policy_service.domain.policy import Policy, PolicyKey
from policy_service.domain.triggers import MissedReason, Trigger
from policy_service.store import ledger, policies, triggers
from servicekit.errors import StaleEtag


def locked_policy(connection: sa.Connection, key: PolicyKey, etag: str) -> Policy:
    """The policy, to be changed. Raises PolicyNotFound, and StaleEtag if an etag is given and it is another."""
    policy = policies.get(connection, key, lock=True)
    if etag and etag != policy.etag:
        raise StaleEtag("policy", key.name)
    return policy


def settle_due_points(deps: Dependencies, connection: sa.Connection, policy: Policy, reason: MissedReason) -> None:
    """The points of a locked policy that are due, and were not taken up, are missed from now on (D1)."""
    trigger = rules.settle(policy, deps.ids.uid(), reason, deps.clocks.product.now())
    if trigger is not None:
        record(connection, [trigger])


def record(connection: sa.Connection, added: list[Trigger]) -> None:
    """Writes new triggers, and their history. Their policies are locked."""
    triggers.insert(connection, added)
    ledger.append(connection, [entry for trigger in added for entry in history.entries(trigger)])
