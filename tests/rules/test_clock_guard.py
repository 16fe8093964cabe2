"""Nothing is triggered, settled or deleted by a product time that is not trusted."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from autoimage.policy.v1.policy_pb2 import DiskSelection, Logging, ScheduleEvent
from autoimage.policy.v1.policy_service_pb2 import CreatePolicyRequest, ReplicationTarget
from autoimage.type.v1.retention_pb2 import Retention
from policy_service.commands import update_policy as command
from servicekit.clock_guard import guarded
from servicekit.errors import Code
from servicekit.loop import Wake
from servicekit.status import from_status
from tests.support import START, clocks, error_of
from tests.support.policy_service import (
    FULL_SCHEDULE,
    PLACE,
    TOPIC,
    PolicyService,
    policy,
    running_policy_service,
    schedule,
)

DAY = timedelta(days=1)
LEAP = 365 * DAY
MICROSECOND = timedelta(microseconds=1)
REQUEST_ID = "9b2ff0a8-4d0f-4d0b-8d0e-2f1c5a7b3e11"


class Doubt:
    """A guard that a test tells what to think."""

    def __init__(self) -> None:
        self.doubts = False

    def gain(self) -> timedelta | None:
        return LEAP if self.doubts else None

    def confirm(self) -> None:
        self.doubts = False


@pytest.fixture
def guard() -> Doubt:
    return Doubt()


@pytest.fixture
def service(tmp_path: Path, guard: Doubt) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path, guard=guard) as running:
        running.create(schedule=FULL_SCHEDULE)
        yield running


@pytest.mark.rule("D1")
def test_nothing_is_triggered_while_product_time_is_doubtful(service: PolicyService, guard: Doubt) -> None:
    service.time.product.advance(LEAP)
    guard.doubts = True
    error = error_of(service.lease)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "PRODUCT_TIME_DOUBTFUL")
    assert error.retry_after == timedelta(seconds=1)
    service.time.product.set(START)
    guard.doubts = False
    assert list(service.lease().triggers) == []
    assert service.get().next_execution_time == FULL_SCHEDULE.start_time


@pytest.mark.rule("D1", "P11", "P13", "P15")
@pytest.mark.parametrize(
    "change",
    [
        lambda service: service.update("schedule.interval", schedule=schedule(count=2)),
        lambda service: service.update("schedule.execution_limit", schedule=schedule(execution_limit=1)),
        lambda service: service.update("display_name", "schedule", display_name="other", schedule=schedule(count=2)),
        lambda service: service.disable(),
        lambda service: service.enable(),
        lambda service: service.delete(),
    ],
)
def test_what_would_settle_points_by_a_doubtful_time_is_refused(
    service: PolicyService, guard: Doubt, change: Callable[[PolicyService], object]
) -> None:
    before = service.get()
    service.time.product.advance(LEAP)
    guard.doubts = True
    assert error_of(change, service).reason == "PRODUCT_TIME_DOUBTFUL"
    assert service.get() == before


@pytest.mark.rule("P3", "P14", "D5")
@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.create("other", schedule=schedule(366 * DAY)),
        lambda service: service.replicate(ReplicationTarget(region="cn-south-1")),
        lambda service: service.execute(),
    ],
)
def test_what_would_begin_at_a_doubtful_time_is_refused(
    service: PolicyService, guard: Doubt, call: Callable[[PolicyService], object]
) -> None:
    service.time.product.advance(LEAP)
    guard.doubts = True
    error = error_of(call, service)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "PRODUCT_TIME_DOUBTFUL")
    assert service.limit()[1] == 1
    service.time.product.set(START)
    guard.doubts = False
    assert list(service.lease().triggers) == []


ASKED = pytest.mark.parametrize(
    "ask",
    [
        lambda service: service.policies.CreatePolicy(
            CreatePolicyRequest(parent=PLACE, policy=policy(), request_id=REQUEST_ID)
        ),
        lambda service: service.replicate(ReplicationTarget(region="cn-south-1"), request_id=REQUEST_ID),
        lambda service: service.execute(request_id=REQUEST_ID),
    ],
)
Ask = Callable[[PolicyService], object]


@pytest.mark.rule("C5")
@ASKED
def test_a_repeated_request_is_answered_at_a_doubtful_time_what_it_has_made(
    service: PolicyService, guard: Doubt, ask: Ask
) -> None:
    """For 24 hours, by the machine's uptime."""
    made = ask(service)
    before = (service.limit(), service.events())
    service.time.product.advance(LEAP + DAY - MICROSECOND)
    guard.doubts = True
    assert ask(service) == made
    assert (service.limit(), service.events()) == before
    service.time.product.advance(MICROSECOND)
    error = error_of(ask, service)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "PRODUCT_TIME_DOUBTFUL")
    assert (service.limit(), service.events()) == before


