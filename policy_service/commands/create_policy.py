"""Creates a policy."""

from policy_service.commands.making import made_before, make_policy
from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Place, Policy, PolicySpec, check_start_time, new_policy
from servicekit.clock_guard import require_product_time
from servicekit.idempotency import Idempotency


def create_policy(
    deps: Dependencies, place: Place, policy_id: str, spec: PolicySpec, *, enabled: bool, asked: Idempotency
) -> Policy:
    """The new policy; or, if the same was asked before, the policy that was made then. An empty id is drawn.

    Raises StartTimeOutOfRange, LogTopicNotFound, LogTopicUnsuitable, AlreadyExists, PolicyLimitReached,
    RequestIdReused, ProductTimeDoubtful, Unavailable; PolicyNotFound if the policy made before is deleted.
    """
    before = made_before(deps, place, asked)
    if before is not None:
        return before
    require_product_time(deps.guard)
    check_start_time(spec.schedule.start_time, deps.clocks.product.now())
    if spec.logging is not None:
        deps.logs.check_topic(spec.logging.topic)
    return make_policy(
        deps, place, policy_id, lambda key, uid, now: new_policy(key, uid, spec, enabled=enabled, now=now), asked
    )
