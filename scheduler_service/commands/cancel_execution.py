"""Cancels what an execution has not begun to build."""

from scheduler_service import queries
from scheduler_service.commands.record import Change, record
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Execution
from scheduler_service.domain.tasks import TaskState, withdrawn
from scheduler_service.store import tasks as task_store


def cancel_execution(deps: Dependencies, name: str) -> Execution:
    """Has its pending tasks end once they are resolved (X6); answers what it is then: none of them has ended yet.

    Whoever holds a claim on one of them can't send it any more. Tasks that are building, or on their way to an end,
    are left alone; so is all when nothing is pending. Raises NotFound.
    """
    execution = queries.get_execution(deps, name)
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    with deps.database.write() as connection:
        pending = task_store.pending_of_execution(connection, execution.uid)
        changes = [
            Change(task, withdrawn(task, TaskState.CANCELLED, "EXECUTION_CANCELLED", product, operating))
            for task in pending
        ]
        kept = record(connection, changes, product)
    if kept:
        deps.notify()
    return queries.get_execution(deps, name)
