"""Makes executions and image tasks of triggers, once each, however often a trigger comes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from scheduler_service.commands.record import Change, record
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain import log_entries
from scheduler_service.domain.executions import (
    Execution,
    Kind,
    Trigger,
    build_request_id,
    due_time,
    execution_key,
    executions_of,
    planned_start,
    poisoned_record_uid,
)
from scheduler_service.domain.tasks import Phase, Task, TaskState, ending, withdrawn
from scheduler_service.store import executions as execution_store
from scheduler_service.store import outbox, places
from scheduler_service.store import tasks as task_store
from servicekit.retries import retried


def write_executions(deps: Dependencies, triggers: Sequence[Trigger]) -> None:
    """Executions, image tasks and "started" log entries of the triggers, in one transaction (step 2 of the main job).

    What another replica wrote of the same triggers before is left as it is.
    """
    retried(lambda: _write_all(deps, triggers))
    deps.news.tell({trigger.place for trigger in triggers})


def _write_all(deps: Dependencies, triggers: Sequence[Trigger]) -> None:
    with deps.database.write() as connection:
        execution_store.take_turns_in(connection, {(trigger.account, trigger.region) for trigger in triggers})
        _write(connection, triggers, deps.clocks.product.now(), deps.clocks.operating.now())


def _write(connection: sa.Connection, triggers: Sequence[Trigger], product: datetime, operating: datetime) -> None:
    wanted = {
        execution.uid: (trigger, execution)
        for trigger in _without_poisoned(connection, triggers)
        for execution in executions_of(trigger, product)
    }
    known = execution_store.known(connection, wanted.keys())
    new = [both for uid, both in wanted.items() if uid not in known]
    if not new:
        return
    executions = [execution for _, execution in new]
    tasks = [task for trigger, execution in new for task in _tasks(trigger, execution, product, operating)]
    earlier, numbers = _lock(connection, executions, tasks)
    execution_store.insert(connection, executions, numbers)
    outbox.add(connection, [entry for execution in executions for entry in log_entries.of_new_execution(execution)])
    task_store.insert(connection, tasks)
    points = _scheduled_times(connection, executions, earlier)
    record(connection, list(_overlaps(tasks, earlier, points, product, operating)), product)


def _without_poisoned(connection: sa.Connection, triggers: Sequence[Trigger]) -> list[Trigger]:
    """The triggers but for those whose point has its outcome: poisoned after it was run, or run after it was poisoned.

    A trigger is given up as POISONED when its acknowledgements are lost, whatever became of its execution (D3).
    """
    uids = {uid for trigger in triggers if (uid := poisoned_record_uid(trigger))}
    records = execution_store.by_uid(connection, uids)
    return [
        trigger for trigger in triggers if not _was_poisoned(trigger, records) and not _was_run(connection, trigger)
    ]


def _was_poisoned(trigger: Trigger, records: Mapping[str, Execution]) -> bool:
    """Whether the point that is to be run is recorded as POISONED already: who brings it was slow."""
    record = records.get(poisoned_record_uid(trigger) or "")
    missed = record.missed if record else None
    return missed is not None and (missed.reason, missed.last) == ("POISONED", trigger.scheduled_time)


def _was_run(connection: sa.Connection, trigger: Trigger) -> bool:
    """Whether a poisoned trigger's own point, the last of those that it reports as missed, was run after all."""
    missed = trigger.missed
    is_poisoned = trigger.kind is Kind.MISSED and missed is not None and missed.reason == "POISONED"
    return is_poisoned and missed is not None and execution_store.has_run(connection, trigger, missed.last)


def _lock(
    connection: sa.Connection, executions: Sequence[Execution], tasks: Sequence[Task]
) -> tuple[dict[str, list[Task]], dict[str, int]]:
    """The open tasks of the new tasks' instances, and the numbers of this change by place. Locked in this order."""
    earlier = task_store.open_of_instances(connection, {task.instance for task in tasks})
    return earlier, places.add(connection, {}, {execution.place for execution in executions})


def _scheduled_times(
    connection: sa.Connection, executions: Sequence[Execution], earlier: Mapping[str, Sequence[Task]]
) -> dict[str, datetime]:
    """By execution uid, of new executions and of those with open tasks of the same instances."""
    others = {task.execution_uid for tasks in earlier.values() for task in tasks}
    found = execution_store.by_uid(connection, others).values()
    return {execution.uid: execution.scheduled_time for execution in [*executions, *found]}


def _tasks(trigger: Trigger, execution: Execution, product: datetime, operating: datetime) -> Iterable[Task]:
    if execution.missed:
        return
    key = execution_key(execution.kind, execution.scheduled_time, execution.run_id)
    for instance in trigger.instances:
        yield Task(
            execution_uid=execution.uid,
            instance=instance.name,
            policy_uid=execution.policy_uid,
            association_uid=instance.association_uid,
            request_id=build_request_id(execution.policy_uid, key, instance.name),
            trigger_time=execution.trigger_time,
            planned_start_time=planned_start(execution, instance.name, trigger.spread),
            state=TaskState.PENDING,
            phase=Phase.SEND,
            create_time=product,
            due_product=due_time(execution, instance.name, trigger.spread),
            due_operating=operating,
        )


def _overlaps(
    tasks: Sequence[Task],
    earlier: Mapping[str, Sequence[Task]],
    points: Mapping[str, datetime],
    product: datetime,
    operating: datetime,
) -> Iterable[Change]:
    """A new task is skipped while its instance is being imaged; of those that are pending the newest stays (X4).

    Newest is the one with the latest scheduled time (`points`), whichever comes first; of the same time, the one that
    comes last. One that is on its way to another end already keeps that end.
    """
    by_instance: dict[str, list[Task]] = {}
    for task in tasks:
        by_instance.setdefault(task.instance, []).append(task)
    for instance, new in by_instance.items():
        others = earlier.get(instance, ())
        if any(other.state is TaskState.BUILDING for other in others):
            yield from (Change(task, ending(task, TaskState.SKIPPED, "OVERLAP", product, operating)) for task in new)
            continue
        pending = [*(other for other in others if other.phase is Phase.SEND), *new]
        pending.sort(key=lambda task: points[task.execution_uid])
        for older in pending[:-1]:
            yield Change(older, withdrawn(older, TaskState.SKIPPED, "SUPERSEDED", product, operating))
