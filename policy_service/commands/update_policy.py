"""Changes a policy."""

from collections.abc import Callable

from policy_service.commands.settling import check_etag, locked_policy, take_up_due_points
from policy_service.dependencies import Dependencies
from policy_service.domain.editing import edit
from policy_service.domain.ledger import rescheduled_entries
from policy_service.domain.policy import Policy, PolicyKey, PolicySpec, topic_to_check
from policy_service.store import ledger, policies
from servicekit.clock_guard import require_product_time
from servicekit.errors import DatabaseUnavailable

_ATTEMPTS = 5

Change = Callable[[PolicySpec], PolicySpec]
"""What a user makes of a policy; raises InvalidArgument if that is none."""


def update_policy(deps: Dependencies, key: PolicyKey, etag: str, change: Change) -> Policy:
    """The changed policy; unchanged, of the same revision, if there is nothing to change.

    If its schedule changes, the points that are due are triggered or missed first, as if a scheduler had just asked.
    Raises PolicyNotFound, StaleEtag, InvalidArgument, LogTopicNotFound, LogTopicUnsuitable, StartTimeOutOfRange,
    ExecutionsTooClose, ScheduleExhausted, Unavailable.
    """
    require_product_time(deps.guard)
    for _ in range(_ATTEMPTS):
        topic = _checked_topic(deps, key, etag, change)
        updated = _update(deps, key, etag, change, topic)
        if updated is not None:
            return updated
    raise DatabaseUnavailable("DATABASE_LOCKED", "others are just changing the same policy")


def _checked_topic(deps: Dependencies, key: PolicyKey, etag: str, change: Change) -> str | None:
    """The log topic of the policy as it would be now, after a look at it if the change asks for one (P7)."""
    with deps.database.read() as connection:
        policy = policies.get(connection, key)
    check_etag(policy, etag)
    topic = topic_to_check(policy.spec, change(policy.spec))
    if topic is not None:
        deps.logs.check_topic(topic)
    return topic


def _update(deps: Dependencies, key: PolicyKey, etag: str, change: Change, checked: str | None) -> Policy | None:
    """None, and nothing is changed, if meanwhile the policy became one whose log topic was not looked at."""
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        spec = change(policy.spec)
        if topic_to_check(policy.spec, spec) not in (None, checked):
            return None
        if spec == policy.spec:
            return policy
        is_rescheduled = spec.schedule != policy.spec.schedule
        if is_rescheduled:
            policy = take_up_due_points(deps, connection, policy, now)
        edited = edit(policy, spec, now)
        policies.update(connection, edited)
        if is_rescheduled:
            ledger.append(connection, rescheduled_entries(policy, edited, now))
    return edited
