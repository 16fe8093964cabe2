"""What the steps that look after tasks have in common: taking what is due, and writing what became of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from scheduler_service.commands.claim_tasks import claim_tasks, next_due
from scheduler_service.commands.record import Change, ended_places, record
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Execution
from scheduler_service.domain.tasks import Phase, Task, put_off
from scheduler_service.store import executions as execution_store
from servicekit.errors import ServiceError
from servicekit.loop import Wake
from servicekit.retries import retried

BATCH = 500
"""Tasks in one call to another service."""

AFTER_FAILURE = timedelta(seconds=0.5)
"""A service that did not answer is left alone for so long: tasks that were put off one by one go together again."""

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks that are ours until the lease ends, and their executions by uid."""

    tasks: Sequence[Task]
    executions: Mapping[str, Execution]
    lease_end: datetime


def run(deps: Dependencies, phases: Collection[Phase], work: Callable[[Dependencies, Batch], bool]) -> Wake:
    """Claims a batch and has it worked on; `work` answers whether the other service answered."""
    batch, wake = _take(deps, phases)
    if batch is None:
        return wake
    if not work(deps, batch):
        return Wake(operating=deps.clocks.operating.now() + AFTER_FAILURE)
    deps.notify()
    return Wake(at_once=True)


def _take(deps: Dependencies, phases: Collection[Phase]) -> tuple[Batch | None, Wake]:
    """A batch, or when to come back. Nothing is written while nothing is due."""
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    with deps.database.read() as connection:
        later, due = next_due(deps, connection, phases, product)
    if due is None or due > operating:
        return None, Wake(product=later, operating=due)
    batch = retried(lambda: _claim(deps, phases, operating + deps.task_lease))
    return (batch, Wake()) if batch.tasks else (None, Wake())


def _claim(deps: Dependencies, phases: Collection[Phase], lease_end: datetime) -> Batch:
    with deps.database.write() as connection:
        tasks = claim_tasks(deps, connection, phases, lease_end, BATCH)
        executions = execution_store.by_uid(connection, {task.execution_uid for task in tasks})
    return Batch(tasks, executions, lease_end)


def write(deps: Dependencies, changes: Sequence[Change]) -> list[Change]:
    """Records changes in a transaction of their own; returns those that counted."""
    if not changes:
        return []
    kept = retried(lambda: _record(deps, changes))
    deps.news.tell(ended_places(kept))
    for before, after in kept:
        if after.state.ended and not before.state.ended:
            _LOG.info(
                "image_task_ended",
                execution=before.execution_uid,
                instance=before.instance,
                state=after.state.value,
                reason=after.reason,
                image=after.image,
            )
    return kept


def _record(deps: Dependencies, changes: Sequence[Change]) -> list[Change]:
    with deps.database.write() as connection:
        return record(connection, changes, deps.clocks.product.now())


def put_off_all(deps: Dependencies, tasks: Sequence[Task], reason: str, error: ServiceError) -> None:
    """The service that the tasks need did not answer: each is tried again after a pause of its own."""
    _LOG.warning("tasks_put_off", tasks=len(tasks), reason=reason, error=error.reason, message=error.message)
    operating, at_least = deps.clocks.operating.now(), asked_for(error)
    write(deps, [Change(task, put_off(task, reason, operating, deps.random, at_least)) for task in tasks])


def asked_for(error: ServiceError) -> timedelta:
    """How long the service wants to be left alone. If nobody answered, our own client made the delay up."""
    return timedelta(0) if error.reason == "TRANSPORT" else error.retry_after or timedelta(0)
