"""Writes what became of tasks: the tasks, their images, their log entries, and their executions' counts and ends.

All or nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa

from scheduler_service.domain import log_entries
from scheduler_service.domain.executions import Execution, ExecutionState, closing_state
from scheduler_service.domain.retention import KeptImage, Series
from scheduler_service.domain.tasks import Task
from scheduler_service.store import executions as execution_store
from scheduler_service.store import kept_images, outbox, places
from scheduler_service.store import series as series_store
from scheduler_service.store import tasks as task_store

_FREE = datetime(1970, 1, 1, tzinfo=UTC)
"""Due in operating time: nobody has claimed it yet."""


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
    _keep_images(connection, kept, executions, now)
    numbers = places.add(connection, _begun(kept), ended_places(kept))
    _close(connection, _ended(kept), {uid: numbers.get(found.place, 0) for uid, found in executions.items()}, now)
    return kept


def ended_places(changes: Iterable[Change]) -> set[str]:
    """Where tasks ended by these changes: their executions changed."""
    return {before.place for before, after in changes if after.state.ended and not before.state.ended}


def _begun(changes: Iterable[Change]) -> Counter[str]:
    """How many more builds are in flight by these changes, by place: fewer where the number is negative."""
    found: Counter[str] = Counter()
    for before, after in changes:
        found[before.place] += after.in_flight - before.in_flight
    return found


def _keep_images(
    connection: sa.Connection, changes: Iterable[Change], executions: Mapping[str, Execution], now: datetime
) -> None:
    """Takes images that became available into retention's care, and has it look at their series (X9)."""
    made = [
        (after, executions[after.execution_uid])
        for before, after in changes
        if after.has_image and not before.has_image
    ]
    if made:
        series_store.ask(connection, [_series(task, execution, now) for task, execution in made])
        kept_images.add(connection, [_image(task, execution) for task, execution in made])


def _series(task: Task, execution: Execution, now: datetime) -> Series:
    return Series(
        policy_uid=task.policy_uid,
        instance=task.instance,
        account=execution.account,
        region=execution.region,
        policy_id=execution.policy_id,
        due_product=now,
        due_operating=_FREE,
    )


def _image(task: Task, execution: Execution) -> KeptImage:
    return KeptImage(
        name=task.image,
        policy_uid=task.policy_uid,
        instance=task.instance,
        scheduled_time=execution.scheduled_time,
        request_id=task.request_id,
        execution_uid=task.execution_uid,
    )


def _ended(changes: Iterable[Change]) -> dict[str, Counter[str]]:
    """How many tasks ended by these changes, by execution uid and by the name of the count."""
    found: dict[str, Counter[str]] = {}
    for before, after in changes:
        if after.state.ended and not before.state.ended:
            found.setdefault(before.execution_uid, Counter())[after.state.lower()] += 1
    return found


def _close(
    connection: sa.Connection, ended: Mapping[str, Mapping[str, int]], numbers: Mapping[str, int], now: datetime
) -> None:
    """Counts ended tasks; the transaction that ends an execution's last task ends the execution.

    The counts are read after they were updated, under the update's lock: of two transactions that end the last two
    tasks, the second sees none open.
    """
    if not ended:
        return
    execution_store.count_ended(connection, ended, numbers)
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
