"""What is logged of executions and tasks."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler_service.domain import log_entries
from scheduler_service.domain.executions import ExecutionState, Kind, Missed, TaskCounts
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.tasks import (
    Build,
    BuildState,
    LeftOut,
    Phase,
    Task,
    TaskState,
    accepted,
    ended,
    observed,
    observed_late,
    put_off,
    resolved,
)
from tests.support import START
from tests.support.scheduler_values import (
    IMAGE,
    PLACE,
    TOPIC,
    a_building_task,
    a_sent_task,
    a_task,
    an_execution,
    instance_name,
)

NOW = START + timedelta(minutes=2)
EXECUTION = an_execution()
BUILD = Build(IMAGE, BuildState.CREATING, NOW, ("vda",), (LeftOut("vdb", "LOCAL_DISK"),))
ENTRY = Entry(
    log_topic=TOPIC,
    insert_id=f"{EXECUTION.uid}/started",
    event_time=START,
    severity="INFO",
    event="EXECUTION_STARTED",
    message="execution started for 1 instance(s)",
    region="cn-north-1",
    policy=f"{PLACE}/policies/daily",
    execution=EXECUTION.name,
    scheduled_time=START,
    start_time=START,
    instance_count=1,
    task_state="RUNNING",
)


def of_change(before: Task, after: Task) -> list[Entry]:
    return list(log_entries.of_change(before, after, EXECUTION))


@pytest.mark.rule("L2")
def test_an_execution_is_logged_when_it_starts() -> None:
    assert list(log_entries.of_new_execution(EXECUTION)) == [ENTRY]


@pytest.mark.rule("L2")
def test_an_execution_is_logged_when_it_ends() -> None:
    counts = TaskCounts(total=5, succeeded=1, failed=2, skipped=1, cancelled=1)
    state = ExecutionState.PARTIALLY_SUCCEEDED
    over = replace(EXECUTION, state=state, end_time=NOW, counts=counts)
    assert log_entries.of_closed_execution(over, NOW) == replace(
        ENTRY,
        insert_id=f"{EXECUTION.uid}/ended",
        event_time=NOW,
        severity="WARNING",
        event="EXECUTION_ENDED",
        message="execution partially succeeded: 1 of 5 succeeded, 2 failed, 1 skipped, 1 cancelled",
        end_time=NOW,
        instance_count=5,
        task_state="PARTIALLY_SUCCEEDED",
    )


@pytest.mark.rule("L2")
@pytest.mark.parametrize(
    ("state", "severity"),
    [("SUCCEEDED", "INFO"), ("PARTIALLY_SUCCEEDED", "WARNING"), ("SKIPPED", "WARNING"), ("CANCELLED", "WARNING")],
)
def test_the_end_of_an_execution_is_as_grave_as_its_state(state: str, severity: str) -> None:
    over = replace(EXECUTION, state=ExecutionState(state), end_time=NOW)
    assert log_entries.of_closed_execution(over, NOW).severity == severity
    failed = replace(over, state=ExecutionState.FAILED)
    assert log_entries.of_closed_execution(failed, NOW).severity == "ERROR"


@pytest.mark.rule("L2")
def test_an_execution_without_instances_is_logged_as_started_and_ended() -> None:
    empty = replace(EXECUTION, state=ExecutionState.SUCCEEDED, end_time=START, counts=TaskCounts())
    started, over = log_entries.of_new_execution(empty)
    assert (started.event, started.task_state, started.end_time) == ("EXECUTION_STARTED", "RUNNING", None)
    assert (over.event, over.task_state, over.end_time) == ("EXECUTION_ENDED", "SUCCEEDED", START)


@pytest.mark.rule("D4", "L2")
def test_missed_points_are_logged_once() -> None:
    missed = Missed(START - timedelta(days=3), START - timedelta(days=1), 3, "NOT_TAKEN_UP")
    execution = an_execution(
        kind=Kind.MISSED,
        state=ExecutionState.MISSED,
        scheduled_time=missed.first,
        start_time=START,
        end_time=NOW,
        missed=missed,
    )
    (entry,) = log_entries.of_new_execution(execution)
    assert (entry.event, entry.severity, entry.missed) == ("EXECUTION_MISSED", "ERROR", missed)
    assert (entry.event_time, entry.scheduled_time) == (START, missed.first)
    assert entry.insert_id == f"{execution.uid}/missed"


@pytest.mark.rule("L2")
def test_a_task_is_logged_when_its_build_starts() -> None:
    before = a_sent_task(execution=EXECUTION)
    (entry,) = of_change(before, accepted(before, BUILD, NOW, NOW))
    assert entry == replace(
        ENTRY,
        insert_id=f"{EXECUTION.uid}/i-1/started",
        event_time=NOW,
        event="IMAGE_TASK_STARTED",
        message="building image img-0000000001 of i-1",
        start_time=NOW,
        task_state="BUILDING",
        instance=instance_name("i-1"),
        image=IMAGE,
        included=("vda",),
        left_out=(LeftOut("vdb", "LOCAL_DISK"),),
    )


@pytest.mark.rule("L2")
def test_a_task_is_logged_when_it_ends() -> None:
    before = a_building_task(execution=EXECUTION, included=("vda", "vdb"))
    (entry,) = of_change(before, observed(before, replace(BUILD, state=BuildState.AVAILABLE), NOW, NOW))
    assert entry == replace(
        ENTRY,
        insert_id=f"{EXECUTION.uid}/i-1/ended",
        event_time=NOW,
        event="IMAGE_TASK_ENDED",
        message="image of i-1 succeeded",
        end_time=NOW,
        task_state="SUCCEEDED",
        instance=instance_name("i-1"),
        image=IMAGE,
        included=("vda", "vdb"),
    )


@pytest.mark.rule("L2")
@pytest.mark.parametrize(("state", "severity"), [("FAILED", "ERROR"), ("SKIPPED", "WARNING"), ("CANCELLED", "WARNING")])
def test_a_task_that_ends_without_an_image_says_why(state: str, severity: str) -> None:
    before = a_task()
    (entry,) = of_change(before, ended(before, TaskState(state), "OVERLAP", NOW))
    assert (entry.event, entry.severity, entry.task_state) == ("IMAGE_TASK_ENDED", severity, state)
    assert (entry.reason, entry.image, entry.start_time, entry.end_time) == ("OVERLAP", "", None, NOW)
    assert entry.message == f"image of i-1 {state.lower()}: OVERLAP"


@pytest.mark.rule("L2")
def test_an_image_that_leaves_disks_out_is_a_warning() -> None:
    before = a_building_task(left_out=(LeftOut("vdb", "LOCAL_DISK"),))
    (entry,) = of_change(before, ended(before, TaskState.SUCCEEDED, "", NOW))
    assert (entry.severity, entry.left_out) == ("WARNING", before.left_out)


@pytest.mark.rule("L2")
def test_a_build_that_is_known_only_once_it_failed_is_logged_as_started_and_ended() -> None:
    before = a_sent_task(phase=Phase.RESOLVE, end_state=TaskState.FAILED, end_reason="COMPUTE_UNAVAILABLE")
    failed = replace(BUILD, state=BuildState.ERROR, reason="SNAPSHOT_FAILED")
    started, over = of_change(before, resolved(before, failed, NOW, NOW))
    assert (started.event, started.task_state, started.reason) == ("IMAGE_TASK_STARTED", "BUILDING", "")
    assert (started.severity, started.end_time, started.image) == ("INFO", None, IMAGE)
    assert (over.event, over.task_state, over.reason) == ("IMAGE_TASK_ENDED", "FAILED", "SNAPSHOT_FAILED")


@pytest.mark.rule("L2", "X5")
def test_a_late_image_is_logged_beside_the_end_of_its_task() -> None:
    before = a_building_task(state=TaskState.FAILED, phase=Phase.LATE, reason="BUILD_TIMEOUT", end_time=START)
    (entry,) = of_change(before, observed_late(before, replace(BUILD, state=BuildState.AVAILABLE), NOW, NOW))
    assert (entry.event, entry.severity, entry.event_time) == ("LATE_IMAGE", "WARNING", NOW)
    assert entry.insert_id == f"{before.execution_uid}/i-1/late"


@pytest.mark.rule("L2")
def test_retries_and_looks_are_not_logged() -> None:
    sent, building = a_sent_task(), a_building_task()
    assert of_change(sent, replace(sent, attempt_count=2)) == []
    assert of_change(building, observed(building, BUILD, NOW, NOW)) == []
    assert of_change(building, accepted(building, BUILD, NOW, NOW)) == []


@pytest.mark.rule("L3")
def test_insert_ids_tell_entries_apart_and_fit_the_contract_of_128_characters() -> None:
    before = a_task("i" * 63)
    (over,) = of_change(before, ended(before, TaskState.SKIPPED, "OVERLAP", NOW))
    (started,) = of_change(before, accepted(before, BUILD, NOW, NOW))
    assert over.insert_id != started.insert_id
    assert max(len(over.insert_id), len(started.insert_id)) <= 128
    (again,) = of_change(before, ended(before, TaskState.SKIPPED, "OVERLAP", NOW + timedelta(hours=1)))
    assert again.insert_id == over.insert_id


def test_messages_fit_the_contract_of_1024_characters() -> None:
    before = a_sent_task(instance_id="i" * 63)
    (entry,) = of_change(before, accepted(before, replace(BUILD, image="i" * 63), NOW, NOW))
    assert len(entry.message) < 200


def test_a_task_that_is_put_off_is_not_logged() -> None:
    before = a_sent_task()
    assert of_change(before, put_off(before, "COMPUTE_UNAVAILABLE", NOW, random.Random(0), timedelta(0))) == []
