"""Creates a policy."""

import sqlalchemy as sa

from policy_service.dependencies import Dependencies
from policy_service.domain.errors import PolicyNotFound
from policy_service.domain.policy import Place, Policy, PolicyKey, PolicySpec, check_start_time, new_policy
from policy_service.store import limits, policies
from policy_service.store.schema import requests
from servicekit.errors import AlreadyExists
from servicekit.idempotency import Idempotency, remember, remembered

_MAX_DRAWS = 5


def create_policy(
    deps: Dependencies, place: Place, policy_id: str, spec: PolicySpec, *, enabled: bool, asked: Idempotency
) -> Policy:
    """The new policy; or, if the same was asked before, the policy that was made then. An empty id is drawn.

    Raises StartTimeOutOfRange, LogTopicNotFound, LogTopicUnsuitable, AlreadyExists, PolicyLimitReached,
    RequestIdReused, Unavailable; PolicyNotFound if the policy made before is deleted.
    """
    with deps.database.read() as connection:
        before = _made_before(deps, connection, place, asked)
    if before is not None:
        return before
    check_start_time(spec.schedule.start_time, deps.clocks.product.now())
    if spec.logging is not None:
        deps.logs.check_topic(spec.logging.topic)
    draws = 0
    while True:
        key = PolicyKey(*place, policy_id or deps.ids.new("pol"))
        draws += 1
        try:
            return _insert(deps, key, spec, enabled, asked)
        except AlreadyExists:
            if policy_id or draws == _MAX_DRAWS:
                raise


def _insert(deps: Dependencies, key: PolicyKey, spec: PolicySpec, enabled: bool, asked: Idempotency) -> Policy:
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        before = _made_before(deps, connection, key.place, asked)
        if before is not None:
            return before
        policy = new_policy(key, deps.ids.uid(), spec, enabled=enabled, now=now)
        policies.insert(connection, policy)
        limits.take(connection, key.place)
        remember(connection, requests, asked, f"{policy.uid} {key.policy_id}", now)
    return policy


def _made_before(deps: Dependencies, connection: sa.Connection, place: Place, asked: Idempotency) -> Policy | None:
    response = remembered(connection, requests, asked, deps.clocks.product.now())
    if response is None:
        return None
    uid, policy_id = response.split()
    policy = policies.get_by_uid(connection, uid)
    if policy is None:
        raise PolicyNotFound(PolicyKey(*place, policy_id).name)
    return policy
