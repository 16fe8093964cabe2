"""Enables a policy."""

from policy_service.commands.settling import locked_policy
from policy_service.dependencies import Dependencies
from policy_service.domain.ledger import Event, changed_entry
from policy_service.domain.policy import Policy, PolicyKey, enable
from policy_service.store import ledger, policies
from servicekit.clock_guard import require_product_time


def enable_policy(deps: Dependencies, key: PolicyKey, etag: str) -> Policy:
    """The enabled policy, unchanged if it was enabled.

    Raises PolicyNotFound, StaleEtag, ScheduleExhausted, ProductTimeDoubtful.
    """
    require_product_time(deps.guard)
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        now = deps.clocks.product.now()
        enabled = enable(policy, now)
        if enabled != policy:
            policies.update(connection, enabled)
            ledger.append(connection, [changed_entry(enabled, Event.ENABLED, now)])
    return enabled
