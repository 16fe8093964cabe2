"""Steps 1 and 2 of the main job: lease triggers, write their executions, acknowledge."""

from datetime import timedelta

import structlog

from scheduler_service.commands.write_executions import write_executions
from scheduler_service.dependencies import Dependencies
from servicekit.errors import Unavailable
from servicekit.loop import Wake

_LOG = structlog.get_logger(__name__)
_AFTER_FAILURE = timedelta(seconds=0.5)


def take_up(deps: Dependencies) -> Wake:
    """A trigger is acknowledged only once its execution is on disk (D3): after a crash in between it comes again."""
    product = deps.clocks.product.now()
    try:
        leased = deps.policies.lease_triggers(deps.scheduler)
    except Unavailable as error:
        _LOG.warning("no_triggers", reason=error.reason, message=error.message)
        return Wake(operating=deps.clocks.operating.now() + _AFTER_FAILURE)
    if leased.triggers:
        write_executions(deps, leased.triggers)
        deps.notify()
        deps.policies.acknowledge([trigger.uid for trigger in leased.triggers])
        _LOG.info(
            "triggers_taken_up",
            triggers=len(leased.triggers),
            instances=sum(len(trigger.instances) for trigger in leased.triggers),
        )
    deps.last_poll.set(product, leased.next_due_time)
    if leased.triggers:
        return Wake(at_once=True)
    # A time that has come already by our clock is the policy service's to wait for: ask again after the idle time.
    ahead = leased.next_due_time is not None and leased.next_due_time > product
    return Wake(product=leased.next_due_time if ahead else None)
