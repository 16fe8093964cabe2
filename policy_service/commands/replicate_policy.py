"""Copies a policy to other regions."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from policy_service.commands.making import made_before, make_policy
from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Place, Policy, PolicyKey
from policy_service.domain.replication import Target, replica
from policy_service.store import policies
from policy_service.store.schema import requests
from servicekit.clock_guard import require_product_time, trusted_time
from servicekit.errors import ServiceError
from servicekit.idempotency import Idempotency, remember, remembered


def replicate_policy(
    deps: Dependencies, key: PolicyKey, targets: Sequence[Target], asked: Idempotency
) -> dict[str, Policy | ServiceError]:
    """What becomes of each target, by its region: each is given once, and stands or falls alone (P14).

    If the same was asked before, the policies that were made then; what failed then is tried again, and is
    ProductTimeDoubtful as long as that is so. Raises PolicyNotFound, RequestIdReused, ProductTimeDoubtful, Unavailable.
    """
    now = trusted_time(deps.guard, deps.clocks.product)
    with deps.database.read() as connection:
        source = policies.get(connection, key)
        asked = replace(asked, scope=source.uid)
        is_new = remembered(connection, requests, asked, now) is None
    if is_new:
        require_product_time(deps.guard)
        with deps.database.write() as connection:
            if remembered(connection, requests, asked, now) is None:
                remember(connection, requests, asked, "", now)
    return {target.region: _outcome(deps, source, target, asked) for target in targets}


def _outcome(deps: Dependencies, source: Policy, target: Target, asked: Idempotency) -> Policy | ServiceError:
    try:
        return _replicate(deps, source, target, asked)
    except ServiceError as error:
        return error


def _replicate(deps: Dependencies, source: Policy, target: Target, asked: Idempotency) -> Policy:
    """Each target's answer is remembered by itself."""
    place = Place(source.key.account, target.region)
    asked = replace(asked, scope=f"{source.uid} {target.region}")
    before = made_before(deps, place, asked)
    if before is not None:
        return before
    require_product_time(deps.guard)
    if target.log_topic:
        deps.logs.check_topic(target.log_topic)
    return make_policy(deps, place, target.policy_id, partial(replica, source, target), asked)
