"""ListScheduleEvents: what happened to schedules, as an operator's tool reads it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoimage.policy.v1.policy_pb2 import Interval, Policy, Schedule, ScheduleEvent
from autoimage.policy.v1.policy_service_pb2 import ListScheduleEventsResponse, ScheduleEventFilter
from autoimage.type.v1 import reason_pb2
from policy_service.commands import keep_house
from policy_service.commands.keep_house import purge_ledger
from servicekit.loop import Wake
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.policy_service import FIRST, PLACE, POLICY, PolicyService, policy_name, schedule

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
BERLIN = "Europe/Berlin"
MICROSECOND = timedelta(microseconds=1)
ANY = f"{PLACE}/policies/-"
RUN = "11111111-2222-4333-8444-555555555555"
CREATED, ENABLED, DISABLED, DELETED = (
    ScheduleEvent.KIND_CREATED,
    ScheduleEvent.KIND_ENABLED,
    ScheduleEvent.KIND_DISABLED,
    ScheduleEvent.KIND_DELETED,
)


def kinds(response: ListScheduleEventsResponse) -> list[tuple[str, str]]:
    """The policy's id and what happened to it."""
    return [
        (event.policy.rpartition("/")[2], ScheduleEvent.Kind.Name(event.kind).removeprefix("KIND_"))
        for event in response.schedule_events
    ]


def test_what_users_did_is_told_with_the_schedule_from_then_on(service: PolicyService) -> None:
    created = service.create()
    service.time.product.advance(HOUR / 2)
    service.disable()
    service.disable()
    service.time.product.advance(HOUR)
    enabled = service.enable()
    service.enable()
    service.delete()
    common: dict[str, Any] = {"policy": POLICY, "policy_uid": created.uid}
    later, last = START + HOUR / 2, START + 3 * HOUR / 2
    assert list(service.events().schedule_events) == [
        ScheduleEvent(
            kind=CREATED,
            time=to_proto(START),
            schedule=created.schedule,
            next_execution_time=to_proto(FIRST),
            next_local_time="2026-03-02T09:00:00",
            **common,
        ),
        ScheduleEvent(kind=DISABLED, time=to_proto(later), schedule=created.schedule, **common),
        ScheduleEvent(
            kind=ENABLED,
            time=to_proto(last),
            schedule=created.schedule,
            next_execution_time=enabled.next_execution_time,
            next_local_time="2026-03-03T09:00:00",
            **common,
        ),
        ScheduleEvent(kind=DELETED, time=to_proto(last), **common),
    ]


def test_policy_created_disabled_has_no_next_execution(service: PolicyService) -> None:
    service.create(state=Policy.STATE_DISABLED)
    (event,) = service.events().schedule_events
    assert (event.kind, event.HasField("next_execution_time")) == (CREATED, False)


def test_triggers_and_missed_points_are_told(service: PolicyService) -> None:
    created = service.create()
    service.execute(request_id=RUN)
    service.time.product.set(FIRST + 2 * DAY + HOUR)
    service.lease()
    service.time.product.set(FIRST + 3 * DAY)
    service.lease()
    common: dict[str, Any] = {"policy": POLICY, "policy_uid": created.uid}

    def points(first: timedelta, last: timedelta, count: int) -> dict[str, Any]:
        return {"first_time": to_proto(FIRST + first), "last_time": to_proto(FIRST + last), "point_count": count}

    late = to_proto(FIRST + 2 * DAY + HOUR)
    assert list(service.events().schedule_events)[1:] == [
        ScheduleEvent(
            kind=ScheduleEvent.KIND_RUN_NOW, time=to_proto(START), run_id=RUN, **points(-HOUR, -HOUR, 1), **common
        ),
        ScheduleEvent(
            kind=ScheduleEvent.KIND_MISSED,
            time=late,
            reason=reason_pb2.REASON_NOT_TAKEN_UP,
            **points(0 * DAY, DAY, 2),
            **common,
        ),
        ScheduleEvent(kind=ScheduleEvent.KIND_CATCH_UP, time=late, **points(2 * DAY, 2 * DAY, 1), **common),
        ScheduleEvent(
            kind=ScheduleEvent.KIND_SCHEDULED,
            time=to_proto(FIRST + 3 * DAY),
            **points(3 * DAY, 3 * DAY, 1),
            **common,
        ),
    ]