@pytest.mark.rule("C5", "P14")
def test_a_copy_that_could_not_be_made_before_is_not_made_at_a_doubtful_time(
    service: PolicyService, guard: Doubt
) -> None:
    topic = TOPIC.replace("cn-north-1", "cn-east-2")
    targets = [ReplicationTarget(region="cn-south-1"), ReplicationTarget(region="cn-east-2", log_topic=topic)]
    made, failed = service.replicate(*targets, request_id=REQUEST_ID)
    assert from_status(failed.error).reason == "LOG_TOPIC_NOT_FOUND"
    service.logs.add(topic)
    service.time.product.advance(LEAP)
    guard.doubts = True
    again, doubtful = service.replicate(*targets, request_id=REQUEST_ID)
    assert again == made
    assert from_status(doubtful.error).reason == "PRODUCT_TIME_DOUBTFUL"
    service.time.product.set(START)
    guard.doubts = False
    assert [result.HasField("policy") for result in service.replicate(*targets, request_id=REQUEST_ID)] == [True, True]


@pytest.mark.rule("P1", "P2", "P5", "P7", "P9")
@pytest.mark.parametrize(
    "fields",
    [
        {"display_name": "other"},
        {"description": "other"},
        {"disks": DiskSelection(devices=["vda", "vdb"])},
        {"logging": Logging(log_topic=TOPIC, state=Logging.STATE_ENABLED)},
        {"retention": Retention(keep_last=3)},
        {"schedule": FULL_SCHEDULE, "description": "the schedule as it is"},
    ],
)
def test_an_edit_that_leaves_the_schedule_alone_needs_no_product_time(
    service: PolicyService, guard: Doubt, fields: dict[str, Any]
) -> None:
    service.logs.add()
    before = service.get()
    service.time.product.advance(LEAP)
    guard.doubts = True
    edited = service.update(*fields, **fields)
    assert edited == service.get()
    assert edited.etag != before.etag
    assert {name: getattr(edited, name) for name in fields} == fields
    assert (edited.next_execution_time, edited.schedule) == (before.next_execution_time, before.schedule)
    assert service.events().schedule_events[-1].kind == ScheduleEvent.KIND_CREATED


@pytest.mark.rule("P11")
def test_an_edit_that_became_one_of_the_schedule_while_product_time_became_doubtful_is_refused(
    service: PolicyService, guard: Doubt, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_to_needs = command._see_to_needs

    def interrupted(*arguments: Any) -> object:
        monkeypatch.undo()
        needs = see_to_needs(*arguments)
        service.update("schedule.interval", schedule=schedule(count=2))
        guard.doubts = True
        return needs

    monkeypatch.setattr(command, "_see_to_needs", interrupted)
    error = error_of(service.update, "schedule.interval", schedule=FULL_SCHEDULE)
    assert error.reason == "PRODUCT_TIME_DOUBTFUL"
    assert service.get().schedule.interval == schedule(count=2).interval


def test_a_step_that_goes_by_product_time_waits_until_it_is_trusted(guard: Doubt) -> None:
    time, runs = clocks(), []

    def step() -> Wake:
        runs.append(time.product.now())
        return Wake(at_once=True)

    run = guarded(guard, step, time.operating)
    guard.doubts = True
    assert run() == Wake(operating=START + timedelta(seconds=1))
    guard.doubts = False
    assert run() == Wake(at_once=True)
    assert runs == [START]
