"""Holds what exists against what the history of the schedules says should. Pure: facts in, findings out."""

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from autoimage.compute.v1 import compute_pb2
from autoimage.policy.v1 import policy_pb2
from autoimage.scheduler.v1 import execution_pb2
from autoimage.type.v1 import reason_pb2
from servicekit.timestamps import from_proto
from suite.points import of_event
from suite.verify.facts import Facts, Period

_EVENT = policy_pb2.ScheduleEvent
_EXECUTION = execution_pb2.Execution
_TASK = execution_pb2.ImageTask
_TRIGGERS = (_EVENT.KIND_SCHEDULED, _EVENT.KIND_CATCH_UP, _EVENT.KIND_RUN_NOW)
_BY_USERS = (
    _EVENT.KIND_CREATED,
    _EVENT.KIND_RESCHEDULED,
    _EVENT.KIND_ENABLED,
    _EVENT.KIND_DISABLED,
    _EVENT.KIND_DELETED,
)
_EXECUTION_LABEL, _TIME_LABEL = "execution", "scheduled-time"
_SECOND = timedelta(seconds=1)
"""Labels tell times to the second."""

TAKE_UP = timedelta(minutes=5)
"""How long a trigger may take to become an execution: six leases of 30 s, and some patience."""
CLOCKS_APART = timedelta(minutes=1)
"""How far what one replica's clock says may be from another's."""
LONGEST_EXECUTION = timedelta(hours=27)
"""An hour over which builds are spread, one in which to begin, a day to build, and some patience."""


class Trouble(enum.StrEnum):
    """What is wrong; the last two are nothing wrong, but something to know."""

    MISSING = "missing"
    DOUBLED = "doubled"
    ORPHANED = "orphaned"
    PENDING = "pending"
    GONE = "gone"

    @property
    def is_wrong(self) -> bool:
        return self not in (Trouble.PENDING, Trouble.GONE)


@dataclass(frozen=True)
class Finding:
    """Something that is not, or not yet, as it should be: of which resource, and why."""

    trouble: Trouble
    resource: str
    text: str


def findings(facts: Facts, period: Period) -> list[Finding]:
    """Everything that is missing, doubled or orphaned of the points, executions, tasks and images of the period."""
    by_policy: dict[str, list[policy_pb2.ScheduleEvent]] = defaultdict(list)
    for event in facts.events:
        by_policy[event.policy_uid].append(event)
    found: list[Finding] = []
    for uid, events in by_policy.items():
        found += _points(events, facts.policies.get(uid), facts.as_of, period)
    found += _executions(facts, period)
    for execution in facts.executions:
        found += _tasks(execution, facts)
    found += _images(facts, period)
    return found


def _points(
    events: Sequence[policy_pb2.ScheduleEvent], policy: policy_pb2.Policy | None, as_of: datetime, period: Period
) -> Iterator[Finding]:
    """Each point at which the policy was enabled was triggered or recorded as missed, once; and no other was."""
    name = events[-1].policy
    settled = [event for event in events if event.kind in (_EVENT.KIND_SCHEDULED, _EVENT.KIND_CATCH_UP)]
    triggered = Counter(from_proto(event.first_time) for event in settled)
    missed = [event for event in events if event.kind == _EVENT.KIND_MISSED and not _is_poisoned(event)]
    expected = [point for point in _expected(events, min(period.end, as_of)) if point in period]
    for point in expected:
        times = triggered.pop(point, 0) + sum(_covers(event, point) for event in missed)
        if times > 1:
            yield Finding(Trouble.DOUBLED, name, f"{_utc(point)} was settled {times} times")
        elif times == 0 and _is_awaited(point, policy):
            yield Finding(Trouble.PENDING, name, f"{_utc(point)} is due, and not taken up yet")
        elif times == 0:
            yield Finding(Trouble.MISSING, name, f"{_utc(point)} was neither triggered nor recorded as missed")
    for point in triggered:
        if point in period:
            yield Finding(Trouble.ORPHANED, name, f"{_utc(point)} was triggered, but is no point of the schedule")


