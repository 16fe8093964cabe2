"""Rules of what the scheduler logs: which entries there are, and that each arrives once."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.typing import EventDict

from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.tasks import LeftOut
from scheduler_service.peers.logs import Delivery
from scheduler_service.steps.deliver import deliver
from scheduler_service.steps.take_up import take_up
from scheduler_service.store import outbox
from servicekit.errors import Unavailable
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import World, scheduler_world
from tests.support.scheduler_fakes import NO_IMAGE_QUOTA, Fault, SimulatedCrash, lost_answer, lost_request, raising
from tests.support.scheduler_values import PLACE, TOPIC, an_entry, instance_name

OTHER_TOPIC = f"{PLACE}/logSets/ls-1/logTopics/lt-2"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


@pytest.fixture
def outbox_only(tmp_path: Path) -> Iterator[World]:
    """A world with entries that no execution asked for: its promises are not checked."""
    world = World(tmp_path)
    yield world
    world.database.dispose()


def put_up(world: World, *entries: Entry) -> None:
    with world.database.write() as connection:
        outbox.add(connection, entries)


# L2: which entries


@pytest.mark.rule("L2")
def test_an_execution_and_its_task_leave_two_entries_each(world: World) -> None:
    world.compute.left_out = (LeftOut("vdc", "LOCAL_DISK"),)
    world.add_trigger("i-1")
    world.settle()
    execution, task = world.execution(), world.task()
    assert task.build_start_time == START
    assert execution.end_time == task.end_time == world.time.product.now()
    started, build, built, over = world.logs.kept.values()
    for entry in (started, build, built, over):
        assert (entry.log_topic, entry.region) == (TOPIC, "cn-north-1")
        assert (entry.policy, entry.execution) == (f"{PLACE}/policies/daily", execution.name)
        assert (entry.scheduled_time, entry.instance_count) == (START, 1)
    assert (started.event, started.task_state, started.severity) == ("EXECUTION_STARTED", "RUNNING", "INFO")
    assert (started.event_time, started.start_time, started.end_time) == (START, START, None)
    assert (build.event, build.task_state, build.severity) == ("IMAGE_TASK_STARTED", "BUILDING", "INFO")
    assert (build.event_time, build.start_time, build.end_time) == (START, START, None)
    assert (built.event, built.task_state, built.severity) == ("IMAGE_TASK_ENDED", "SUCCEEDED", "WARNING")
    assert (built.event_time, built.start_time, built.end_time) == (task.end_time, START, task.end_time)
    for entry in (build, built):
        assert (entry.instance, entry.image) == (instance_name("i-1"), task.image)
        assert (entry.included, entry.left_out) == (("vda", "vdb"), (LeftOut("vdc", "LOCAL_DISK"),))
    assert (over.event, over.task_state, over.severity) == ("EXECUTION_ENDED", "SUCCEEDED", "INFO")
    assert (over.event_time, over.start_time, over.end_time) == (task.end_time, START, task.end_time)


@pytest.mark.rule("L2")
def test_a_task_without_a_build_leaves_one_entry_that_says_why(world: World) -> None:
    world.compute.refusals["i-1"] = NO_IMAGE_QUOTA
    world.add_trigger("i-1", "i-2")
    world.disassociate("i-2")
    world.settle()
    entries = {entry.instance.rpartition("/")[2]: entry for entry in world.entries() if entry.instance}
    assert Counter(event for _, event in world.events())["IMAGE_TASK_STARTED"] == 0
    skipped, cancelled = entries["i-1"], entries["i-2"]
    assert (skipped.event, skipped.task_state, skipped.reason) == (
        "IMAGE_TASK_ENDED",
        "SKIPPED",
        "IMAGE_QUOTA_EXCEEDED",
    )
    assert (cancelled.task_state, cancelled.reason, cancelled.severity) == ("CANCELLED", "DISASSOCIATED", "WARNING")
    assert (skipped.image, skipped.start_time, skipped.end_time) == ("", None, START)


@pytest.mark.rule("L2")
def test_many_tasks_leave_two_entries_each_and_their_execution_two(world: World) -> None:
    world.compute.failing |= {"i-3", "i-4"}
    world.add_trigger(*(f"i-{number}" for number in range(10)))
    world.settle()
    assert Counter(event for _, event in world.events()) == {
        "EXECUTION_STARTED": 1,
        "IMAGE_TASK_STARTED": 10,
        "IMAGE_TASK_ENDED": 10,
        "EXECUTION_ENDED": 1,
    }
    assert Counter(e.severity for e in world.entries() if e.event == "IMAGE_TASK_ENDED") == {"INFO": 8, "ERROR": 2}
    assert world.events()[0] == ("", "EXECUTION_STARTED")
    assert world.events()[-1] == ("", "EXECUTION_ENDED")


@pytest.mark.rule("L2")
def test_an_execution_without_instances_leaves_its_two_entries(world: World) -> None:
    world.add_trigger()
    world.settle()
    assert world.events() == [("", "EXECUTION_STARTED"), ("", "EXECUTION_ENDED")]


@pytest.mark.rule("L2")
def test_a_policy_without_a_topic_leaves_no_entries(world: World) -> None:
    world.add_trigger("i-1", topic="")
    world.settle()
    assert (world.entries(), world.logs.received) == ([], [])


@pytest.mark.rule("L2", "X5")
def test_retries_leave_no_entries(world: World) -> None:
    world.faults.next("create_images", lost_answer(), lost_request())
    world.faults.next("get_images", lost_answer())
    world.add_trigger("i-1")
    world.settle()
    assert len(world.entries()) == 4


# L3: each arrives once


@pytest.mark.rule("L3")
def test_entries_wait_on_disk_while_the_log_service_is_away(world: World) -> None:
    world.faults.always("write", lost_request())
    world.add_trigger("i-1")
    world.live(timedelta(minutes=2))
    assert [entry.event for entry in world.undelivered()] == [
        "EXECUTION_STARTED",
        "IMAGE_TASK_STARTED",
        "IMAGE_TASK_ENDED",
        "EXECUTION_ENDED",
    ]
    waiting = world.undelivered()
    world.restart()
    assert world.undelivered() == waiting
    world.faults.clear("write")
    world.run_until_idle()
    assert list(world.logs.kept.values()) == waiting
    assert (world.undelivered(), world.dropped()) == ([], 0)


@pytest.mark.rule("L3")
def test_a_delivery_that_fails_is_the_loops_to_repeat(outbox_only: World) -> None:
    outbox_only.faults.next("write", lost_request())
    put_up(outbox_only, an_entry())
    with pytest.raises(Unavailable):
        deliver(outbox_only.deps)
    assert deliver(outbox_only.deps) == Wake(at_once=True)
    assert deliver(outbox_only.deps) == Wake()


@pytest.mark.rule("L3")
@pytest.mark.parametrize("fault", [lost_answer(), Fault(after=raising(SimulatedCrash()))])
def test_entries_that_were_delivered_unknown_to_us_come_again_with_the_same_insert_ids(
    world: World, fault: Fault
) -> None:
    world.add_trigger("i-1")
    take_up(world.deps)
    world.faults.next("write", fault)
    with pytest.raises((Unavailable, SimulatedCrash)):
        deliver(world.deps)
    world.restart()
    world.settle()
    assert Counter(Counter(world.logs.received).values()) == {2: 1, 1: 3}
    assert [entry.event for entry in world.logs.kept.values()] == [
        "EXECUTION_STARTED",
        "IMAGE_TASK_STARTED",
        "IMAGE_TASK_ENDED",
        "EXECUTION_ENDED",
    ]


@pytest.mark.rule("L3")
def test_two_replicas_that_deliver_the_same_entries_do_no_harm(world: World) -> None:
    other = world.replica("scheduler-2")
    world.add_trigger()
    take_up(world.deps)
    world.faults.next("write", Fault(before=lambda: deliver(other)))
    deliver(world.deps)
    assert len(world.logs.received) == 4
    assert (len(world.logs.kept), world.undelivered()) == (2, [])


@pytest.mark.rule("L4")
def test_a_topic_that_is_gone_is_reported_with_each_policy_that_logs_to_it(world: World) -> None:
    world.logs.gone.add(TOPIC)
    world.add_trigger("i-1")
    world.add_trigger("i-2", policy="weekly")
    take_up(world.deps)
    deliver(world.deps)
    assert world.policies.gone_topics == [(f"{PLACE}/policies/{policy}", TOPIC) for policy in ("daily", "weekly")]


@pytest.mark.rule("L4")
def test_a_report_of_a_topic_that_fails_changes_nothing_for_its_entries(world: World, logged: list[EventDict]) -> None:
    world.logs.gone.add(TOPIC)
    world.faults.always("disable_logging", lost_request())
    world.add_trigger("i-1")
    world.settle()
    assert (world.undelivered(), world.dropped(), world.policies.gone_topics) == ([], 4, [])
    assert [line["log_topics"] for line in logged if line["event"] == "missing_log_topics_not_reported"] != []


@pytest.mark.rule("L3")
def test_entries_for_a_topic_that_is_gone_are_dropped_and_counted(world: World, logged: list[EventDict]) -> None:
    world.logs.gone.add(TOPIC)
    world.add_trigger("i-1")
    world.add_trigger("i-2", policy="weekly", topic=OTHER_TOPIC)
    world.settle()
    assert (world.undelivered(), world.dropped()) == ([], 4)
    assert [entry.log_topic for entry in world.logs.kept.values()] == [OTHER_TOPIC] * 4
    dropped = [line for line in logged if line["event"] == "log_entries_dropped"]
    assert sum(line["gone"] for line in dropped) == 4


@pytest.mark.rule("L3")
def test_entries_that_two_replicas_drop_are_counted_once(outbox_only: World) -> None:
    other = outbox_only.replica("scheduler-2")
    outbox_only.logs.gone.add(TOPIC)
    put_up(outbox_only, an_entry("1"), an_entry("2"))
    outbox_only.faults.next("write", Fault(before=lambda: deliver(other)))
    deliver(outbox_only.deps)
    assert (outbox_only.undelivered(), outbox_only.dropped()) == ([], 2)


@pytest.mark.rule("L3")
@pytest.mark.parametrize(
    ("answer", "word"), [(Delivery.REFUSED, "refused"), (Delivery.PAST_RETENTION, "past_retention")]
)
def test_an_entry_that_will_never_be_taken_is_dropped_and_counted(
    outbox_only: World, logged: list[EventDict], answer: Delivery, word: str
) -> None:
    outbox_only.logs.answers["2"] = answer
    put_up(outbox_only, an_entry("1"), an_entry("2"), an_entry("3"))
    assert deliver(outbox_only.deps) == Wake(at_once=True)
    assert ([key for _, key in outbox_only.logs.kept], outbox_only.dropped()) == (["1", "3"], 1)
    assert outbox_only.undelivered() == []
    (line,) = [line for line in logged if line["event"] == "log_entries_dropped"]
    counts = {"gone": 0, "past_retention": 0, "refused": 0, word: 1}
    assert line == {"event": "log_entries_dropped", "log_level": "warning", **counts}


@pytest.mark.rule("L3")
def test_an_entry_that_failed_stays_and_is_tried_again_after_a_pause(outbox_only: World) -> None:
    outbox_only.logs.answers["1"] = Delivery.FAILED
    put_up(outbox_only, an_entry("1"), an_entry("2"))
    assert deliver(outbox_only.deps) == Wake()
    assert [entry.insert_id for entry in outbox_only.undelivered()] == ["1"]
    outbox_only.logs.answers.clear()
    assert deliver(outbox_only.deps) == Wake(at_once=True)
    assert ([key for _, key in outbox_only.logs.kept], outbox_only.undelivered(), outbox_only.dropped()) == (
        ["2", "1"],
        [],
        0,
    )


@pytest.mark.rule("L3")
def test_more_entries_than_one_batch_are_delivered_in_order(outbox_only: World) -> None:
    put_up(outbox_only, *(an_entry(str(number)) for number in range(1200)))
    batches = []
    while deliver(outbox_only.deps) == Wake(at_once=True):
        batches.append(len(outbox_only.logs.received))
    assert batches == [500, 1000, 1200]
    assert outbox_only.logs.received == [str(number) for number in range(1200)]
