"""Runs a policy now."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from policy_service.commands.settling import record
from policy_service.dependencies import Dependencies
from policy_service.domain import triggers as rules
from policy_service.domain.errors import PolicyDisabled, RunNowPending
from policy_service.domain.policy import PolicyKey
from policy_service.store import associations, policies, triggers
from policy_service.store.schema import requests
from servicekit.clock_guard import require_product_time, trusted_time
from servicekit.idempotency import Idempotency, remember, remembered
from servicekit.timestamps import from_micros, to_micros


class Run(NamedTuple):
    """A run that was accepted, and when."""

    run_id: str
    trigger_time: datetime


def execute_policy(deps: Dependencies, key: PolicyKey, asked: Idempotency) -> Run:
    """The run; or, if the same was asked before, the run of then. Its id is the request's, or a new one.

    Raises PolicyNotFound, PolicyDisabled, RunNowPending, RequestIdReused, ProductTimeDoubtful.
    """
    asked_at = trusted_time(deps.guard, deps.clocks.product)
    with deps.database.read() as connection:
        before = _run_before(connection, asked, asked_at)
    if before is not None:
        return before
    require_product_time(deps.guard)
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        before = _run_before(connection, asked, now)
        if before is not None:
            return before
        policy = policies.get(connection, key, lock=True)
        if not policy.enabled:
            raise PolicyDisabled(key.name)
        if triggers.run_now_pending(connection, policy.uid):
            raise RunNowPending(key.name)
        run = Run(asked.request_id or deps.ids.uid(), now)
        linked = associations.of_policies(connection, [policy.uid])[policy.uid]
        record(connection, [rules.run_now(policy, deps.ids.uid(), run.run_id, linked, now)])
        remember(connection, requests, asked, f"{run.run_id} {to_micros(now)}", now)
    return run


def _run_before(connection: sa.Connection, asked: Idempotency, now: datetime) -> Run | None:
    """The run that the same request has begun, if any. Raises RequestIdReused."""
    response = remembered(connection, requests, asked, now)
    if response is None:
        return None
    run_id, micros = response.split()
    return Run(run_id, from_micros(int(micros)))
