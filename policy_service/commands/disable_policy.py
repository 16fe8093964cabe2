"""Disables a policy."""

from policy_service.commands.settling import locked_policy, settle_due_points
from policy_service.dependencies import Dependencies
from policy_service.domain.ledger import Event, changed_entry
from policy_service.domain.policy import Policy, PolicyKey, disable
from policy_service.domain.triggers import MissedReason
from policy_service.store import ledger, policies
from servicekit.clock_guard import require_product_time


def disable_policy(deps: Dependencies, key: PolicyKey, etag: str) -> Policy:
    """The disabled policy, unchanged if it was disabled. Points that are due are missed.

    Raises PolicyNotFound, StaleEtag, ProductTimeDoubtful.
    """
    require_product_time(deps.guard)
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        if not policy.enabled:
            return policy
        settled = settle_due_points(deps, connection, policy, MissedReason.POLICY_DISABLED, now)
        disabled = disable(settled, now)
        policies.update(connection, disabled)
        ledger.append(connection, [changed_entry(disabled, Event.DISABLED, now)])
    return disabled
