"""Bugs that are planted to show that the simulation finds such: each patches the product the way a mistake would."""

import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from greenlet import getcurrent, greenlet

from autoimage.compute.v1.compute_pb2 import Image
from compute_sim.commands import create_images, transactions
from compute_sim.store import quotas
from policy_service.commands import lease_triggers
from policy_service.store import policies
from scheduler_service.commands import claim_tasks, write_executions
from scheduler_service.domain import executions, retention, tasks
from scheduler_service.peers import compute
from scheduler_service.peers.logs import Delivery
from scheduler_service.steps import claims, deliver, send
from scheduler_service.store import outbox
from scheduler_service.store import tasks as task_store
from servicekit.loop import Wake
from tests.simulation.plan import plan
from tests.simulation.simulate import simulate

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class PlantedBug:
    """`seed`, with these kinds of faults only, finds it by one of the invariants `found_by`."""

    plant: Plant
    seed: int
    faults: tuple[str, ...]
    found_by: tuple[str, ...]


def acknowledge_before_commit(patch: pytest.MonkeyPatch) -> None:
    """Triggers are forgotten before their executions are on disk."""
    write = write_executions.write_executions

    def acknowledge_and_write(deps: Any, triggers: Sequence[Any]) -> None:
        deps.policies.acknowledge([trigger.uid for trigger in triggers])
        write(deps, triggers)

    patch.setattr("scheduler_service.steps.take_up.write_executions", acknowledge_and_write)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """Whoever had claimed a task once may write what became of it."""
    patch.setattr(
        task_store,
        "still_claimed",
        lambda _, claimed: {(task.execution_uid, task.instance_id) for task in claimed},
    )


def quota_outside_the_transaction(patch: pytest.MonkeyPatch) -> None:
    """What is left of a quota is read first, and taken a second later, whatever it is by then."""

    def read_and_write(deps: Any, places: Collection[Any], work: Callable[[Any], Any]) -> Any:
        with deps.database.write() as connection:
            seen = quotas.lock(connection, places)
        deps.sleep(1.0)
        return transactions.write(deps, places, lambda writing: work(replace(writing, quotas=seen)))

    def take(connection: Any, amounts: dict[Any, int]) -> None:
        quotas.give_back(connection, {key: -amount for key, amount in amounts.items()})

    patch.setattr(create_images, "write", read_and_write)
    patch.setattr(quotas, "take", take)


def new_request_id_for_a_retry(patch: pytest.MonkeyPatch) -> None:
    """A build is asked for under another id each time."""
    create = compute._create_request

    def create_anew(task: tasks.Task, execution: executions.Execution) -> Any:
        attempt = uuid.uuid5(uuid.UUID(task.request_id), str(task.attempt_count))
        return create(replace(task, request_id=str(attempt)), execution)

    patch.setattr(compute, "_create_request", create_anew)


def end_without_resolving(patch: pytest.MonkeyPatch) -> None:
    """A task in doubt ends as it was meant to, whatever compute has."""

    def end(task: tasks.Task, state: tasks.TaskState, reason: str, product: datetime, _: datetime) -> tasks.Task:
        return tasks.ended(task, state, reason, product)

    for module in (tasks, send, write_executions):
        patch.setattr(module, "ending", end)


def lost_wake_up(patch: pytest.MonkeyPatch) -> None:
    """A claim never runs out: nobody comes back for the tasks of a scheduler that died."""

    def claimed(task: tasks.Task, _lease_end: datetime, product: datetime) -> tasks.Task:
        return tasks.claimed(task, datetime.max.replace(tzinfo=UTC), product)

    patch.setattr(claim_tasks, "claimed", claimed)


def outbox_emptied_before_acceptance(patch: pytest.MonkeyPatch) -> None:
    """Log entries are deleted, then delivered."""

    def deliver_late(deps: Any) -> Wake:
        with deps.database.read() as connection:
            waiting = outbox.oldest(connection, claims.BATCH)
        if not waiting:
            return Wake()
        with deps.database.write() as connection:
            outbox.remove(connection, [item.id for item in waiting])
        results = deps.logs.write([item.entry for item in waiting])
        return Wake(at_once=Delivery.FAILED not in results)

    patch.setattr(deliver, "deliver", deliver_late)