def _expected(events: Iterable[policy_pb2.ScheduleEvent], until: datetime) -> Iterator[datetime]:
    """The points up to `until`. What a user does holds for later ones; those that are due then are settled first."""
    points: Iterator[datetime] = iter(())
    for event in events:
        if event.kind in _BY_USERS:
            end = min(from_proto(event.time), until)
            yield from takewhile(lambda point, end=end: point <= end, points)  # type: ignore[misc]
            points = of_event(event)
    yield from takewhile(lambda point: point <= until, points)


def _is_awaited(point: datetime, policy: policy_pb2.Policy | None) -> bool:
    """Whether the policy service is still to settle the point."""
    if policy is None or not policy.HasField("next_execution_time"):
        return False
    return from_proto(policy.next_execution_time) <= point


def _covers(event: policy_pb2.ScheduleEvent, point: datetime) -> bool:
    return from_proto(event.first_time) <= point <= from_proto(event.last_time)


def _is_poisoned(event: policy_pb2.ScheduleEvent) -> bool:
    """Such a point was triggered before, and counts as that."""
    return event.reason == reason_pb2.REASON_POISONED


def _executions(facts: Facts, period: Period) -> Iterator[Finding]:
    """Each trigger and each record of missed points has one execution, and each execution one of them."""
    wanted: Counter[tuple[object, ...]] = Counter()
    names: dict[tuple[object, ...], tuple[str, datetime]] = {}
    poisoned = {_key_of_point(event) for event in facts.events if _is_poisoned(event)}
    for event in facts.events:
        if event.kind in (*_TRIGGERS, _EVENT.KIND_MISSED) and not _is_poisoned(event):
            key = _key_of_event(event)
            wanted[key] += 1
            names[key] = (event.policy, from_proto(event.time))
    there = Counter(_key_of_execution(execution) for execution in facts.executions)
    for key in wanted.keys() | there.keys():
        point = key[2]
        assert isinstance(point, datetime)
        if point not in period:
            continue
        if there[key] > 1:
            yield Finding(Trouble.DOUBLED, names[key][0], f"{_utc(point)} has {there[key]} executions")
        elif there[key] and not wanted[key] and (key[0], point) not in poisoned:
            execution = next(one for one in facts.executions if _key_of_execution(one) == key)
            yield Finding(Trouble.ORPHANED, execution.name, f"nothing in the history asks for it at {_utc(point)}")
        elif wanted[key] and not there[key] and (key[0], point) not in poisoned:
            name, time = names[key]
            is_late = time < facts.as_of - TAKE_UP
            text = f"{_utc(point)} was triggered at {_utc(time)}, and has no execution"
            yield Finding(Trouble.MISSING if is_late else Trouble.PENDING, name, text)


def _key_of_event(event: policy_pb2.ScheduleEvent) -> tuple[object, ...]:
    kind = _EXECUTION.Kind.Value(_EVENT.Kind.Name(event.kind))
    return event.policy_uid, _outcome(kind), from_proto(event.first_time), event.run_id


def _key_of_execution(execution: execution_pb2.Execution) -> tuple[object, ...]:
    return execution.policy_uid, _outcome(execution.kind), from_proto(execution.scheduled_time), execution.run_id


def _outcome(kind: int) -> int:
    """On time or late, a point is run once: a restored history may say late of what was run on time."""
    return _EXECUTION.KIND_SCHEDULED if kind == _EXECUTION.KIND_CATCH_UP else kind


def _key_of_point(event: policy_pb2.ScheduleEvent) -> tuple[object, ...]:
    return event.policy_uid, from_proto(event.first_time)


