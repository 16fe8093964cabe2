"""Step 3 of the main job: have compute begin the builds of pending tasks."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from scheduler_service.commands.record import Change
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain import refusals
from scheduler_service.domain.claims import Gate
from scheduler_service.domain.tasks import (
    Build,
    Phase,
    Refusal,
    Task,
    TaskState,
    accepted,
    ending,
    past_window,
    refused,
)
from scheduler_service.peers.policies import Associated
from scheduler_service.steps.claims import Batch, put_off_all, run, write
from scheduler_service.store import regions
from servicekit.errors import ServiceError
from servicekit.loop import Wake

_LOG = structlog.get_logger(__name__)


def send(deps: Dependencies) -> Wake:
    """Sends up to 500 pending tasks that are due, across accounts."""
    return run(deps, [Phase.SEND], _send)


def _send(deps: Dependencies, batch: Batch) -> bool:
    in_time = _within_window(deps, batch.tasks)
    if not in_time:
        return True
    try:
        associated = deps.policies.filter_associated(in_time)
    except ServiceError as error:
        put_off_all(deps, in_time, "POLICY_SERVICE_UNAVAILABLE", error)
        return False
    ready = _begin_attempt(deps, _still_associated(deps, in_time, associated))
    if not ready:
        return True
    try:
        answers = deps.compute.create_images(ready, batch.executions, not_after=batch.lease_end)
    except ServiceError as error:
        put_off_all(deps, ready, refusals.COMPUTE_UNAVAILABLE, error)
        return False
    _record(deps, ready, answers)
    return True


def _within_window(deps: Dependencies, tasks: Sequence[Task]) -> list[Task]:
    """Has those end whose start window has passed (X4, X5); returns the others."""
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    expired = [task for task in tasks if product > task.window_end]
    if expired:
        with deps.database.read() as connection:
            gate = Gate(frozenset(regions.paused(connection)))
        changes = [(task, past_window(task, product, operating, paused=gate.is_paused(task.place))) for task in expired]
        write(deps, [Change(*change) for change in changes])
    return [task for task in tasks if product <= task.window_end]


def _still_associated(deps: Dependencies, tasks: Sequence[Task], associated: Associated) -> list[Task]:
    """Has those cancelled whose association does not hold any more (X6); returns the others."""
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    gone = [task for task in tasks if task.association_uid not in associated.associations]
    changes = []
    for task in gone:
        reason = "POLICY_DELETED" if task.policy_uid in associated.deleted_policies else "DISASSOCIATED"
        changes.append(Change(task, ending(task, TaskState.CANCELLED, reason, product, operating)))
    write(deps, changes)
    return [task for task in tasks if task.association_uid in associated.associations]


def _begin_attempt(deps: Dependencies, tasks: Sequence[Task]) -> list[Task]:
    """Counts the attempt, before the call. Returns the tasks that are ours still: what was withdrawn is not sent."""
    kept = write(deps, [Change(task, replace(task, attempt_count=task.attempt_count + 1)) for task in tasks])
    return [after for _, after in kept]


def _record(deps: Dependencies, tasks: Sequence[Task], answers: Sequence[Build | Refusal]) -> None:
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    changes = []
    for task, answer in zip(tasks, answers, strict=True):
        if isinstance(answer, Build):
            after = accepted(task, answer, product, operating)
        else:
            after = refused(task, answer, product, operating, deps.random)
        changes.append(Change(task, after))
    write(deps, changes)
    missing = [
        task
        for task, answer in zip(tasks, answers, strict=True)
        if isinstance(answer, Refusal) and answer.reason == "INSTANCE_NOT_FOUND"
    ]
    if missing:
        _report_missing(deps, missing)


def _report_missing(deps: Dependencies, tasks: Sequence[Task]) -> None:
    """Has the associations of deleted instances dissolved (A9); if that fails, a daily sweep will do it."""
    try:
        deps.policies.report_missing(tasks)
    except ServiceError as error:
        _LOG.warning("missing_instances_not_reported", instances=len(tasks), message=error.message)