def next_time_in_a_second_transaction(patch: pytest.MonkeyPatch) -> None:
    """A trigger is written, and its policy moved on a little later."""
    lease, update = lease_triggers.lease_triggers, policies.update_triggered
    moved_on: dict[greenlet, list[Any]] = {}

    def lease_and_move_on(deps: Any, scheduler: str, most: int) -> Any:
        leased = lease(deps, scheduler, most)
        moved = moved_on.pop(getcurrent(), [])
        if moved:
            with deps.database.write() as connection:
                update(connection, moved)
        return leased

    patch.setattr(policies, "update_triggered", lambda _, moved: moved_on.setdefault(getcurrent(), []).extend(moved))
    patch.setattr("policy_service.servicers.triggers.lease_triggers", lease_and_move_on)


def random_request_id(patch: pytest.MonkeyPatch) -> None:
    """The same build of the same execution has another id when it is written anew."""
    numbers = count(1)
    patch.setattr(write_executions, "build_request_id", lambda *_: str(uuid.UUID(int=next(numbers), version=4)))


def random_execution(patch: pytest.MonkeyPatch) -> None:
    """A trigger that comes twice makes two executions."""
    numbers = count(1)
    patch.setattr(executions, "execution_uid", lambda *_: str(uuid.UUID(int=next(numbers), version=4)))


def associations_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """Builds begin for instances that have left the policy."""
    patch.setattr(send, "_still_associated", lambda _deps, pending, _associated: list(pending))


def retention_counting_failed_images(patch: pytest.MonkeyPatch) -> None:
    """A failed image counts as one that can be gone back to."""
    see = compute._seen

    def see_all(image: retention.KeptImage, result: Any) -> retention.Seen:
        seen = see(image, result)
        failed = result.HasField("image") and result.image.state == Image.STATE_ERROR
        return replace(seen, condition=retention.Condition.AVAILABLE) if failed else seen

    patch.setattr(tasks.Task, "has_image", property(lambda task: bool(task.image) and task.state.ended))
    patch.setattr(compute, "_seen", see_all)


PLANTED: tuple[PlantedBug, ...] = (
    PlantedBug(acknowledge_before_commit, 0, ("crash_step",), ("every_point_has_one_outcome",)),
    PlantedBug(no_fencing, 0, ("standstill",), ("counts_are_those_of_the_tasks",)),
    PlantedBug(quota_outside_the_transaction, 134, ("overtake", "outage"), ("nothing_is_added_beyond_a_quota",)),
    PlantedBug(new_request_id_for_a_retry, 0, ("lose_answer", "delay_answer"), ("at_most_one_image",)),
    PlantedBug(end_without_resolving, 3, ("troubled_compute",), ("no_ended_task_has_a_live_image",)),
    PlantedBug(lost_wake_up, 0, ("crash_step",), ("everything_drains",)),
    PlantedBug(outbox_emptied_before_acceptance, 0, ("crash_step", "outage"), ("every_log_entry_once",)),
    PlantedBug(next_time_in_a_second_transaction, 2, ("crash_call",), ("nothing_fails_by_a_bug",)),
    PlantedBug(random_request_id, 0, ("restore",), ("at_most_one_image", "no_ended_task_has_a_live_image")),
    PlantedBug(
        random_execution, 7, ("crash_step", "lose_request"), ("one_execution_per_point", "nothing_fails_by_a_bug")
    ),
    PlantedBug(associations_not_asked_for, 19, ("outage", "standstill"), ("no_build_after_goodbye",)),
    PlantedBug(retention_counting_failed_images, 3, ("failing_builds",), ("retention_keeps_what_it_must",)),
)


def find(bug: PlantedBug, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first of the seeds that finds the bug, and by which invariant."""
    for seed in seeds:
        with pytest.MonkeyPatch.context() as patch:
            bug.plant(patch)
            violations = simulate(plan(seed, bug.faults)).violations
        if violations:
            return seed, violations[0][0]
    return None


if __name__ == "__main__":
    for planted in PLANTED:
        if planted.plant.__name__ in (sys.argv[1:] or planted.plant.__name__):
            print(planted.plant.__name__, find(planted, range(2_000)), flush=True)
