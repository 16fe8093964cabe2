"""Deletes a policy."""

from policy_service.commands.settling import locked_policy, settle_due_points
from policy_service.dependencies import Dependencies
from policy_service.domain.policy import PolicyKey
from policy_service.domain.triggers import MissedReason
from policy_service.store import associations, policies


def delete_policy(deps: Dependencies, key: PolicyKey, etag: str) -> None:
    """Unlinks the instances too; triggers and history stay. Points that are due are missed.

    Raises PolicyNotFound, StaleEtag.
    """
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        settle_due_points(deps, connection, policy, MissedReason.POLICY_DELETED, deps.clocks.product.now())
        associations.unlink_all(connection, policy.uid)
        policies.delete(connection, policy.uid)