def test_changed_schedule_is_told_after_the_points_that_were_due(service: PolicyService) -> None:
    service.create()
    service.update(description="not a word of the schedule")
    service.time.product.set(FIRST)
    updated = service.update("schedule.interval", schedule=schedule(count=2))
    created, triggered, rescheduled = service.events().schedule_events
    assert (created.kind, triggered.kind) == (CREATED, ScheduleEvent.KIND_SCHEDULED)
    assert rescheduled == ScheduleEvent(
        policy=POLICY,
        policy_uid=updated.uid,
        kind=ScheduleEvent.KIND_RESCHEDULED,
        time=to_proto(FIRST),
        schedule=updated.schedule,
        next_execution_time=to_proto(FIRST + 2 * DAY),
        next_local_time="2026-03-04T09:00:00",
    )


def test_policy_that_reaches_its_execution_limit_is_told_as_disabled_and_why(service: PolicyService) -> None:
    service.create(schedule=schedule(execution_limit=1))
    service.time.product.set(FIRST)
    service.lease()
    *_, triggered, disabled = service.events().schedule_events
    assert triggered.kind == ScheduleEvent.KIND_SCHEDULED
    assert (disabled.kind, disabled.reason) == (DISABLED, reason_pb2.REASON_EXECUTION_LIMIT_REACHED)
    assert (disabled.schedule.execution_limit, disabled.next_local_time) == (1, "")
    assert not disabled.HasField("next_execution_time")


