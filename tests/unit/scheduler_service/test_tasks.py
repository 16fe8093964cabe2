"""How a task may change: every transition, as a pure function of the task and of what was learned."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from scheduler_service.domain.tasks import (
    BUILD_DEADLINE,
    BUSY_LAST,
    FOLLOW_FIRST,
    FOLLOW_MOST,
    LATE_INTERVAL,
    RETRY_MOST,
    START_WINDOW,
    Build,
    BuildState,
    LeftOut,
    Phase,
    Refusal,
    Task,
    TaskState,
    Trouble,
    accepted,
    ended,
    ending,
    observed,
    observed_late,
    past_window,
    put_off,
    refused,
    resolved,
)
from tests.support import START
from tests.support.scheduler_values import IMAGE, a_building_task, a_sent_task, a_task

MICROSECOND = timedelta(microseconds=1)
LATER = START + timedelta(minutes=7)  # product time
OPERATING = START + timedelta(days=1)  # unlike product time, so that a mistake shows
CREATING = Build(IMAGE, BuildState.CREATING, LATER, ("vda",), (LeftOut("vdb", "LOCAL_DISK"),))
AVAILABLE = replace(CREATING, state=BuildState.AVAILABLE)
ERROR = replace(CREATING, state=BuildState.ERROR, reason="SNAPSHOT_FAILED")
TRANSIENT = Refusal(Trouble.TRANSIENT, "COMPUTE_UNAVAILABLE")
BUSY = Refusal(Trouble.BUSY, "INSTANCE_BUSY")


class Draw(random.Random):
    """Draws this share every time."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def random(self) -> float:
        return self.share


LOWEST, HIGHEST = Draw(0.0), Draw(1.0)


def a_late_task() -> Task:
    return a_building_task(
        state=TaskState.FAILED, phase=Phase.LATE, reason="BUILD_TIMEOUT", end_time=START + BUILD_DEADLINE
    )


def a_resolving_task(reason: str = "COMPUTE_UNAVAILABLE", state: TaskState = TaskState.FAILED) -> Task:
    return a_sent_task(phase=Phase.RESOLVE, reason=reason, end_state=state, end_reason=reason)


# Ends


@pytest.mark.rule("X2")
def test_all_states_but_pending_and_building_are_ends() -> None:
    assert [state for state in TaskState if state.ended] == ["SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"]
    assert [state for state in TaskState if not state.ended] == ["PENDING", "BUILDING"]


@pytest.mark.rule("X6")
@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED])
@pytest.mark.parametrize("task", [a_task(), a_sent_task(tries=3), a_building_task(tries=3)])
def test_a_task_keeps_its_state_until_it_is_resolved(task: Task, state: TaskState) -> None:
    assert ending(task, state, "DISASSOCIATED", LATER, OPERATING) == replace(
        task,
        phase=Phase.RESOLVE,
        tries=0,
        due_product=LATER,
        due_operating=OPERATING,
        reason="DISASSOCIATED",
        end_state=state,
        end_reason="DISASSOCIATED",
    )


def test_an_ended_task_does_not_remember_how_it_was_to_end() -> None:
    after = ended(a_resolving_task(), TaskState.FAILED, "COMPUTE_UNAVAILABLE", LATER)
    assert (after.end_state, after.end_reason, after.due_product) == (None, "", None)


# Retries


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    ("tries", "ceiling"),
    [(0, 0.2), (1, 0.4), (2, 0.8), (3, 1.6), (4, 3.2), (5, 6.4), (6, 12.8), (7, 25.6), (8, 30), (9, 30), (1000, 30)],
)
def test_retries_are_spread_over_all_of_a_ceiling_that_doubles_from_200_ms_to_30_s(tries: int, ceiling: float) -> None:
    task = a_sent_task(tries=tries, reason="COMPUTE_UNAVAILABLE")

    def due(source: random.Random) -> datetime:
        return put_off(task, "COMPUTE_UNAVAILABLE", OPERATING, source, timedelta(0)).due_operating

    assert due(LOWEST) == OPERATING
    assert due(Draw(0.5)) == OPERATING + timedelta(seconds=ceiling / 2)
    assert due(HIGHEST) == OPERATING + timedelta(seconds=ceiling)


