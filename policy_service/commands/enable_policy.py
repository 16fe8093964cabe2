"""Enables a policy."""

from policy_service.commands.settling import locked_policy
from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Policy, PolicyKey, enable
from policy_service.store import policies


def enable_policy(deps: Dependencies, key: PolicyKey, etag: str) -> Policy:
    """The enabled policy, unchanged if it was enabled. Raises PolicyNotFound, StaleEtag, ScheduleExhausted."""
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        enabled = enable(policy, deps.clocks.product.now())
        if enabled != policy:
            policies.update(connection, enabled)
    return enabled
