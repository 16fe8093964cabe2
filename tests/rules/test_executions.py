"""Rules of executions: one for each trigger, whatever crashes; how they end; taking up and acknowledging."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_service.domain.executions import Execution, ExecutionState, Kind, Missed, TaskCounts, Trigger
from scheduler_service.domain.tasks import TaskState
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import TASK_LEASE, World, scheduler_world
from tests.support.scheduler_fakes import (
    LOCAL_SYSTEM_DISK,
    NO_IMAGE_QUOTA,
    TRIGGER_LEASE,
    Fault,
    SimulatedCrash,
    lost_answer,
    lost_request,
    raising,
)
from tests.support.scheduler_values import uid

CRASH = raising(SimulatedCrash())
MISSED = Missed(START - timedelta(days=3), START - timedelta(days=1), 3, "NOT_TAKEN_UP")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


def crash(world: World) -> None:
    """Runs until the process dies of what was prepared, and starts another."""
    with pytest.raises(SimulatedCrash):
        world.run_until_idle()
    world.restart()


def assert_one_image(world: World, creates: int) -> None:
    """One execution, one task, one image, and one request id however often it was sent."""
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.execution().state is ExecutionState.SUCCEEDED
    assert world.compute.made == 1
    assert [request_id for request_id, _ in world.compute.creates] == [world.task().request_id] * creates


# X1: at most one image


@pytest.mark.rule("X1")
def test_a_trigger_becomes_one_execution_and_one_image(world: World) -> None:
    world.add_trigger("i-1")
    assert_one_image(world, creates=1)
    assert world.task().image == world.compute.image_of("i-1").name


@pytest.mark.rule("X1", "D3")
@pytest.mark.parametrize("fault", [lost_request(), lost_answer()])
def test_a_trigger_that_comes_again_is_taken_up_once(world: World, fault: Fault) -> None:
    """It comes again when its acknowledgement is lost; when only the answer is, it does not."""
    trigger = world.add_trigger("i-1")
    world.faults.next("acknowledge", fault)
    world.run_until_idle()
    world.pass_time(TRIGGER_LEASE)
    assert_one_image(world, creates=1)
    assert world.policies.pending() == []
    assert world.policies.acknowledged[-1] == trigger.uid


@pytest.mark.rule("X1")
def test_a_trigger_that_comes_twice_in_one_answer_is_taken_up_once(world: World) -> None:
    world.policies.add(world.add_trigger("i-1"))
    assert_one_image(world, creates=1)


@pytest.mark.rule("X1", "D3")
def test_a_replica_that_was_slow_to_write_finds_the_execution_written(world: World) -> None:
    other = world.replica("scheduler-2")

    def meanwhile() -> None:
        world.time.operating.advance(TRIGGER_LEASE)
        take_up(other)

    world.add_trigger("i-1")
    world.faults.next("lease_triggers", Fault(after=meanwhile))
    take_up(world.deps)
    assert world.policies.schedulers == ["scheduler-1", "scheduler-2"]
    assert_one_image(world, creates=1)


@pytest.mark.rule("X1", "D3")
def test_a_crash_between_write_and_acknowledgement(world: World) -> None:
    trigger = world.add_trigger("i-1")
    world.faults.next("acknowledge", Fault(before=CRASH))
    crash(world)
    assert [len(world.executions()), world.policies.pending()] == [1, [trigger.uid]]
    assert_one_image(world, creates=1)
    assert world.policies.pending() == []


@pytest.mark.rule("X1")
def test_a_crash_between_counting_an_attempt_and_sending(world: World) -> None:
    world.add_trigger("i-1")
    world.faults.next("create_images", Fault(before=CRASH))
    crash(world)
    assert (world.task().attempt_count, world.compute.creates) == (1, [])
    assert_one_image(world, creates=1)
    assert world.task().attempt_count == 2


@pytest.mark.rule("X1")
def test_a_crash_between_sending_and_recording(world: World) -> None:
    world.add_trigger("i-1")
    world.faults.next("create_images", Fault(after=CRASH))
    crash(world)
    assert (world.task().state, world.compute.made) == (TaskState.PENDING, 1)
    assert_one_image(world, creates=2)


@pytest.mark.rule("X1", "X5")
@pytest.mark.parametrize(("fault", "creates"), [(lost_request(), 1), (lost_answer(), 2)])
def test_a_build_whose_answer_is_lost_is_sent_again_under_the_same_id(world: World, fault: Fault, creates: int) -> None:
    world.add_trigger("i-1")
    world.faults.next("create_images", fault)
    assert_one_image(world, creates)


@pytest.mark.rule("X1")
def test_a_sender_that_was_slower_than_its_lease_and_the_next_one_get_the_same_image(world: World) -> None:
    other = world.replica("scheduler-2")

    def meanwhile() -> None:
        world.pass_time(TASK_LEASE)
        send(other)
        assert world.task().state is TaskState.BUILDING

    world.add_trigger("i-1")
    take_up(world.deps)
    world.faults.next("create_images", Fault(after=meanwhile))
    send(world.deps)
    assert_one_image(world, creates=2)
    assert world.task().build_start_time == START


@pytest.mark.engines("sqlite")
@pytest.mark.rule("X1")
@pytest.mark.parametrize("known", [True, False])
def test_a_database_restored_from_an_older_copy_builds_no_second_image(
    world: World, tmp_path: Path, known: bool
) -> None:
    """The copy knows of a task that is still to be sent, or of nothing: compute knows the request id."""
    original, copy = tmp_path / "scheduler_service.db", tmp_path / "copy.db"
    world.faults.next("acknowledge", lost_request())
    world.add_trigger("i-1")
    if known:
        world.run(take_up)
    world.database.dispose()
    with closing(sqlite3.connect(original)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(original, copy)
    world.run_until_idle()
    assert world.task().state is TaskState.BUILDING

    world.database.dispose()
    for suffix in ("-wal", "-shm"):
        Path(f"{original}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(copy, original)
    assert [task.state for task in world.tasks()] == [TaskState.PENDING] * known
    world.pass_time(TRIGGER_LEASE)
    world.run_until_idle()
    assert_one_image(world, creates=2)


@pytest.mark.rule("X1")
def test_points_runs_policies_and_instances_have_builds_of_their_own(world: World) -> None:
    world.compute.build_time = timedelta(0)
    later = START + timedelta(hours=12)
    world.add_trigger("i-1", "i-2")
    world.settle()
    for scheduled, kind, run_id, policy in (
        (later, Kind.SCHEDULED, "", "daily"),
        (later, Kind.RUN_NOW, uid("run"), "daily"),
        (later, Kind.RUN_NOW, uid("another run"), "daily"),
        (later, Kind.SCHEDULED, "", "weekly"),
    ):
        world.add_trigger("i-1", kind=kind, scheduled=scheduled, run_id=run_id, policy=policy)
        world.settle()
    assert len({task.request_id for task in world.tasks()}) == 6
    assert world.compute.made == 6


# X2: how executions end


def settled(world: World) -> tuple[list[str], str, TaskCounts]:
    world.settle()
    return [task.state.value for task in world.tasks()], world.execution().state.value, world.execution().counts


@pytest.mark.rule("X2")
def test_an_execution_runs_until_its_last_task_has_ended(world: World) -> None:
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    assert [task.state for task in world.tasks()] == [TaskState.BUILDING] * 2
    world.compute.finish_at(world.compute.image_of("i-2"), START + timedelta(hours=1))
    world.live(timedelta(minutes=15))
    assert [task.state for task in world.tasks()] == [TaskState.SUCCEEDED, TaskState.BUILDING]
    assert (world.execution().state, world.execution().end_time) == (ExecutionState.RUNNING, None)
    world.settle()
    assert world.execution().state is ExecutionState.SUCCEEDED
    assert world.execution().end_time == world.task("i-2").end_time == world.time.product.now()


@pytest.mark.rule("X2")
def test_all_tasks_succeeded(world: World) -> None:
    world.add_trigger("i-1", "i-2")
    assert settled(world) == (["SUCCEEDED"] * 2, "SUCCEEDED", TaskCounts(total=2, succeeded=2))


@pytest.mark.rule("X2")
def test_no_instances(world: World) -> None:
    world.add_trigger()
    assert settled(world) == ([], "SUCCEEDED", TaskCounts())
    assert world.execution().end_time == START


@pytest.mark.rule("X2")
def test_some_tasks_succeeded(world: World) -> None:
    world.add_trigger("i-1", "i-2", "i-3", "i-4")
    world.compute.failing.add("i-2")
    world.compute.refusals["i-3"] = NO_IMAGE_QUOTA
    world.disassociate("i-4")
    assert settled(world) == (
        ["SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"],
        "PARTIALLY_SUCCEEDED",
        TaskCounts(total=4, succeeded=1, failed=1, skipped=1, cancelled=1),
    )


@pytest.mark.rule("X2")
def test_all_tasks_skipped(world: World) -> None:
    world.add_trigger("i-1", "i-2")
    world.compute.refusals |= {"i-1": NO_IMAGE_QUOTA, "i-2": NO_IMAGE_QUOTA}
    assert settled(world) == (["SKIPPED"] * 2, "SKIPPED", TaskCounts(total=2, skipped=2))


@pytest.mark.rule("X2")
def test_all_tasks_cancelled(world: World) -> None:
    trigger = world.add_trigger("i-1", "i-2")
    world.policies.delete_policy(trigger.policy_uid)
    assert settled(world) == (["CANCELLED"] * 2, "CANCELLED", TaskCounts(total=2, cancelled=2))


@pytest.mark.rule("X2")
def test_no_task_succeeded_otherwise(world: World) -> None:
    world.add_trigger("i-1", "i-2")
    world.compute.refusals |= {"i-1": NO_IMAGE_QUOTA, "i-2": LOCAL_SYSTEM_DISK}
    assert settled(world) == (["SKIPPED", "FAILED"], "FAILED", TaskCounts(total=2, failed=1, skipped=1))


# D3: take up, then acknowledge


@pytest.mark.rule("D3")
def test_a_trigger_is_acknowledged_only_when_its_execution_is_on_disk(world: World) -> None:
    seen: list[Execution] = []
    world.faults.next("acknowledge", Fault(before=lambda: seen.extend(world.executions())))
    trigger = world.add_trigger("i-1")
    world.run_until_idle()
    assert [execution.uid for execution in seen] == [world.execution().uid]
    assert world.policies.acknowledged == [trigger.uid]


@pytest.mark.rule("D3")
def test_a_crash_before_the_execution_is_on_disk_leaves_the_trigger_to_come_again(world: World) -> None:
    trigger = world.add_trigger("i-1")
    world.faults.crash_at = 2  # after the lease, then before the commit
    crash(world)
    assert (world.executions(), world.undelivered(), world.policies.pending()) == ([], [], [trigger.uid])
    assert_one_image(world, creates=1)


@pytest.mark.rule("D3")
def test_executions_are_all_written_or_none(world: World) -> None:
    world.add_trigger("i-1")
    world.add_trigger("i-2", policy="weekly")
    world.faults.crash_at = 2
    crash(world)
    assert (world.executions(), world.tasks()) == ([], [])
    take_up(world.deps)
    assert (len(world.executions()), len(world.tasks())) == (2, 2)


@pytest.mark.rule("D3")
def test_without_triggers_nothing_is_written_and_nothing_acknowledged(world: World) -> None:
    world.policies.next_due_time = START + timedelta(hours=1)
    world.run_until_idle()
    assert world.faults.reached == 1  # the one call for triggers, and no transaction that writes
    assert world.policies.acknowledged == []
    assert world.wakes[0].product == START + timedelta(hours=1)
    assert world.deps.last_poll.get() == (START, START + timedelta(hours=1))


def test_a_time_that_passes_without_anything_due_costs_no_transaction_that_writes(world: World) -> None:
    world.compute.build_time = timedelta(hours=1)
    world.add_trigger("i-1")
    world.run_until_idle()
    before = world.faults.reached
    world.run_until_idle()
    assert world.faults.reached == before + 1  # the poll for triggers
    assert world.wakes[2] == Wake(product=START + timedelta(seconds=2))


@pytest.mark.rule("D3")
def test_a_policy_service_that_is_away_is_asked_again_soon(world: World) -> None:
    world.faults.always("lease_triggers", lost_request())
    world.add_trigger("i-1")
    world.run_until_idle()
    assert world.wakes[0].operating == START + timedelta(seconds=0.5)
    assert world.deps.last_poll.get() == (None, None)
    world.faults.clear("lease_triggers")
    assert_one_image(world, creates=1)


def poisoned(trigger: Trigger) -> Trigger:
    """What the policy service makes of a trigger that was leased in vain too often."""
    assert trigger.scheduled_time is not None
    carried = trigger.missed or Missed(trigger.scheduled_time, trigger.scheduled_time, 0, "")
    missed = Missed(carried.first, trigger.scheduled_time, carried.count + 1, "POISONED")
    return replace(trigger, kind=Kind.MISSED, scheduled_time=None, run_id="", instances=(), missed=missed)


@pytest.mark.rule("D3", "X1")
@pytest.mark.parametrize("missed", [None, MISSED])
@pytest.mark.parametrize(("kind", "run_id"), [(Kind.SCHEDULED, ""), (Kind.CATCH_UP, ""), (Kind.RUN_NOW, uid("run"))])
def test_a_trigger_that_is_poisoned_although_it_was_run_leaves_no_second_outcome(
    world: World, kind: Kind, run_id: str, missed: Missed | None
) -> None:
    """Its acknowledgements were lost; points that it carried as missed are recorded once, too."""
    trigger = world.add_trigger("i-1", kind=kind, run_id=run_id, missed=missed)
    world.settle()
    before = world.executions()
    world.policies.add(poisoned(trigger))
    world.settle()
    assert world.executions() == before
    assert (world.policies.pending(), len(before)) == ([], 2 if missed else 1)


@pytest.mark.rule("D3", "X1")
@pytest.mark.parametrize("missed", [None, MISSED])
def test_a_trigger_that_is_run_by_a_slow_replica_after_it_was_poisoned_stays_missed(
    world: World, missed: Missed | None
) -> None:
    trigger = world.add_trigger("i-1", missed=missed)
    world.policies.acknowledge([trigger.uid])
    world.policies.add(poisoned(trigger))
    world.settle()
    world.policies.add(trigger)
    world.settle()
    assert world.execution().missed == poisoned(trigger).missed
    assert (world.tasks(), world.policies.pending()) == ([], [])


@pytest.mark.rule("D3", "D4")
def test_a_later_point_is_run_although_its_trigger_carries_missed_points_that_are_recorded(world: World) -> None:
    """As after the policy service was restored from an older copy: it settles the same points once more."""
    world.add_trigger(kind=Kind.MISSED, missed=replace(MISSED, reason="POISONED"))
    world.settle()
    world.add_trigger("i-1", kind=Kind.CATCH_UP, missed=MISSED)
    world.settle()
    assert [execution.kind for execution in world.executions()] == [Kind.MISSED, Kind.CATCH_UP]
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]


@pytest.mark.rule("D3", "D4")
def test_a_poisoned_trigger_that_was_never_run_is_recorded_as_missed(world: World) -> None:
    first = world.add_trigger("i-1")
    world.settle()
    later = replace(first, scheduled_time=START + timedelta(hours=12), uid=uid("later"))
    world.policies.add(poisoned(later))
    world.settle()
    assert [execution.kind for execution in world.executions()] == [Kind.SCHEDULED, Kind.MISSED]


# D4: missed points


@pytest.mark.rule("D4", "X2")
def test_missed_points_are_recorded_and_the_newest_is_run(world: World) -> None:
    world.add_trigger("i-1", kind=Kind.CATCH_UP, scheduled=START - timedelta(hours=1), missed=MISSED)
    world.settle()
    missed, run = world.executions()
    assert (missed.kind, missed.state, missed.missed) == (Kind.MISSED, ExecutionState.MISSED, MISSED)
    assert (missed.scheduled_time, missed.start_time, missed.end_time) == (MISSED.first, START, START)
    assert (run.kind, run.state) == (Kind.CATCH_UP, ExecutionState.SUCCEEDED)
    assert [entry.event for entry in world.entries() if entry.execution == missed.name] == ["EXECUTION_MISSED"]


@pytest.mark.rule("D4")
@pytest.mark.parametrize("reason", ["NOT_TAKEN_UP", "POLICY_DISABLED", "POLICY_DELETED", "POISONED"])
def test_a_trigger_of_missed_points_only_is_recorded_once_and_acknowledged(world: World, reason: str) -> None:
    missed = Missed(START - timedelta(hours=12), START - timedelta(hours=12), 1, reason)
    trigger = world.add_trigger(kind=Kind.MISSED, missed=missed)
    world.policies.add(trigger)
    world.settle()
    assert (world.execution().state, world.execution().missed) == (ExecutionState.MISSED, missed)
    assert (world.tasks(), world.policies.pending()) == ([], [])
    (entry,) = world.entries()
    assert (entry.event, entry.missed) == ("EXECUTION_MISSED", missed)


@pytest.mark.rule("D4")
def test_a_point_that_is_run_late_has_its_start_window_from_the_moment_of_triggering(world: World) -> None:
    world.add_trigger("i-1", kind=Kind.CATCH_UP, scheduled=START - timedelta(days=2))
    world.settle()
    assert world.outcomes() == [("i-1", "SUCCEEDED", "")]
    assert world.execution().scheduled_time == START - timedelta(days=2)
