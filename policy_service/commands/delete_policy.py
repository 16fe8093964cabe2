"""Deletes a policy."""

from policy_service.commands.settling import locked_policy, settle_due_points
from policy_service.dependencies import Dependencies
from policy_service.domain.ledger import deleted_entry
from policy_service.domain.policy import PolicyKey
from policy_service.domain.triggers import MissedReason
from policy_service.store import associations, ledger, limits, policies, retentions
from servicekit.clock_guard import require_product_time


def delete_policy(deps: Dependencies, key: PolicyKey, etag: str) -> None:
    """Unlinks the instances too; triggers, history and what it said of retention stay. Points that are due are missed.

    Raises PolicyNotFound, StaleEtag, ProductTimeDoubtful.
    """
    require_product_time(deps.guard)
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        now = deps.clocks.product.now()
        settle_due_points(deps, connection, policy, MissedReason.POLICY_DELETED, now)
        ledger.append(connection, [deleted_entry(policy, now)])
        retentions.leave(connection, policy)
        associations.unlink_all(connection, policy.uid)
        policies.delete(connection, policy.uid)
        limits.give_back(connection, key.place)
