"""What creating and replicating have in common: a policy that is made once for each request."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from policy_service.dependencies import Dependencies
from policy_service.domain.errors import PolicyNotFound
from policy_service.domain.ledger import Event, changed_entry
from policy_service.domain.policy import Place, Policy, PolicyKey
from policy_service.store import ledger, limits, policies
from policy_service.store.schema import requests
from servicekit.clock_guard import trusted_time
from servicekit.errors import AlreadyExists
from servicekit.idempotency import Idempotency, remember, remembered

_MAX_DRAWS = 5

Build = Callable[[PolicyKey, str, datetime], Policy]
"""Makes a policy of its name, its uid and the time."""


def made_before(deps: Dependencies, place: Place, asked: Idempotency) -> Policy | None:
    """The policy that the same request has made, if any. Raises RequestIdReused; PolicyNotFound if it is deleted.

    Needs no product time that is trusted: a repeat makes nothing.
    """
    now = trusted_time(deps.guard, deps.clocks.product)
    with deps.database.read() as connection:
        return _made_before(connection, place, asked, now)


def make_policy(deps: Dependencies, place: Place, policy_id: str, build: Build, asked: Idempotency) -> Policy:
    """The new policy; or, if the same request has made one meanwhile, that one. An empty id is drawn.

    What takes another service has been checked. Raises AlreadyExists, PolicyLimitReached, and what `build` and
    `made_before` do.
    """
    draws = 0
    while True:
        key = PolicyKey(*place, policy_id or deps.ids.new("pol"))
        policy = build(key, deps.ids.uid(), deps.clocks.product.now())
        draws += 1
        try:
            return _insert(deps, policy, asked)
        except AlreadyExists:
            if policy_id or draws == _MAX_DRAWS:
                raise


def _insert(deps: Dependencies, policy: Policy, asked: Idempotency) -> Policy:
    place, now = policy.key.place, policy.create_time
    with deps.database.write() as connection:
        before = _made_before(connection, place, asked, now)
        if before is not None:
            return before
        policies.insert(connection, policy)
        limits.take(connection, place)
        ledger.append(connection, [changed_entry(policy, Event.CREATED, now)])
        remember(connection, requests, asked, f"{policy.uid} {policy.key.policy_id}", now)
    return policy


def _made_before(connection: sa.Connection, place: Place, asked: Idempotency, now: datetime) -> Policy | None:
    response = remembered(connection, requests, asked, now)
    if response is None:
        return None
    uid, policy_id = response.split()
    policy = policies.get_by_uid(connection, uid)
    if policy is None:
        raise PolicyNotFound(PolicyKey(*place, policy_id).name)
    return policy