def _tasks(execution: execution_pb2.Execution, facts: Facts) -> Iterator[Finding]:
    """All tasks are there and have ended in time; those that succeeded have their image, the others have none."""
    tasks = facts.tasks[execution.name]
    if len(tasks) != execution.task_counts.total:
        counts = f"{len(tasks)} of {execution.task_counts.total}"
        yield Finding(Trouble.MISSING, execution.name, f"has {counts} image tasks")
    if execution.state == _EXECUTION.STATE_RUNNING:
        is_late = from_proto(execution.start_time) < facts.as_of - LONGEST_EXECUTION
        text = f"is running since {_utc(from_proto(execution.start_time))}"
        yield Finding(Trouble.MISSING if is_late else Trouble.PENDING, execution.name, text)
    for task in tasks:
        yield from _image_of(task, facts)


def _image_of(task: execution_pb2.ImageTask, facts: Facts) -> Iterator[Finding]:
    image = facts.images.get(task.image)
    if task.state == _TASK.STATE_SUCCEEDED and image is None and not task.HasField("image_delete_time"):
        yield Finding(Trouble.GONE, task.name, f"its image {task.image} was deleted, and not by retention")
    if image is not None and _was_deleted(task, facts.as_of - CLOCKS_APART):
        deleted = _utc(from_proto(task.image_delete_time))
        yield Finding(Trouble.ORPHANED, image.name, f"is there, although retention deleted it at {deleted}")
    is_alive = image is not None and image.state != compute_pb2.Image.STATE_ERROR
    is_failure = task.state in (_TASK.STATE_FAILED, _TASK.STATE_SKIPPED, _TASK.STATE_CANCELLED)
    if is_failure and is_alive and task.reason != reason_pb2.REASON_BUILD_TIMEOUT:
        state = _TASK.State.Name(task.state).removeprefix("STATE_")
        yield Finding(Trouble.ORPHANED, task.image, f"is there, but its task {task.name} is {state}")


def _was_deleted(task: execution_pb2.ImageTask, until: datetime) -> bool:
    """Whether retention deleted the task's image before then."""
    return task.HasField("image_delete_time") and from_proto(task.image_delete_time) < until


def _images(facts: Facts, period: Period) -> Iterator[Finding]:
    """Each image of the period's executions is that of one task; of an execution and an instance there is one."""
    owners = Counter(task.image for tasks in facts.tasks.values() for task in tasks if task.image)
    there = {execution.name for execution in facts.executions}
    names = {execution.name for execution in facts.executions if from_proto(execution.scheduled_time) in period}
    built: dict[tuple[str, str], list[str]] = defaultdict(list)
    for image in facts.images.values():
        execution = image.labels.get(_EXECUTION_LABEL, "")
        if image.state == compute_pb2.Image.STATE_ERROR:
            continue
        if execution and execution not in there and _is_made_in(period, image):
            yield Finding(Trouble.ORPHANED, image.name, f"its execution {execution} is not there")
        if execution not in names:
            continue
        built[execution, image.source_instance].append(image.name)
        if owners[image.name] > 1:
            yield Finding(Trouble.DOUBLED, image.name, f"is the image of {owners[image.name]} tasks")
        elif not owners[image.name] and image.state == compute_pb2.Image.STATE_AVAILABLE:
            yield Finding(Trouble.ORPHANED, image.name, f"no task of {execution} has it")
    for (execution, instance), images in built.items():
        if len(images) > 1:
            yield Finding(
                Trouble.DOUBLED, execution, f"made {len(images)} images of {instance}: {', '.join(sorted(images))}"
            )


def _is_made_in(period: Period, image: compute_pb2.Image) -> bool:
    """Whether the image says that it was made for a scheduled time in the period."""
    try:
        moment = datetime.fromisoformat(image.labels[_TIME_LABEL])
    except (KeyError, ValueError):
        return False
    return moment.tzinfo is not None and period.start <= moment and moment + _SECOND <= period.end


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
