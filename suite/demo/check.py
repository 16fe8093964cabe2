"""Compares what the suite holds with what the demo expects. Every difference is a line of text; none: all is well."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from autoimage.compute.v1 import compute_pb2
from autoimage.log.v1 import log_pb2
from autoimage.scheduler.v1 import execution_pb2
from autoimage.type.v1 import reason_pb2
from servicekit.timestamps import from_proto
from suite.demo.model import Expected, ExpectedExecution, ExpectedMissed, Model
from suite.demo.world import World

_EXECUTION = execution_pb2.Execution
_TASK = execution_pb2.ImageTask
_ENTRY = log_pb2.LogEntry


def differences(model: Model, world: World) -> list[str]:
    """What is missing, doubled, or not as expected."""
    matched = _match(_expected(model), world)
    found = [*_executions(model, world)]
    for expected, execution in matched:
        if isinstance(expected, ExpectedMissed):
            found += _missed(expected, execution)
        else:
            found += _tasks(expected, execution, model, world)
    found += _images(world)
    found += _quotas(model, world)
    found += _entries(matched, world)
    return found


Key = tuple[str, str, datetime]


def _expected(model: Model) -> list[Expected]:
    return [*model.executions, *model.missed]


def _wanted(item: Expected) -> Key:
    return item.policy, item.kind, item.scheduled_time


def _there(execution: execution_pb2.Execution) -> Key:
    policy = execution.name.rpartition("/executions/")[0]
    kind = _EXECUTION.Kind.Name(execution.kind).removeprefix("KIND_")
    return policy, kind, from_proto(execution.scheduled_time)


def _match(expected: Iterable[Expected], world: World) -> list[tuple[Expected, execution_pb2.Execution]]:
    by_key = {_there(execution): execution for execution in world.executions.values()}
    pairs = [(item, by_key.get(_wanted(item))) for item in expected]
    return [(item, execution) for item, execution in pairs if execution is not None]


def _executions(model: Model, world: World) -> Iterator[str]:
    """Each expected execution exists once, and no other does."""
    wanted = Counter(_wanted(item) for item in _expected(model))
    there = Counter(_there(execution) for execution in world.executions.values())
    for key in wanted.keys() | there.keys():
        if wanted[key] != there[key]:
            policy, kind, at = key
            yield f"{kind} execution of {policy} at {at}: expected {wanted[key]}, found {there[key]}"


def _missed(expected: ExpectedMissed, execution: execution_pb2.Execution) -> Iterator[str]:
    missed = execution.missed
    facts = (execution.state, from_proto(missed.first_time), from_proto(missed.last_time), missed.count)
    wanted = (_EXECUTION.STATE_MISSED, expected.scheduled_time, expected.last_time, expected.count)
    if facts != wanted:
        yield f"{execution.name}: expected {wanted}, found {facts}"


def _tasks(
    expected: ExpectedExecution, execution: execution_pb2.Execution, model: Model, world: World
) -> Iterator[str]:
    """One task for each instance; as many succeeded as the quota allowed, the others were skipped for it."""
    tasks = {task.instance: task for task in world.tasks[execution.name]}
    if set(tasks) != set(expected.instances):
        yield f"{execution.name}: expected tasks of {sorted(expected.instances)}, found {sorted(tasks)}"
        return
    succeeded = [task for task in tasks.values() if task.state == _TASK.STATE_SUCCEEDED]
    if len(succeeded) != expected.successes:
        yield f"{execution.name}: expected {expected.successes} images, found {len(succeeded)}"
    for task in tasks.values():
        if task.state == _TASK.STATE_SUCCEEDED and model.is_deleted(expected, task.instance):
            yield from _deleted_image(task, world)
        elif task.state == _TASK.STATE_SUCCEEDED:
            yield from _image_of(expected, task, world)
        elif (task.state, task.reason) != (_TASK.STATE_SKIPPED, reason_pb2.REASON_IMAGE_QUOTA_EXCEEDED):
            yield f"{task.name}: {_TASK.State.Name(task.state)}, {reason_pb2.Reason.Name(task.reason)}"
    if execution.state != _final_state(len(tasks), len(succeeded)):
        yield f"{execution.name}: is {_EXECUTION.State.Name(execution.state)}"


def _final_state(tasks: int, succeeded: int) -> int:
    if succeeded == tasks:
        return _EXECUTION.STATE_SUCCEEDED
    return _EXECUTION.STATE_PARTIALLY_SUCCEEDED if succeeded else _EXECUTION.STATE_SKIPPED


def _deleted_image(task: execution_pb2.ImageTask, world: World) -> Iterator[str]:
    """What retention deleted is gone, and its task says so."""
    if task.image in world.images:
        yield f"{task.name}: its image {task.image} should be deleted by now"
    if not task.HasField("image_delete_time"):
        yield f"{task.name}: does not say that its image was deleted"


def _image_of(expected: ExpectedExecution, task: execution_pb2.ImageTask, world: World) -> Iterator[str]:
    image = world.images.get(task.image)
    if task.HasField("image_delete_time"):
        yield f"{task.name}: its image was deleted at {from_proto(task.image_delete_time)}, and should not be"
    if image is None:
        yield f"{task.name}: its image {task.image} does not exist"
        return
    name = f"auto-{task.instance.rpartition('/')[2]}-{expected.scheduled_time:%Y%m%d%H%M}"
    left_out = {disk.device_name: reason_pb2.Reason.Name(disk.reason)[7:] for disk in image.left_out_disks}
    facts = (image.display_name, image.source_instance, frozenset(disk.device_name for disk in image.disks), left_out)
    wanted = (name, task.instance, expected.included[task.instance], dict(expected.left_out[task.instance]))
    if facts != wanted:
        yield f"{image.name}: expected {wanted}, found {facts}"


def _images(world: World) -> Iterator[str]:
    """Each image is that of exactly one task and is available; its snapshots exist, and no other snapshots do."""
    owners = Counter(task.image for tasks in world.tasks.values() for task in tasks if task.image)
    for name, image in world.images.items():
        if owners[name] != 1:
            yield f"{name}: is the image of {owners[name]} tasks"
        if image.state != compute_pb2.Image.STATE_AVAILABLE:
            yield f"{name}: is {compute_pb2.Image.State.Name(image.state)}"
    sources = Counter((image.source_instance, image.display_name) for image in world.images.values())
    yield from (f"{source} has {count} images named {name}" for (source, name), count in sources.items() if count > 1)
    snapshots = Counter(disk.snapshot for image in world.images.values() for disk in image.disks)
    for name in snapshots.keys() | world.snapshots.keys():
        if (snapshots[name], name in world.snapshots) != (1, True):
            there = "exists" if name in world.snapshots else "is missing"
            yield f"{name}: is part of {snapshots[name]} images, {there}"


def _quotas(model: Model, world: World) -> Iterator[str]:
    """`used` equals what exists; and the images are as many as the model counted."""
    there: Counter[str] = Counter()
    for kind, names in (("images", world.images), ("snapshots", world.snapshots), ("instances", world.instances)):
        there.update(f"{name.rpartition(f'/{kind}/')[0]}/quotas/{kind}" for name in names)
    for name, instance in world.instances.items():
        cloud = sum(disk.kind == compute_pb2.InstanceDisk.KIND_CLOUD for disk in instance.disks)
        there[f"{name.rpartition('/instances/')[0]}/quotas/disks"] += cloud
    for name, quota in world.quotas.items():
        if quota.used != there[name]:
            yield f"{name}: used is {quota.used}, but {there[name]} exist"
    for place, count in model.images.items():
        if there[f"{place}/quotas/images"] != count:
            yield f"{place}: expected {count} images, found {there[f'{place}/quotas/images']}"


def _entries(matched: Iterable[tuple[Expected, execution_pb2.Execution]], world: World) -> Iterator[str]:
    """Each topic has exactly the entries of its executions and tasks, each once, numbered without a gap."""
    wanted: dict[str, Counter[tuple[str, int, str]]] = {topic: Counter() for topic in world.entries}
    for expected, execution in matched:
        if expected.log_topic:
            wanted[expected.log_topic].update(_entries_of(execution, world.tasks[execution.name]))
    for topic, entries in world.entries.items():
        there = Counter((entry.execution, int(entry.event), entry.instance) for entry in entries)
        for key in wanted[topic].keys() | there.keys():
            if wanted[topic][key] != there[key]:
                event = _ENTRY.Event.Name(_ENTRY.Event.ValueType(key[1]))
                yield f"{topic}: {event} of {key[2] or key[0]}: expected {wanted[topic][key]}, found {there[key]}"
        if [entry.sequence for entry in entries] != list(range(1, len(entries) + 1)):
            yield f"{topic}: the entries are not numbered 1 to {len(entries)}"


def _entries_of(
    execution: execution_pb2.Execution, tasks: Iterable[execution_pb2.ImageTask]
) -> Iterator[tuple[str, int, str]]:
    if execution.kind == _EXECUTION.KIND_MISSED:
        yield execution.name, _ENTRY.EVENT_EXECUTION_MISSED, ""
        return
    yield execution.name, _ENTRY.EVENT_EXECUTION_STARTED, ""
    yield execution.name, _ENTRY.EVENT_EXECUTION_ENDED, ""
    for task in tasks:
        yield execution.name, _ENTRY.EVENT_IMAGE_TASK_ENDED, task.instance
        if task.state == _TASK.STATE_SUCCEEDED:
            yield execution.name, _ENTRY.EVENT_IMAGE_TASK_STARTED, task.instance