def test_limit_that_is_reached_already_disables_after_the_change_of_the_schedule(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.lease()
    service.update("schedule.execution_limit", schedule=schedule(execution_limit=1))
    *_, rescheduled, disabled = service.events().schedule_events
    assert rescheduled.kind == ScheduleEvent.KIND_RESCHEDULED
    assert (disabled.kind, disabled.reason) == (DISABLED, reason_pb2.REASON_EXECUTION_LIMIT_REACHED)


def test_limit_reached_by_points_that_an_update_finds_due_is_told_once(service: PolicyService) -> None:
    service.create(schedule=schedule(execution_limit=1))
    service.time.product.set(FIRST)
    service.update("schedule.interval", schedule=schedule(count=2))
    assert [kind for _, kind in kinds(service.events())] == ["CREATED", "SCHEDULED", "DISABLED", "RESCHEDULED"]


@pytest.mark.parametrize(
    ("wanted", "next_time", "local"),
    [
        (schedule(datetime(2026, 3, 27, 1, 30, tzinfo=UTC), time_zone=BERLIN), (29, 1, 0), "2026-03-29T02:30:00"),
        (
            schedule(datetime(2026, 3, 27, 1, 30, tzinfo=UTC), 48, Interval.UNIT_HOUR, time_zone=BERLIN),
            (29, 1, 30),
            "2026-03-29T03:30:00",
        ),
    ],
)
def test_local_time_is_what_the_clocks_are_to_show_even_if_they_skip_it(
    service: PolicyService, wanted: Schedule, next_time: tuple[int, int, int], local: str
) -> None:
    service.create(schedule=wanted, state=Policy.STATE_DISABLED)
    service.time.product.set(datetime(2026, 3, 28, 12, tzinfo=UTC))
    service.enable()
    event = service.events().schedule_events[-1]
    assert event.next_execution_time == to_proto(datetime(2026, 3, *next_time, tzinfo=UTC))
    assert event.next_local_time == local
    assert event.schedule.time_zone == BERLIN


def test_whole_schedule_is_told(service: PolicyService) -> None:
    wanted = schedule(
        time_zone=BERLIN,
        execution_limit=3,
        catch_up=Schedule.CATCH_UP_NONE,
        catch_up_window={"seconds": 3600},
        spread={"seconds": 60},
    )
    created = service.create(schedule=wanted)
    assert service.events().schedule_events[0].schedule == created.schedule == wanted


def test_points_settled_before_a_deletion_are_told_before_it(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.delete()
    assert [kind for _, kind in kinds(service.events())] == ["CREATED", "MISSED", "DELETED"]


def test_event_is_written_with_what_it_tells_of_or_not_at_all(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create()
    before = service.get()
    with monkeypatch.context() as broken:
        broken.setattr("policy_service.store.ledger.append", lambda *_: 1 / 0)
        for change in (lambda: service.create("other"), service.disable, service.delete):
            assert error_of(change).reason == "INTERNAL"
    assert service.get() == before
    assert (service.limit()[1], kinds(service.events(ANY))) == (1, [("nightly", "CREATED")])


def test_history_of_a_place_has_that_of_all_its_policies_and_of_deleted_ones(service: PolicyService) -> None:
    service.create("a")
    service.create("b")
    service.create("a", parent="accounts/acme/regions/cn-south-1")
    service.create("a", parent="accounts/other/regions/cn-north-1")
    service.delete("a")
    service.create("a")
    all_of_a = ["CREATED", "DELETED", "CREATED"]
    assert kinds(service.events(ANY)) == [("a", "CREATED"), ("b", "CREATED"), ("a", "DELETED"), ("a", "CREATED")]
    assert [kind for _, kind in kinds(service.events(policy_name("a")))] == all_of_a
    assert len({event.policy_uid for event in service.events(policy_name("a")).schedule_events}) == 2
    assert kinds(service.events(policy_name("never-was"))) == []


def test_events_are_chosen_from_a_time_on_before_another_and_by_kind(service: PolicyService) -> None:
    service.create()
    service.time.product.advance(HOUR / 2)
    service.disable()
    service.time.product.advance(HOUR / 4)
    service.enable()
    middle = ScheduleEventFilter(start_time=to_proto(START + HOUR / 2), end_time=to_proto(START + 3 * HOUR / 4))
    assert [kind for _, kind in kinds(service.events(filter=middle))] == ["DISABLED"]
    middle.start_time.CopyFrom(to_proto(START + HOUR / 2 + MICROSECOND))
    assert kinds(service.events(filter=middle)) == []
    chosen = ScheduleEventFilter(kinds=[ENABLED, CREATED])
    assert [kind for _, kind in kinds(service.events(filter=chosen))] == ["CREATED", "ENABLED"]


def test_pages_have_each_event_once_also_of_one_moment(service: PolicyService) -> None:
    service.create()
    for _ in range(5):
        service.disable()
        service.enable()
    whole = list(service.events(ANY).schedule_events)
    assert len(whole) == 11
    paged: list[ScheduleEvent] = []
    token = ""
    while True:
        page = service.events(ANY, page_size=4, page_token=token)
        paged += page.schedule_events
        token = page.next_page_token
        if not token:
            break
    assert paged == whole


def test_token_of_another_query_is_refused(service: PolicyService) -> None:
    service.create()
    service.disable()
    token = service.events(page_size=1).next_page_token
    error = error_of(service.events, ANY, page_size=1, page_token=token)
    assert error.reason == "PAGE_TOKEN_INVALID"
    other = ScheduleEventFilter(kinds=[DISABLED])
    assert error_of(service.events, page_size=1, page_token=token, filter=other).reason == "PAGE_TOKEN_INVALID"


@pytest.mark.rule("X10")
def test_history_is_kept_for_400_days_and_goes_in_pieces(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_house, "_PURGE_LIMIT", 2)
    service.create()
    service.disable()
    service.enable()
    service.time.product.advance(MICROSECOND)
    service.disable()
    service.time.product.advance(400 * DAY - 2 * MICROSECOND)
    tomorrow = Wake(product=START + 401 * DAY - MICROSECOND)
    assert purge_ledger(service.deps) == tomorrow
    service.time.product.set(START + 401 * DAY)
    assert len(service.events().schedule_events) == 4
    assert purge_ledger(service.deps) == Wake(product=START + 401 * DAY)
    assert [kind for _, kind in kinds(service.events())] == ["ENABLED", "DISABLED"]
    assert purge_ledger(service.deps) == Wake(product=START + 401 * DAY)
    assert [kind for _, kind in kinds(service.events())] == ["DISABLED"]
    assert purge_ledger(service.deps) == Wake(product=START + 402 * DAY)


@pytest.mark.rule("X10")
def test_what_a_user_did_last_is_kept_as_long_as_the_policy(service: PolicyService) -> None:
    service.create()
    service.execute()
    service.time.product.advance(500 * DAY)
    purge_ledger(service.deps)
    assert [kind for _, kind in kinds(service.events())] == ["CREATED"]
    service.disable()
    service.delete()
    service.time.product.advance(400 * DAY)
    purge_ledger(service.deps)
    assert kinds(service.events()) == []
