"""Turns due policies into triggers, and leases triggers to a scheduler."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
import structlog

from policy_service.commands.settling import record
from policy_service.dependencies import Dependencies
from policy_service.domain import triggers as rules
from policy_service.domain.ledger import disabled_entry, poisoned_entry
from policy_service.domain.triggers import Candidate, Trigger
from policy_service.store import associations, ledger, policies, triggers
from policy_service.store.triggers import Leasable
from servicekit.clock_guard import require_product_time

_LOG = structlog.get_logger("policy_service")


class Leased(NamedTuple):
    """Triggers, until when they are the caller's (operating time), and when it is worth coming again (product time)."""

    triggers: list[Trigger]
    expire_time: datetime
    next_due: datetime | None


def lease_triggers(deps: Dependencies, scheduler: str, max_instances: int) -> Leased:
    """Triggers of at most that many instances, oldest first. Only reads while nothing is due.

    Due policies are turned into triggers up to the same number; what is not leased at once is leased next time. Raises
    ProductTimeDoubtful.
    """
    require_product_time(deps.guard)
    now, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    expire = operating + deps.trigger_lease
    with deps.database.read() as connection:
        next_due = policies.next_due(connection)
        idle = (next_due is None or next_due > now) and not triggers.any_leasable(connection, operating)
    if idle:
        return Leased([], expire, next_due)
    with deps.database.write() as connection:
        _trigger_due_policies(deps, connection, now, max_instances)
        leasable = triggers.lock_leasable(connection, operating, max_instances)
        poisoned = _give_up_poisonous(connection, leasable, now)
        chosen = rules.choose([Candidate(one.uid, one.weight, one.lease_count) for one in leasable], max_instances)
        triggers.lease(connection, chosen, expire)
        leased = triggers.get(connection, chosen)
        next_due = policies.next_due(connection)
        if triggers.any_leasable(connection, operating):
            next_due = now if next_due is None else min(next_due, now)
    for trigger in poisoned:
        _LOG.error("trigger_poisoned", trigger=trigger.uid, policy=trigger.policy.name, leases=trigger.lease_count)
    if leased:
        _LOG.info("triggers_leased", scheduler=scheduler, triggers=len(leased))
    return Leased(leased, expire, next_due)


def _trigger_due_policies(deps: Dependencies, connection: sa.Connection, now: datetime, max_instances: int) -> None:
    """This commit is the moment of triggering (D1): what users change later does not undo it."""
    chosen = rules.choose(policies.due(connection, now, max_instances), max_instances)
    due = policies.lock_due(connection, chosen, now)
    linked = associations.of_policies(connection, [policy.uid for policy in due])
    taken_up = [rules.take_up(policy, deps.ids.uid(), linked[policy.uid], now) for policy in due]
    policies.update_triggered(connection, [moved_on for moved_on, _ in taken_up])
    record(connection, [trigger for _, trigger in taken_up])
    ledger.append(connection, [disabled_entry(moved_on, now) for moved_on, _ in taken_up if not moved_on.enabled])


def _give_up_poisonous(connection: sa.Connection, leasable: list[Leasable], now: datetime) -> list[Trigger]:
    """Triggers that were leased in vain too often run nothing any more; they stay, so that this is recorded (D3)."""
    uids = [one.uid for one in leasable if rules.is_poisonous(one.kind, one.lease_count)]
    poisonous = triggers.get(connection, uids)
    for trigger in poisonous:
        triggers.replace(connection, rules.poisoned(trigger))
    ledger.append(connection, [poisoned_entry(trigger, now) for trigger in poisonous])
    return poisonous
