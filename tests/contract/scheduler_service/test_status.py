"""GetSchedulerStatus on the wire."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from autoimage.scheduler.v1.execution_service_pb2 import (
    GetSchedulerStatusRequest,
    SchedulerReplica,
    SchedulerStatus,
)
from scheduler_service.domain.executions import Kind
from scheduler_service.steps.say_at_work import say_at_work
from scheduler_service.steps.take_up import take_up
from servicekit import zones
from servicekit.timestamps import to_proto
from tests.support import START
from tests.support.scheduler import World
from tests.support.scheduler_fakes import BUSY, lost_request

HOUR = timedelta(hours=1)


def status(stub: Any) -> SchedulerStatus:
    response: SchedulerStatus = stub.GetSchedulerStatus(GetSchedulerStatusRequest())
    return response


def test_before_the_first_poll_nothing_is_known(stub: Any) -> None:
    assert status(stub) == SchedulerStatus(product_time=to_proto(START), time_zone_data_version=zones.VERSION)


def test_when_idle_the_next_policy_is_what_is_due_next(world: World, stub: Any) -> None:
    world.policies.next_due_time = START + HOUR
    world.run_until_idle()
    world.time.product.advance(timedelta(minutes=1))
    assert status(stub) == SchedulerStatus(
        product_time=to_proto(START + timedelta(minutes=1)),
        next_due_time=to_proto(START + HOUR),
        last_poll_time=to_proto(START),
        time_zone_data_version=zones.VERSION,
    )


def test_what_waits_and_what_is_built_is_counted(world: World, stub: Any) -> None:
    world.policies.next_due_time = START + HOUR
    world.faults.always("write", lost_request())
    world.compute.refusals["i-2"] = BUSY
    world.add_trigger("i-1", "i-2", kind=Kind.CATCH_UP, scheduled=START - HOUR)
    world.add_trigger("i-3", policy="weekly")
    take_up(world.deps)
    assert status(stub) == SchedulerStatus(
        product_time=to_proto(START),
        next_due_time=to_proto(START),
        last_poll_time=to_proto(START),
        time_zone_data_version=zones.VERSION,
        running_executions=2,
        pending_tasks=3,
        oldest_pending_time=to_proto(START - HOUR),
        undelivered_log_entries=2,
        lateness=Duration(),
    )
    world.run_until_idle()
    assert status(stub) == SchedulerStatus(
        product_time=to_proto(START),
        next_due_time=to_proto(START + timedelta(seconds=2)),
        last_poll_time=to_proto(START),
        time_zone_data_version=zones.VERSION,
        running_executions=2,
        pending_tasks=1,
        building_tasks=2,
        oldest_pending_time=to_proto(START - HOUR),
        undelivered_log_entries=4,
        lateness=Duration(),
    )


def test_replicas_at_work_are_told(world: World, stub: Any) -> None:
    say_at_work(world.deps)
    world.run_until_idle()
    assert status(stub) == SchedulerStatus(
        product_time=to_proto(START),
        last_poll_time=to_proto(START),
        time_zone_data_version=zones.VERSION,
        replicas=[SchedulerReplica(name="scheduler-1", last_seen_time=to_proto(START), version="1.2.3")],
    )


def test_how_late_executions_are_taken_up_is_told(world: World, stub: Any) -> None:
    world.add_trigger(scheduled=START - timedelta(minutes=2))
    world.add_trigger(policy="weekly", kind=Kind.CATCH_UP, scheduled=START - HOUR, triggered=START)
    world.run_until_idle()
    assert status(stub).lateness == Duration(seconds=120)


def test_dropped_entries_are_counted(world: World, stub: Any) -> None:
    world.logs.gone.add(world.add_trigger("i-1").log_topic)
    world.settle()
    found = status(stub)
    assert (found.undelivered_log_entries, found.dropped_log_entries) == (0, 4)
    assert (found.running_executions, found.pending_tasks, found.building_tasks) == (0, 0, 0)
    assert not found.HasField("oldest_pending_time")


def test_when_there_are_images_retention_is_due_within_a_day(world: World, stub: Any) -> None:
    world.make_image(START)
    tomorrow = world.time.product.now() + timedelta(days=1)
    assert status(stub).next_due_time == to_proto(tomorrow)
    world.faults.always("look_up_retentions", lost_request())
    world.time.product.set(tomorrow)
    world.run_until_idle()
    assert status(stub).next_due_time == status(stub).product_time, "it is tried again"


def test_when_there_is_no_image_nothing_is_due(world: World, stub: Any) -> None:
    world.compute.failing.add("i-1")
    world.add_trigger("i-1")
    world.settle()
    assert not status(stub).HasField("next_due_time")


def test_a_claimed_task_is_something_to_do_now(world: World, stub: Any) -> None:
    """A driver that steps product time must not step over a build that is being sent."""
    world.faults.always("create_images", lost_request())
    world.add_trigger("i-1")
    world.run_until_idle()
    assert status(stub).next_due_time == to_proto(START)
