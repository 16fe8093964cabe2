"""Writes what became of tasks: the tasks, their log entries, and their executions' counts and ends, all or nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from scheduler_service.domain import log_entries
from scheduler_service.domain.executions import Execution, ExecutionState, closing_state
from scheduler_service.domain.tasks import Task
from scheduler_service.store import executions as execution_store
from scheduler_service.store import outbox
from scheduler_service.store import tasks as task_store


class Change(NamedTuple):
    """A task as it was claimed, and as it is to be."""

    before: Task
    after: Task


def record(connection: sa.Connection, changes: Sequence[Change], now: datetime) -> list[Change]:
    """Stores the changes of those tasks that nobody claimed since, and returns them; the others are ours no more."""
    held = task_store.still_claimed(connection, [change.before for change in changes])
    kept = [change for change in changes if (change.before.execution_uid, change.before.instance_id) in held]
    if not kept:
        return []
    task_store.update(connection, [change.after for change in kept])
    executions = execution_store.by_uid(connection, {change.before.execution_uid for change in kept})
    entries = [
        entry for change in kept for entry in log_entries.of_change(*change, executions[change.before.execution_uid])
    ]
    outbox.add(connection, entries)
    _close(connection, _ended(kept), now)
    return kept


def _ended(changes: Iterable[Change]) -> dict[str, Counter[str]]:
    """How many tasks ended by these changes, by execution uid and by the name of the count."""
    found: dict[str, Counter[str]] = {}
    for before, after in changes:
        if after.state.ended and not before.state.ended:
            found.setdefault(before.execution_uid, Counter())[after.state.lower()] += 1
    return found


def _close(connection: sa.Connection, ended: Mapping[str, Mapping[str, int]], now: datetime) -> None:
    """Counts ended tasks; the transaction that ends an execution's last task ends the execution.

    The counts are read after they were updated, under the update's lock: of two transactions that end the last two
    tasks, the second sees none open.
    """
    if not ended:
        return
    execution_store.count_ended(connection, ended)
    closed = [
        _closed(execution, now)
        for execution in execution_store.by_uid(connection, ended).values()
        if _is_over(execution)
    ]
    execution_store.close(connection, closed)
    outbox.add(connection, [log_entries.of_closed_execution(execution, now) for execution in closed])


def _is_over(execution: Execution) -> bool:
    return execution.counts.open == 0 and execution.state is ExecutionState.RUNNING


def _closed(execution: Execution, now: datetime) -> Execution:
    return replace(execution, state=closing_state(execution.counts), end_time=now)
