"""Changes a policy."""

from collections.abc import Callable
from typing import NamedTuple

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


class _Needs(NamedTuple):
    """What a change relies on that is seen to before the transaction which makes it."""

    log_topic: str | None
    product_time: bool


def update_policy(deps: Dependencies, key: PolicyKey, etag: str, change: Change) -> Policy:
    """The changed policy; unchanged, of the same revision, if there is nothing to change.

    If its schedule changes, the points that are due are triggered or missed first, as if a scheduler had just asked.
    Raises PolicyNotFound, StaleEtag, InvalidArgument, LogTopicNotFound, LogTopicUnsuitable, StartTimeOutOfRange,
    ExecutionsTooClose, ScheduleExhausted, Unavailable; ProductTimeDoubtful if its schedule changes.
    """
    for _ in range(_ATTEMPTS):
        seen_to = _see_to_needs(deps, key, etag, change)
        updated = _update(deps, key, etag, change, seen_to)
        if updated is not None:
            return updated
    raise DatabaseUnavailable("DATABASE_LOCKED", "others are just changing the same policy")


def _see_to_needs(deps: Dependencies, key: PolicyKey, etag: str, change: Change) -> _Needs:
    """What the change needs of the policy as it would be now: product time that is trusted, a good log topic (P7)."""
    with deps.database.read() as connection:
        policy = policies.get(connection, key)
    check_etag(policy, etag)
    needs = _needs(policy.spec, change(policy.spec))
    if needs.product_time:
        require_product_time(deps.guard)
    if needs.log_topic is not None:
        deps.logs.check_topic(needs.log_topic)
    return needs


def _needs(old: PolicySpec, new: PolicySpec) -> _Needs:
    return _Needs(log_topic=topic_to_check(old, new), product_time=new.schedule != old.schedule)


def _update(deps: Dependencies, key: PolicyKey, etag: str, change: Change, seen_to: _Needs) -> Policy | None:
    """None, and nothing is changed, if meanwhile the policy became one for which that is not enough."""
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        policy = locked_policy(connection, key, etag)
        spec = change(policy.spec)
        needs = _needs(policy.spec, spec)
        if needs.log_topic not in (None, seen_to.log_topic) or needs.product_time > seen_to.product_time:
            return None
        if spec == policy.spec:
            return policy
        is_rescheduled = needs.product_time
        if is_rescheduled:
            policy = take_up_due_points(deps, connection, policy, now)
        edited = edit(policy, spec, now)
        policies.update(connection, edited)
        if is_rescheduled:
            ledger.append(connection, rescheduled_entries(policy, edited, now))
    return edited
