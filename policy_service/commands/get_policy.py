"""Gets a policy."""

from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Policy, PolicyKey
from policy_service.store import policies


def get_policy(deps: Dependencies, key: PolicyKey) -> Policy:
    """Raises PolicyNotFound."""
    with deps.database.read() as connection:
        return policies.get(connection, key)