@pytest.mark.rule("X5")
def test_a_retry_is_not_made_before_the_service_asked_for_it() -> None:
    task = a_sent_task()
    short, long = timedelta(milliseconds=150), timedelta(minutes=5)
    assert put_off(task, "COMPUTE_UNAVAILABLE", OPERATING, LOWEST, short).due_operating == OPERATING + short
    assert put_off(task, "COMPUTE_UNAVAILABLE", OPERATING, HIGHEST, long).due_operating == OPERATING + long
    assert long > RETRY_MOST


@pytest.mark.rule("X5")
def test_a_task_that_is_put_off_says_why_and_waits_in_operating_time_only() -> None:
    task = a_sent_task(due_operating=OPERATING)
    assert put_off(task, "COMPUTE_UNAVAILABLE", OPERATING, HIGHEST, timedelta(0)) == replace(
        task, reason="COMPUTE_UNAVAILABLE", tries=1, due_operating=OPERATING + timedelta(seconds=0.2)
    )


def test_another_kind_of_trouble_begins_its_own_series_of_retries() -> None:
    after_outage = a_sent_task(tries=8, reason="COMPUTE_UNAVAILABLE")
    busy = refused(after_outage, BUSY, START, OPERATING, HIGHEST)
    assert (busy.due_product, busy.tries) == (START + timedelta(minutes=1), 1)
    away = put_off(replace(busy, tries=8), "COMPUTE_UNAVAILABLE", OPERATING, HIGHEST, timedelta(0))
    assert (away.due_operating, away.tries) == (OPERATING + timedelta(seconds=0.2), 1)


def test_a_build_that_is_followed_is_retried_soon_when_compute_is_away() -> None:
    """It was looked at eight times: that says nothing about how long compute will be away."""
    after = put_off(a_building_task(tries=8), "COMPUTE_UNAVAILABLE", OPERATING, HIGHEST, timedelta(0))
    assert after.due_operating == OPERATING + timedelta(seconds=0.2)


@pytest.mark.rule("X5")
def test_the_reason_of_a_timed_out_task_outlives_an_outage_of_compute() -> None:
    after = put_off(a_late_task(), "COMPUTE_UNAVAILABLE", OPERATING, HIGHEST, timedelta(0))
    assert (after.state, after.reason) == (TaskState.FAILED, "BUILD_TIMEOUT")
    again = put_off(after, "COMPUTE_UNAVAILABLE", OPERATING, HIGHEST, timedelta(0))
    assert again.due_operating == OPERATING + timedelta(seconds=0.4)


# Refusals


@pytest.mark.rule("X5")
def test_a_transient_refusal_puts_off_and_honours_the_delay_asked_for() -> None:
    refusal = replace(TRANSIENT, retry_after=timedelta(seconds=9))
    after = refused(a_sent_task(), refusal, START, OPERATING, HIGHEST)
    assert (after.state, after.phase, after.reason) == (TaskState.PENDING, Phase.SEND, "COMPUTE_UNAVAILABLE")
    assert after.due_operating == OPERATING + timedelta(seconds=9)


@pytest.mark.rule("X6")
def test_a_request_that_came_too_late_is_sent_again_and_less_often_each_time() -> None:
    """A compute whose clock is ahead refuses all: it must not be asked without a pause."""
    task = a_sent_task()
    for seconds in (0.2, 0.4, 0.8):
        task = refused(task, Refusal(Trouble.TOO_LATE, "REQUEST_TOO_LATE"), START, OPERATING, HIGHEST)
        assert (task.state, task.phase) == (TaskState.PENDING, Phase.SEND)
        assert task.due_operating == OPERATING + timedelta(seconds=seconds)


@pytest.mark.rule("X4")
def test_a_busy_instance_is_tried_again_after_1_2_4_8_and_every_10_minutes_and_last_at_the_end_of_the_window() -> None:
    task, now, made = a_sent_task(), START, []
    while task.phase is Phase.SEND:
        task = refused(task, BUSY, now, OPERATING, HIGHEST)
        made.append(now - START)
        if task.due_product is not None:
            now = task.due_product
    minutes = [timedelta(minutes=number) for number in (0, 1, 3, 7, 15, 25, 35, 45, 55)]
    assert made == [*minutes, START_WINDOW - BUSY_LAST]
    assert (task.phase, task.end_state, task.end_reason) == (Phase.RESOLVE, TaskState.FAILED, "INSTANCE_BUSY")


