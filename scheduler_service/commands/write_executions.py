"""Makes executions and image tasks of triggers, once each, however often a trigger comes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from scheduler_service.commands.record import Change, record
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain import log_entries
from scheduler_service.domain.executions import Execution, Trigger, build_request_id, execution_key, executions_of
from scheduler_service.domain.tasks import Phase, Task, TaskState, ended, ending
from scheduler_service.store import executions as execution_store
from scheduler_service.store import outbox
from scheduler_service.store import tasks as task_store
from servicekit.retries import retried


def write_executions(deps: Dependencies, triggers: Sequence[Trigger]) -> None:
    """Executions, image tasks and "started" log entries of the triggers, in one transaction (step 2 of the main job).

    What another replica wrote of the same triggers before is left as it is.
    """
    retried(lambda: _write_all(deps, triggers))


def _write_all(deps: Dependencies, triggers: Sequence[Trigger]) -> None:
    with deps.database.write() as connection:
        execution_store.take_turns_in(connection, {(trigger.account, trigger.region) for trigger in triggers})
        _write(connection, triggers, deps.clocks.product.now(), deps.clocks.operating.now())


def _write(connection: sa.Connection, triggers: Sequence[Trigger], product: datetime, operating: datetime) -> None:
    wanted = [(trigger, execution) for trigger in triggers for execution in executions_of(trigger, product)]
    known = execution_store.known(connection, {execution.uid for _, execution in wanted})
    new = {execution.uid: (trigger, execution) for trigger, execution in wanted if execution.uid not in known}
    if not new:
        return
    tasks = [task for trigger, execution in new.values() for task in _tasks(trigger, execution, product, operating)]
    execution_store.insert(connection, [execution for _, execution in new.values()])
    outbox.add(connection, [e for _, execution in new.values() for e in log_entries.of_new_execution(execution)])
    earlier = task_store.open_of_instances(connection, {task.instance for task in tasks})
    task_store.insert(connection, tasks)
    record(connection, list(_overlaps(tasks, earlier, product, operating)), product)


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
            state=TaskState.PENDING,
            phase=Phase.SEND,
            create_time=product,
            due_product=execution.trigger_time,
            due_operating=operating,
        )


def _overlaps(
    tasks: Sequence[Task], earlier: dict[str, list[Task]], product: datetime, operating: datetime
) -> Iterable[Change]:
    """A new task is skipped while its instance is being imaged; it takes the place of one that is pending (X4).

    One that is on its way to another end already keeps that end.
    """
    for task in tasks:
        before = earlier.get(task.instance, [])
        if any(other.state is TaskState.BUILDING for other in before):
            yield Change(task, ended(task, TaskState.SKIPPED, "OVERLAP", product))
            continue
        for other in (other for other in before if other.phase is Phase.SEND):
            # The fence moves on: whoever holds a claim on the earlier task can't send it any more.
            superseded = ending(other, TaskState.SKIPPED, "SUPERSEDED", product, operating)
            yield Change(other, replace(superseded, fence=other.fence + 1))
        earlier[task.instance] = [task]
