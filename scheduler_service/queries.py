"""What users ask about executions; nothing here writes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduler_service.commands.claim_tasks import next_due
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Execution
from scheduler_service.domain.replicas import AT_WORK, Replica
from scheduler_service.domain.tasks import Phase, Task, TaskState
from scheduler_service.store import executions as execution_store
from scheduler_service.store import outbox, regions, replicas
from scheduler_service.store import series as series_store
from scheduler_service.store import tasks as task_store
from servicekit.errors import NotFound
from servicekit.names import EXECUTION, POLICY
from servicekit.paging import Page
from servicekit.timestamps import to_micros

_LATEST = 100
"""Executions that the scheduler's lateness is told of."""
_PHASES_UNDER_WAY = (Phase.SEND, Phase.FOLLOW, Phase.RESOLVE, Phase.LATE)


@dataclass(frozen=True)
class ExecutionFilter:
    """Which executions to list; what is empty or None does not matter."""

    states: Collection[str] = ()
    not_before: datetime | None = None
    before: datetime | None = None
    run_id: str = ""


@dataclass(frozen=True)
class SchedulerStatus:
    """How the scheduler is doing; see the contract for each field."""

    product_time: datetime
    next_due_time: datetime | None
    last_poll_time: datetime | None
    running_executions: int
    pending_tasks: int
    building_tasks: int
    oldest_pending_time: datetime | None
    undelivered_log_entries: int
    dropped_log_entries: int
    replicas: Sequence[Replica]
    paused_regions: Mapping[str, datetime]
    lateness: timedelta | None


def get_execution(deps: Dependencies, name: str) -> Execution:
    ids = EXECUTION.parse(name)
    with deps.database.read() as connection:
        found = execution_store.get(connection, ids["account"], ids["region"], ids["policy"], ids["execution"])
    if found is None:
        raise NotFound("execution", name)
    return found


def list_executions(
    deps: Dependencies, parent: str, filter: ExecutionFilter, page: Page
) -> tuple[list[Execution], tuple[int, str] | None]:
    """A page of executions, and the key of its last one if more follow. `-` as the policy's id means all policies."""
    ids = POLICY.match(parent, wildcards=True)
    assert ids is not None, "validated"
    with deps.database.read() as connection:
        rows = execution_store.page(
            connection,
            ids["account"],
            ids["region"],
            None if ids["policy"] == "-" else ids["policy"],
            states=filter.states,
            not_before=filter.not_before,
            before=filter.before,
            run_id=filter.run_id,
            after=page.after,
            limit=page.size + 1,
        )
    found, more = page.cut(rows)
    return found, (to_micros(found[-1].scheduled_time), found[-1].uid) if more else None


def list_image_tasks(
    deps: Dependencies, parent: str, states: Collection[str], page: Page
) -> tuple[Execution, list[Task], tuple[str] | None]:
    """The execution, a page of its tasks, and the key of the last one if more follow."""
    execution = get_execution(deps, parent)
    with deps.database.read() as connection:
        rows = task_store.page(connection, execution.uid, states=states, after=page.after, limit=page.size + 1)
    found, more = page.cut(rows)
    return execution, found, (found[-1].instance_id,) if more else None


def scheduler_status(deps: Dependencies) -> SchedulerStatus:
    now = deps.clocks.product.now()
    polled, policy_due = deps.last_poll.get()
    with deps.database.read() as connection:
        paused = regions.paused(connection)
        wishes = [
            next_due(deps, connection, _PHASES_UNDER_WAY, now),
            series_store.next_due(connection, now, paused=paused),
        ]
        due_times = [moment for later, due in wishes for moment in (later, now if due else None)]
        counts = task_store.count_open(connection, now)
        return SchedulerStatus(
            product_time=now,
            next_due_time=min(filter(None, [*due_times, policy_due]), default=None),
            last_poll_time=polled,
            running_executions=execution_store.count_running(connection),
            pending_tasks=counts.get(TaskState.PENDING, 0),
            building_tasks=counts.get(TaskState.BUILDING, 0),
            oldest_pending_time=task_store.oldest_pending(connection, now),
            undelivered_log_entries=outbox.count(connection),
            dropped_log_entries=outbox.dropped(connection),
            replicas=replicas.seen_since(connection, deps.clocks.operating.now() - AT_WORK),
            paused_regions=paused,
            lateness=execution_store.lateness(connection, _LATEST),
        )