@pytest.mark.rule("X4")
def test_a_task_that_waits_for_a_busy_instance_stays_pending_and_waits_in_product_time_only() -> None:
    task = a_sent_task()
    assert refused(task, BUSY, LATER, OPERATING, HIGHEST) == replace(
        task,
        reason="INSTANCE_BUSY",
        tries=1,
        in_flight=False,
        due_product=LATER + timedelta(minutes=1),
        due_operating=OPERATING,
    )


@pytest.mark.rule("X4")
def test_the_last_try_of_a_busy_instance_is_made_before_the_window_ends() -> None:
    """A loop wakes a little after the time it asked for; on the very end of the window that would be too late."""
    last = START + START_WINDOW - BUSY_LAST
    before = refused(a_sent_task(), BUSY, last - MICROSECOND, OPERATING, HIGHEST)
    assert (before.phase, before.due_product) == (Phase.SEND, last)
    at = refused(a_sent_task(), BUSY, last, OPERATING, HIGHEST)
    assert (at.phase, at.end_state, at.end_reason) == (Phase.RESOLVE, TaskState.FAILED, "INSTANCE_BUSY")


@pytest.mark.rule("X3", "X5")
@pytest.mark.parametrize(
    ("trouble", "state"), [(Trouble.SKIP, TaskState.SKIPPED), (Trouble.PERMANENT, TaskState.FAILED)]
)
def test_a_final_refusal_ends_the_task_once_it_is_resolved(trouble: Trouble, state: TaskState) -> None:
    after = refused(a_sent_task(), Refusal(trouble, "NO_SYSTEM_DISK"), START, OPERATING, HIGHEST)
    assert (after.phase, after.end_state, after.end_reason) == (Phase.RESOLVE, state, "NO_SYSTEM_DISK")


@pytest.mark.rule("X5")
@pytest.mark.parametrize(
    ("reason", "told"), [("", "START_WINDOW_PASSED"), ("POLICY_SERVICE_UNAVAILABLE", "POLICY_SERVICE_UNAVAILABLE")]
)
def test_past_the_window_a_task_says_what_stood_in_the_way_last(reason: str, told: str) -> None:
    for task in (a_task(reason=reason), a_sent_task(reason=reason)):
        after = past_window(task, LATER, OPERATING, paused=False)
        assert (after.phase, after.end_state, after.end_reason) == (Phase.RESOLVE, TaskState.FAILED, told)
        end = resolved(after, None, LATER, OPERATING)
        assert (end.state, end.reason, end.end_time) == (TaskState.FAILED, told, LATER)
    assert past_window(a_task(reason=reason), LATER, OPERATING, paused=True).reason == "REGION_PAUSED"


# Builds


@pytest.mark.parametrize("task", [a_sent_task(tries=5, reason="INSTANCE_BUSY"), a_resolving_task()])
def test_an_accepted_build_makes_the_task_building(task: Task) -> None:
    assert accepted(task, CREATING, LATER, OPERATING) == replace(
        task,
        state=TaskState.BUILDING,
        phase=Phase.FOLLOW,
        reason="",
        tries=0,
        end_state=None,
        end_reason="",
        image=IMAGE,
        included=("vda",),
        left_out=(LeftOut("vdb", "LOCAL_DISK"),),
        build_start_time=LATER,
        due_product=LATER + FOLLOW_FIRST,
        due_operating=OPERATING,
    )


@pytest.mark.parametrize("build", [AVAILABLE, ERROR])
def test_a_build_that_is_over_already_is_looked_at_at_once(build: Build) -> None:
    assert accepted(a_sent_task(), build, LATER, OPERATING).due_product == LATER


def test_a_build_starts_when_compute_accepted_it_however_late_that_is_learned() -> None:
    after = accepted(a_sent_task(), replace(CREATING, create_time=START), LATER, OPERATING)
    assert (after.build_start_time, after.due_product) == (START, LATER + FOLLOW_FIRST)


def test_a_build_is_looked_at_less_often_the_longer_it_takes() -> None:
    task, now, waits = a_building_task(), START, []
    for _ in range(7):
        task = observed(task, CREATING, now, OPERATING)
        assert task.due_product is not None
        waits.append(task.due_product - now)
        now = task.due_product
    assert waits == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 16, 32, 60, 60)]
    assert waits[-1] == FOLLOW_MOST


