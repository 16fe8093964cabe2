"""What must hold of a scheduler at every moment, judged from outside; if it does not, AssertionError is raised."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from scheduler_service.domain.executions import Execution, ExecutionState, Kind, closing_state
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.retention import KeptImage
from scheduler_service.domain.tasks import BuildState, Phase, Task, TaskState
from tests.support.scheduler_fakes import FakeCompute


def check_task(task: Task, compute: FakeCompute) -> None:
    """What it says of its image is so, and it has ended in all respects or in none."""
    image = compute.images.get(task.request_id)
    if task.state is TaskState.SUCCEEDED:
        assert task.image, f"succeeded without an image: {task}"
    elif task.state.ended:
        assert compute.resolves[task.request_id], f"X6: ended without being resolved: {task}"
        if image in compute.live_images():
            assert task.reason == "BUILD_TIMEOUT", f"X6: ended as {task.state}, but its image lives: {task}"
    if task.state is TaskState.BUILDING:
        assert task.image
        assert task.build_start_time
    assert (task.phase in (Phase.DONE, Phase.LATE)) == task.state.ended
    assert (task.end_time is not None) == task.state.ended


def check_counts(execution: Execution, tasks: Sequence[Task]) -> None:
    """Of an execution and all its tasks: it counts them, and has ended with the last."""
    states = Counter(task.state for task in tasks)
    counts = execution.counts
    assert counts.total == len(tasks)
    assert counts.open == states[TaskState.PENDING] + states[TaskState.BUILDING]
    assert counts.succeeded == states[TaskState.SUCCEEDED]
    assert counts.failed == states[TaskState.FAILED]
    assert counts.skipped == states[TaskState.SKIPPED]
    assert counts.cancelled == states[TaskState.CANCELLED]
    if execution.kind is Kind.MISSED:
        assert execution.state is ExecutionState.MISSED
    else:
        assert execution.state is (ExecutionState.RUNNING if counts.open else closing_state(counts))
    assert (execution.end_time is None) == (execution.state is ExecutionState.RUNNING)


def check_places(tasks: Sequence[Task], counted: Mapping[str, int], limit: int, compute: FakeCompute) -> None:
    """X7: the builds counted as in flight at each place are those that are, and at most `limit`, unless that is 0."""
    held = Counter(task.place for task in tasks if task.in_flight)
    assert Counter(counted) == held, "X7: places among the builds in flight are leaked"
    for task in tasks:
        assert task.in_flight or task.state is not TaskState.BUILDING
        assert not (task.in_flight and task.state.ended)
    if limit:
        creating = Counter(
            image.instance.partition("/instances/")[0]
            for image in compute.images.values()
            if compute.state(image) is BuildState.CREATING
        )
        for place in {*creating, *counted}:
            assert max(creating[place], counted.get(place, 0)) <= limit, "X7: over the limit"


def check_request_ids(compute: FakeCompute) -> None:
    """X1: however often a build is sent, it is under one request id."""
    assert all(len(ids) == 1 for ids in compute.sent_for.values()), "X1: two request ids for one build"


def check_kept_images(tasks: Sequence[Task], known_images: Sequence[KeptImage], compute: FakeCompute) -> None:
    """Retention knows of every image of a task that exists, and of no other; what it deleted is gone.

    Images of executions that are forgotten it still knows.
    """
    made = {task.image: task for task in tasks if task.has_image}
    known = {task.execution_uid for task in tasks}
    kept = {image.name for image in known_images if image.execution_uid in known}
    assert kept <= made.keys(), f"X9: no task's images: {kept - made.keys()}"
    living = {image.name for image in compute.live_images()}
    assert living & made.keys() <= kept, f"X9: forgotten: {living & made.keys() - kept}"
    deleted = {name for name, task in made.items() if task.image_delete_time}
    assert not deleted & (living | kept), f"X9: deleted, and still there: {deleted & (living | kept)}"


def check_entries(
    executions: Sequence[Execution],
    tasks: Sequence[Task],
    entries: Sequence[Entry],
    undelivered: Sequence[Entry],
    dropped: int,
) -> None:
    """`entries`, delivered or not, are those that there must be; of those that were dropped, only how many is known."""
    waiting = Counter((entry.log_topic, entry.insert_id) for entry in undelivered)
    assert set(waiting.values()) <= {1}, f"L3: in the outbox twice: {waiting}"
    found = {(entry.execution, entry.instance, entry.event) for entry in entries}
    wanted = set(_wanted_events(executions, tasks))
    assert found <= wanted, f"L2: entries are too many: {found - wanted}"
    assert len(wanted - found) == dropped, f"L2: entries are missing: {wanted - found}"


def _wanted_events(executions: Sequence[Execution], tasks: Sequence[Task]) -> Iterator[tuple[str, str, str]]:
    """Execution, instance and event of each entry that there should be."""
    names = {execution.uid: execution.name for execution in executions if execution.log_topic}
    for execution in (execution for execution in executions if execution.uid in names):
        if execution.kind is Kind.MISSED:
            yield execution.name, "", "EXECUTION_MISSED"
            continue
        yield execution.name, "", "EXECUTION_STARTED"
        if execution.end_time:
            yield execution.name, "", "EXECUTION_ENDED"
    for task in (task for task in tasks if task.execution_uid in names):
        name = names[task.execution_uid]
        if task.build_start_time:
            yield name, task.instance, "IMAGE_TASK_STARTED"
        if task.end_time:
            yield name, task.instance, "IMAGE_TASK_ENDED"
        if task.late_image_time:
            yield name, task.instance, "LATE_IMAGE"
