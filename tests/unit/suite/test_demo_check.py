"""The demo's check finds what is wrong: every kind of fault is planted once in a world that is right."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from autoimage.compute.v1 import compute_pb2
from autoimage.log.v1 import log_pb2
from autoimage.scheduler.v1 import execution_pb2
from autoimage.type.v1 import disks_pb2, missed_pb2, reason_pb2
from servicekit.timestamps import to_proto
from suite.demo.check import differences
from suite.demo.model import Disk, Grid, Model, PolicyModel
from suite.demo.world import World

T0 = datetime(2030, 1, 1, tzinfo=UTC)
PLACE = "accounts/a/regions/r"
POLICY = f"{PLACE}/policies/p"
EXECUTION = f"{POLICY}/executions/exec-1"
MISSED = f"{POLICY}/executions/exec-0"
DAY = timedelta(days=1)
TOPIC = f"{PLACE}/logSets/s/logTopics/t"
GOOD, SKIPPED = f"{PLACE}/instances/i-1", f"{PLACE}/instances/i-2"
IMAGE = f"{PLACE}/images/img-1"
SNAPSHOT = f"{PLACE}/snapshots/snapshot-1"
TASK = execution_pb2.ImageTask
EVENT = log_pb2.LogEntry


def expected() -> Model:
    """Two instances, room for one image, one execution, and before it one that was missed."""
    disks = (Disk("vda", True), Disk("vdb", False))
    model = Model({GOOD: disks, SKIPPED: disks}, {PLACE: 1})
    model.policies[POLICY] = PolicyModel(POLICY, Grid((T0 - DAY).replace(tzinfo=None), 1, "DAY"), log_topic=TOPIC)
    model.policy_of = {GOOD: POLICY, SKIPPED: POLICY}
    model.advance(T0)
    return model


def right() -> World:
    """A world as the model expects it."""
    execution = execution_pb2.Execution(
        name=EXECUTION,
        kind=execution_pb2.Execution.KIND_SCHEDULED,
        state=execution_pb2.Execution.STATE_PARTIALLY_SUCCEEDED,
        scheduled_time=to_proto(T0),
    )
    missed = execution_pb2.Execution(
        name=MISSED,
        kind=execution_pb2.Execution.KIND_MISSED,
        state=execution_pb2.Execution.STATE_MISSED,
        scheduled_time=to_proto(T0 - DAY),
        missed=missed_pb2.MissedPoints(first_time=to_proto(T0 - DAY), last_time=to_proto(T0 - DAY), count=1),
    )
    tasks = [
        TASK(name=f"{EXECUTION}/imageTasks/i-1", instance=GOOD, state=TASK.STATE_SUCCEEDED, image=IMAGE),
        TASK(
            name=f"{EXECUTION}/imageTasks/i-2",
            instance=SKIPPED,
            state=TASK.STATE_SKIPPED,
            reason=reason_pb2.REASON_IMAGE_QUOTA_EXCEEDED,
        ),
    ]
    image = compute_pb2.Image(
        name=IMAGE,
        display_name="auto-i-1-203001010000",
        source_instance=GOOD,
        state=compute_pb2.Image.STATE_AVAILABLE,
        disks=[compute_pb2.ImageDisk(device_name="vda", snapshot=SNAPSHOT)],
        left_out_disks=[disks_pb2.LeftOutDisk(device_name="vdb", reason=reason_pb2.REASON_LOCAL_DISK)],
    )
    disks = [
        compute_pb2.InstanceDisk(device_name="vda", kind=compute_pb2.InstanceDisk.KIND_CLOUD),
        compute_pb2.InstanceDisk(device_name="vdb", kind=compute_pb2.InstanceDisk.KIND_LOCAL),
    ]
    used = {"images": 1, "snapshots": 1, "instances": 2, "disks": 2}
    events = [
        (EVENT.EVENT_EXECUTION_MISSED, ""),
        (EVENT.EVENT_EXECUTION_STARTED, ""),
        (EVENT.EVENT_IMAGE_TASK_STARTED, GOOD),
        (EVENT.EVENT_IMAGE_TASK_ENDED, GOOD),
        (EVENT.EVENT_IMAGE_TASK_ENDED, SKIPPED),
        (EVENT.EVENT_EXECUTION_ENDED, ""),
    ]
    return World(
        executions={EXECUTION: execution, MISSED: missed},
        tasks={EXECUTION: tasks, MISSED: []},
        instances={name: compute_pb2.Instance(name=name, disks=disks) for name in (GOOD, SKIPPED)},
        images={IMAGE: image},
        snapshots={SNAPSHOT: compute_pb2.Snapshot(name=SNAPSHOT)},
        quotas={
            f"{PLACE}/quotas/{kind}": compute_pb2.Quota(name=f"{PLACE}/quotas/{kind}", used=count)
            for kind, count in used.items()
        },
        entries={
            TOPIC: [
                EVENT(sequence=number, event=event, execution=MISSED if number == 1 else EXECUTION, instance=instance)
                for number, (event, instance) in enumerate(events, start=1)
            ]
        },
    )


def test_a_world_as_expected_has_no_differences() -> None:
    assert differences(expected(), right()) == []


def lose_execution(world: World) -> None:
    del world.executions[EXECUTION]


def double_execution(world: World) -> None:
    twin = execution_pb2.Execution()
    twin.CopyFrom(world.executions[EXECUTION])
    twin.name = f"{POLICY}/executions/exec-2"
    world.executions[twin.name] = twin
    world.tasks[twin.name] = []


def wrong_final_state(world: World) -> None:
    world.executions[EXECUTION].state = execution_pb2.Execution.STATE_SUCCEEDED


def lose_task(world: World) -> None:
    world.tasks[EXECUTION].pop()


def fail_task(world: World) -> None:
    world.tasks[EXECUTION][1].state = TASK.STATE_FAILED


def skip_for_another_reason(world: World) -> None:
    world.tasks[EXECUTION][1].reason = reason_pb2.REASON_INSTANCE_NOT_FOUND


def lose_image(world: World) -> None:
    del world.images[IMAGE]


def double_image(world: World) -> None:
    twin = compute_pb2.Image()
    twin.CopyFrom(world.images[IMAGE])
    twin.name = f"{PLACE}/images/img-2"
    world.images[twin.name] = twin


def image_not_available(world: World) -> None:
    world.images[IMAGE].state = compute_pb2.Image.STATE_CREATING


def image_without_a_disk(world: World) -> None:
    world.images[IMAGE].disks[0].device_name = "vdc"


def image_silent_about_left_out(world: World) -> None:
    del world.images[IMAGE].left_out_disks[:]


def image_of_another_instance(world: World) -> None:
    world.images[IMAGE].source_instance = SKIPPED


def lose_snapshot(world: World) -> None:
    world.snapshots.clear()


def stray_snapshot(world: World) -> None:
    world.snapshots["stray"] = compute_pb2.Snapshot(name="stray")


def leak_quota(world: World) -> None:
    world.quotas[f"{PLACE}/quotas/images"].used = 2


def leak_disks(world: World) -> None:
    world.quotas[f"{PLACE}/quotas/disks"].used = 4


def lose_entry(world: World) -> None:
    world.entries[TOPIC].pop()


def double_entry(world: World) -> None:
    entry = EVENT()
    entry.CopyFrom(world.entries[TOPIC][-1])
    entry.sequence += 1
    world.entries[TOPIC].append(entry)


def gap_in_sequence(world: World) -> None:
    world.entries[TOPIC][-1].sequence = 9


def miss_too_much(world: World) -> None:
    world.executions[MISSED].missed.count = 2


def lose_record_of_missed(world: World) -> None:
    del world.executions[MISSED]


def delete_what_is_to_stay(world: World) -> None:
    world.tasks[EXECUTION][0].image_delete_time.CopyFrom(to_proto(T0))


@pytest.mark.parametrize(
    "fault",
    [
        lose_execution,
        double_execution,
        wrong_final_state,
        lose_task,
        fail_task,
        skip_for_another_reason,
        lose_image,
        double_image,
        image_not_available,
        image_without_a_disk,
        image_silent_about_left_out,
        image_of_another_instance,
        lose_snapshot,
        stray_snapshot,
        leak_quota,
        leak_disks,
        lose_entry,
        double_entry,
        gap_in_sequence,
        miss_too_much,
        lose_record_of_missed,
        delete_what_is_to_stay,
    ],
)
def test_a_fault_is_found(fault: Callable[[World], None]) -> None:
    world = right()

    fault(world)

    assert differences(expected(), world)


def test_an_image_that_retention_should_have_deleted_is_found() -> None:
    model, world = expected(), right()
    model.kept[POLICY, GOOD] = []
    found = differences(model, world)
    assert [text.rpartition(": ")[2] for text in found] == [
        f"its image {IMAGE} should be deleted by now",
        "does not say that its image was deleted",
    ]