def test_a_look_clears_the_reason_of_an_outage() -> None:
    assert observed(a_building_task(reason="COMPUTE_UNAVAILABLE"), CREATING, LATER, OPERATING).reason == ""


@pytest.mark.rule("X2")
def test_an_available_image_succeeds_its_task() -> None:
    task = a_building_task()
    assert observed(task, AVAILABLE, LATER, OPERATING) == replace(
        task, state=TaskState.SUCCEEDED, phase=Phase.DONE, in_flight=False, due_product=None, end_time=LATER
    )


@pytest.mark.rule("X5")
@pytest.mark.parametrize(("build", "reason"), [(ERROR, "SNAPSHOT_FAILED"), (None, "IMAGE_DELETED")])
def test_a_lost_image_fails_its_task_once_it_is_resolved(build: Build | None, reason: str) -> None:
    after = observed(a_building_task(), build, LATER, OPERATING)
    assert (after.state, after.phase) == (TaskState.BUILDING, Phase.RESOLVE)
    assert (after.end_state, after.end_reason) == (TaskState.FAILED, reason)


@pytest.mark.rule("X5")
def test_a_build_times_out_24_hours_after_its_acceptance_and_not_before() -> None:
    task, deadline = a_building_task(), START + BUILD_DEADLINE
    assert observed(task, CREATING, deadline - MICROSECOND, OPERATING).phase is Phase.FOLLOW
    after = observed(task, CREATING, deadline, OPERATING)
    assert (after.phase, after.end_state, after.end_reason) == (Phase.RESOLVE, TaskState.FAILED, "BUILD_TIMEOUT")
    assert observed(task, AVAILABLE, deadline, OPERATING).state is TaskState.SUCCEEDED


# Resolving


@pytest.mark.rule("X6")
@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED])
def test_without_an_image_a_resolved_task_ends_as_intended(state: TaskState) -> None:
    task = replace(a_resolving_task("OVERLAP", state), reason="COMPUTE_UNAVAILABLE")
    after = resolved(task, None, LATER, OPERATING)
    assert (after.state, after.reason, after.phase) == (state, "OVERLAP", Phase.DONE)
    assert after.end_time == LATER


@pytest.mark.rule("X6")
@pytest.mark.parametrize("build", [CREATING, AVAILABLE])
def test_an_image_overrules_the_intended_end(build: Build) -> None:
    task = a_resolving_task("DISASSOCIATED", TaskState.CANCELLED)
    expected = replace(accepted(task, build, LATER, OPERATING), due_product=LATER)
    assert resolved(task, build, LATER, OPERATING) == expected


@pytest.mark.rule("X5", "L2")
def test_an_image_found_failed_fails_its_task_and_tells_of_the_build() -> None:
    after = resolved(a_resolving_task(), ERROR, LATER, OPERATING)
    assert (after.state, after.reason, after.phase) == (TaskState.FAILED, "SNAPSHOT_FAILED", Phase.DONE)
    assert (after.image, after.included, after.left_out) == (IMAGE, ERROR.included, ERROR.left_out)
    assert (after.build_start_time, after.end_time) == (LATER, LATER)


@pytest.mark.rule("X5")
def test_a_timed_out_task_ends_and_its_image_is_followed() -> None:
    task = replace(a_building_task(), phase=Phase.RESOLVE, end_state=TaskState.FAILED, end_reason="BUILD_TIMEOUT")
    after = resolved(task, CREATING, LATER, OPERATING)
    assert (after.state, after.reason, after.end_time) == (TaskState.FAILED, "BUILD_TIMEOUT", LATER)
    assert (after.phase, after.due_product) == (Phase.LATE, LATER + LATE_INTERVAL)
    assert resolved(task, None, LATER, OPERATING).phase is Phase.DONE


@pytest.mark.rule("X5")
@pytest.mark.parametrize(("build", "late"), [(AVAILABLE, LATER), (ERROR, None), (None, None)])
def test_a_late_image_is_taken_note_of_and_changes_no_state(build: Build | None, late: datetime | None) -> None:
    task = a_late_task()
    assert observed_late(task, build, LATER, OPERATING) == replace(
        task, phase=Phase.DONE, due_product=None, late_image_time=late
    )


def test_a_late_image_is_looked_for_every_hour() -> None:
    after = observed_late(a_late_task(), CREATING, LATER, OPERATING)
    assert (after.phase, after.due_product) == (Phase.LATE, LATER + LATE_INTERVAL)
