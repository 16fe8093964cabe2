"""`autoimage verify` finds what is wrong: every kind of trouble is planted once in facts that are right."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoimage.compute.v1 import compute_pb2
from autoimage.policy.v1 import policy_pb2
from autoimage.scheduler.v1 import execution_pb2
from autoimage.type.v1 import missed_pb2, reason_pb2
from servicekit.timestamps import to_proto
from suite.verify.check import Finding, Trouble, findings
from suite.verify.command import report
from suite.verify.facts import Facts, Period

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
T0 = datetime(2030, 1, 1, 2, tzinfo=UTC)
NOW = T0 + 6 * DAY + timedelta(hours=1)
PERIOD = Period(T0 - DAY, NOW)
PLACE = "accounts/a/regions/r"
POLICY = f"{PLACE}/policies/p"
INSTANCES = [f"{PLACE}/instances/i-{number}" for number in (1, 2)]
EVENT, TASK, EXECUTION = policy_pb2.ScheduleEvent, execution_pb2.ImageTask, execution_pb2.Execution


def _event(kind: str, time: datetime, **fields: Any) -> policy_pb2.ScheduleEvent:
    return EVENT(policy=POLICY, policy_uid="u", kind=EVENT.Kind.Value(f"KIND_{kind}"), time=to_proto(time), **fields)


def _by_user(kind: str, time: datetime, next_time: datetime | None = None) -> policy_pb2.ScheduleEvent:
    daily = policy_pb2.Schedule(
        start_time=to_proto(T0),
        interval=policy_pb2.Interval(count=1, unit=policy_pb2.Interval.UNIT_DAY),
        time_zone="UTC",
    )
    event = _event(kind, time, schedule=daily)
    if next_time is not None:
        event.next_execution_time.CopyFrom(to_proto(next_time))
        event.next_local_time = next_time.replace(tzinfo=None).isoformat()
    return event


def _settled(kind: str, first: datetime, last: datetime | None = None, **fields: Any) -> policy_pb2.ScheduleEvent:
    last = first if last is None else last
    count = (last - first) // DAY + 1
    return _event(
        kind, last + MINUTE, first_time=to_proto(first), last_time=to_proto(last), point_count=count, **fields
    )


def _execution(kind: str, time: datetime, number: int, run_id: str = "") -> execution_pb2.Execution:
    return EXECUTION(
        name=f"{POLICY}/executions/exec-{number}",
        policy_uid="u",
        kind=EXECUTION.Kind.Value(f"KIND_{kind}"),
        state=EXECUTION.STATE_SUCCEEDED,
        scheduled_time=to_proto(time),
        start_time=to_proto(time),
        run_id=run_id,
        task_counts=execution_pb2.TaskCounts(total=0 if kind == "MISSED" else len(INSTANCES)),
    )


def right() -> Facts:
    """Two points on time, one run by a user, two missed and one caught up, one disabled, one again."""
    events = [
        _by_user("CREATED", T0 - DAY, T0),
        _settled("SCHEDULED", T0),
        _settled("SCHEDULED", T0 + DAY),
        _settled("RUN_NOW", T0 + DAY + MINUTE, run_id="r-1"),
        _settled("MISSED", T0 + 2 * DAY, T0 + 3 * DAY, reason=reason_pb2.REASON_NOT_TAKEN_UP),
        _settled("CATCH_UP", T0 + 4 * DAY),
        _by_user("DISABLED", T0 + 4 * DAY + 2 * MINUTE),
        _by_user("ENABLED", T0 + 5 * DAY + MINUTE, T0 + 6 * DAY),
        _settled("SCHEDULED", T0 + 6 * DAY),
    ]
    executions = [
        _execution("SCHEDULED", T0, 1),
        _execution("SCHEDULED", T0 + DAY, 2),
        _execution("RUN_NOW", T0 + DAY + MINUTE, 3, run_id="r-1"),
        _execution("MISSED", T0 + 2 * DAY, 4),
        _execution("CATCH_UP", T0 + 4 * DAY, 5),
        _execution("SCHEDULED", T0 + 6 * DAY, 6),
    ]
    executions[3].missed.CopyFrom(missed_pb2.MissedPoints(count=2))
    facts = Facts(as_of=NOW, events=events, executions=executions)
    facts.policies["u"] = policy_pb2.Policy(name=POLICY, uid="u", next_execution_time=to_proto(T0 + 7 * DAY))
    for execution in executions:
        instances = INSTANCES[: execution.task_counts.total]
        facts.tasks[execution.name] = [_task(execution, instance, facts) for instance in instances]
    return facts


def _task(execution: execution_pb2.Execution, instance: str, facts: Facts) -> execution_pb2.ImageTask:
    name = f"{PLACE}/images/img-{len(facts.images)}"
    facts.images[name] = compute_pb2.Image(
        name=name,
        source_instance=instance,
        state=compute_pb2.Image.STATE_AVAILABLE,
        labels={
            "execution": execution.name,
            "scheduled-time": execution.scheduled_time.ToDatetime(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )
    task = f"{execution.name}/imageTasks/{instance.rpartition('/')[2]}"
    return TASK(name=task, instance=instance, state=TASK.STATE_SUCCEEDED, image=name)


def test_nothing_is_found_where_all_is_right() -> None:
    assert findings(right(), PERIOD) == []


def _lose_trigger(facts: Facts) -> None:
    del facts.events[1]
    _remove_execution(facts, 0)


def _remove_execution(facts: Facts, number: int) -> None:
    """With its tasks and images."""
    for task in facts.tasks.pop(facts.executions.pop(number).name):
        del facts.images[task.image]


def _lose_missed(facts: Facts) -> None:
    del facts.events[4], facts.executions[3]


def _trigger_twice(facts: Facts) -> None:
    facts.events.append(_settled("CATCH_UP", T0))
    facts.executions.append(_execution("CATCH_UP", T0, 9))
    facts.tasks[facts.executions[-1].name] = []
    facts.executions[-1].task_counts.total = 0


def _trigger_while_disabled(facts: Facts) -> None:
    facts.events.insert(7, _settled("SCHEDULED", T0 + 5 * DAY))
    facts.executions.append(_execution("SCHEDULED", T0 + 5 * DAY, 9))
    facts.executions[-1].task_counts.total = 0
    facts.tasks[facts.executions[-1].name] = []


def _lose_execution(facts: Facts) -> None:
    _remove_execution(facts, 1)


def _lose_execution_but_not_its_images(facts: Facts) -> None:
    del facts.tasks[facts.executions.pop(1).name]


def _double_execution(facts: Facts) -> None:
    facts.executions.append(_execution("SCHEDULED", T0, 9))
    facts.executions[-1].task_counts.total = 0
    facts.tasks[facts.executions[-1].name] = []


def _add_execution(facts: Facts) -> None:
    facts.executions.append(_execution("RUN_NOW", T0, 9, run_id="r-2"))
    facts.executions[-1].task_counts.total = 0
    facts.tasks[facts.executions[-1].name] = []


def _lose_task(facts: Facts) -> None:
    task = facts.tasks[facts.executions[0].name].pop()
    del facts.images[task.image]


def _get_stuck(facts: Facts) -> None:
    facts.executions[0].state = EXECUTION.STATE_RUNNING


def _fail_with_image(facts: Facts) -> None:
    facts.tasks[facts.executions[0].name][0].state = TASK.STATE_CANCELLED


def _double_image(facts: Facts) -> None:
    first = next(iter(facts.images.values()))
    copy = compute_pb2.Image(name=f"{PLACE}/images/img-copy")
    copy.MergeFrom(first)
    copy.name = f"{PLACE}/images/img-copy"
    facts.images[copy.name] = copy


def _share_image(facts: Facts) -> None:
    first, second = facts.tasks[facts.executions[0].name]
    del facts.images[second.image]
    second.image = first.image


def _delete_image(facts: Facts) -> None:
    del facts.images[facts.tasks[facts.executions[0].name][0].image]


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (_lose_trigger, [Trouble.MISSING]),
        (_lose_missed, [Trouble.MISSING, Trouble.MISSING]),
        (_trigger_twice, [Trouble.DOUBLED, Trouble.DOUBLED]),
        (_trigger_while_disabled, [Trouble.ORPHANED]),
        (_lose_execution, [Trouble.MISSING]),
        (_lose_execution_but_not_its_images, [Trouble.MISSING, Trouble.ORPHANED, Trouble.ORPHANED]),
        (_double_execution, [Trouble.DOUBLED]),
        (_add_execution, [Trouble.ORPHANED]),
        (_lose_task, [Trouble.MISSING]),
        (_get_stuck, [Trouble.MISSING]),
        (_fail_with_image, [Trouble.ORPHANED]),
        (_double_image, [Trouble.ORPHANED, Trouble.DOUBLED]),
        (_share_image, [Trouble.DOUBLED]),
        (_delete_image, [Trouble.GONE]),
    ],
)
def test_each_trouble_is_found(plant: Callable[[Facts], None], expected: list[Trouble]) -> None:
    facts = deepcopy(right())
    plant(facts)
    assert [finding.trouble for finding in findings(facts, PERIOD)] == expected


def test_what_is_due_and_not_taken_up_yet_is_pending() -> None:
    facts = right()
    del facts.events[-1]
    _remove_execution(facts, -1)
    facts.policies["u"].next_execution_time.CopyFrom(to_proto(T0 + 6 * DAY))
    assert [finding.trouble for finding in findings(facts, PERIOD)] == [Trouble.PENDING]


def test_a_trigger_of_a_moment_ago_may_have_no_execution_yet() -> None:
    facts = right()
    _remove_execution(facts, -1)
    facts.as_of = T0 + 6 * DAY + 5 * MINUTE
    assert [finding.trouble for finding in findings(facts, PERIOD)] == [Trouble.PENDING]
    facts.as_of += 2 * MINUTE
    assert [finding.trouble for finding in findings(facts, PERIOD)] == [Trouble.MISSING]


@pytest.mark.parametrize("is_written", [True, False])
def test_a_poisoned_point_counts_once_whether_or_not_its_execution_was_written(is_written: bool) -> None:
    facts = right()
    facts.events.append(_settled("MISSED", T0, reason=reason_pb2.REASON_POISONED))
    if not is_written:
        _remove_execution(facts, 0)
        facts.executions.append(_execution("MISSED", T0, 9))
        facts.tasks[facts.executions[-1].name] = []
    assert findings(facts, PERIOD) == []


def test_what_lies_outside_the_period_is_not_looked_at() -> None:
    facts = right()
    _lose_trigger(facts)
    assert findings(facts, Period(T0 + MINUTE, NOW)) == []


@pytest.mark.parametrize(("before", "is_told"), [(MINUTE + timedelta(microseconds=1), True), (MINUTE, False)])
def test_an_image_that_retention_had_deleted_before_one_looked_must_not_be_there(
    before: timedelta, is_told: bool
) -> None:
    facts = right()
    task = facts.tasks[facts.executions[0].name][0]
    task.image_delete_time.CopyFrom(to_proto(NOW - before))
    text = "is there, although retention deleted it at 2030-01-07T02:58:59Z"
    assert findings(facts, PERIOD) == ([Finding(Trouble.ORPHANED, task.image, text)] if is_told else [])


@pytest.mark.parametrize(
    ("labels", "is_told"),
    [
        ({"scheduled-time": "2030-01-05T02:00:00Z"}, True),
        ({"scheduled-time": "2029-12-31T02:00:00Z"}, True),
        ({"scheduled-time": "2029-12-31T01:59:59Z"}, False),
        ({"scheduled-time": "2030-01-07T02:59:59Z"}, True),
        ({"scheduled-time": "2030-01-07T03:00:00Z"}, False),
        ({"scheduled-time": "2030-01-05T02:00:00"}, False),
        ({"scheduled-time": "yesterday"}, False),
        ({}, False),
        ({"scheduled-time": "2030-01-05T02:00:00Z", "execution": ""}, False),
    ],
)
def test_an_image_without_an_execution_is_told_in_the_period_of_its_label(
    labels: dict[str, str], is_told: bool
) -> None:
    facts = right()
    image = compute_pb2.Image(
        name=f"{PLACE}/images/img-lost",
        state=compute_pb2.Image.STATE_AVAILABLE,
        labels={"execution": f"{POLICY}/executions/exec-lost"} | labels,
    )
    facts.images[image.name] = image
    text = f"its execution {POLICY}/executions/exec-lost is not there"
    assert findings(facts, PERIOD) == ([Finding(Trouble.ORPHANED, image.name, text)] if is_told else [])


def test_whether_a_point_was_on_time_or_late_is_nothing_to_tell() -> None:
    facts = right()
    facts.events[1].kind = EVENT.KIND_CATCH_UP
    assert findings(facts, PERIOD) == []


def test_an_image_that_retention_deleted_is_nothing_to_tell() -> None:
    facts = right()
    _delete_image(facts)
    facts.tasks[facts.executions[0].name][0].image_delete_time.CopyFrom(to_proto(NOW))
    assert findings(facts, PERIOD) == []


def test_the_report_tells_what_is_wrong_first_and_sums_up() -> None:
    found = [Finding(Trouble.GONE, "b", "x"), Finding(Trouble.MISSING, "a", "y")]
    assert report(found, [PLACE], Period(T0, T0 + DAY)).splitlines() == [
        "missing   a: y",
        "gone      b: x",
        f"NOT OK: {PLACE} from 2030-01-01T02:00:00+00:00 to 2030-01-02T02:00:00+00:00: 1 missing, 1 gone",
    ]
    assert report([], [PLACE], Period(T0, T0 + DAY)).startswith("OK: ")
