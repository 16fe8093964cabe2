"""Rules D1–D5, through the public RPCs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autoimage.policy.v1.policy_pb2 import DiskSelection, Logging, Policy
from autoimage.policy.v1.trigger_service_pb2 import AckTriggersRequest, Trigger
from autoimage.type.v1 import reason_pb2
from autoimage.type.v1.missed_pb2 import MissedPoints
from policy_service.domain.schedule import Points
from policy_service.domain.triggers import Kind, MissedReason
from servicekit.errors import Code
from servicekit.timestamps import from_proto, to_proto
from tests.support import START, error_of
from tests.support.policy_service import (
    FIRST,
    LEASE,
    POLICY,
    TOPIC,
    PolicyService,
    instance_name,
    policy_name,
    running_policy_service,
    schedule,
)

MICROSECOND = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
RUN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


def policy_ids(triggers: Any) -> list[str]:
    return [trigger.policy.rpartition("/")[2] for trigger in triggers]


def lease_out(service: PolicyService, times: int) -> list[Trigger]:
    """Leases what there is so many times, and lets each lease run out; what came the last time."""
    leased: list[Trigger] = []
    for _ in range(times):
        leased = list(service.lease().triggers)
        service.time.operating.advance(LEASE)
    return leased


def history(service: PolicyService, policy: Policy) -> list[tuple[Kind, Points | None, object]]:
    return [(Kind(entry.event), entry.points, entry.reason) for entry in service.ledger(policy.uid)]


def missed(first: datetime, last: datetime, count: int, reason: reason_pb2.Reason.ValueType) -> MissedPoints:
    return MissedPoints(first_time=to_proto(first), last_time=to_proto(last), count=count, reason=reason)


@pytest.mark.rule("D1")
def test_policy_triggers_when_its_time_has_come_and_not_before(service: PolicyService) -> None:
    created = service.create()
    service.time.product.set(FIRST - MICROSECOND)
    early = service.lease()
    assert (list(early.triggers), from_proto(early.next_due_time)) == ([], FIRST)
    service.time.product.set(FIRST)
    response = service.lease()
    (trigger,) = response.triggers
    assert (trigger.policy, trigger.policy_uid) == (POLICY, created.uid)
    assert from_proto(trigger.scheduled_time) == from_proto(trigger.trigger_time) == FIRST
    assert from_proto(response.next_due_time) == FIRST + DAY
    after = service.get()
    assert from_proto(after.last_execution_time) == FIRST
    assert from_proto(after.next_execution_time) == FIRST + DAY
    assert after.execution_count == 1
    assert (after.etag, after.update_time) == (created.etag, created.update_time)
    assert history(service, created) == [(Kind.SCHEDULED, Points(FIRST, FIRST, 1), None)]


@pytest.mark.rule("D1")
def test_trigger_and_schedule_are_written_both_or_neither(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = service.create()
    service.time.product.set(FIRST)
    with monkeypatch.context() as broken:
        broken.setattr("policy_service.commands.lease_triggers.triggers.lease", lambda *_: 1 / 0)
        assert error_of(service.lease).code == Code.INTERNAL
    assert service.get() == created
    assert history(service, created) == []
    assert len(service.lease().triggers) == 1


@pytest.mark.rule("D1")
def test_disabling_after_the_moment_of_triggering_does_not_take_it_back(service: PolicyService) -> None:
    created = service.create()
    service.link("web")
    service.time.product.set(FIRST)
    (before,) = service.lease().triggers
    service.disable()
    service.time.operating.advance(LEASE)
    (after,) = service.lease().triggers
    assert (after.uid, after.kind, len(after.associations)) == (before.uid, Trigger.KIND_SCHEDULED, 1)
    assert history(service, created) == [(Kind.SCHEDULED, Points(FIRST, FIRST, 1), None)]


@pytest.mark.rule("D1")
@pytest.mark.parametrize(
    ("change", "reason"), [("disable", MissedReason.POLICY_DISABLED), ("delete", MissedReason.POLICY_DELETED)]
)
@pytest.mark.parametrize(
    ("now", "points"),
    [
        (FIRST, Points(FIRST, FIRST, 1)),
        (FIRST + 3 * DAY - MICROSECOND, Points(FIRST, FIRST + 2 * DAY, 3)),
    ],
)
def test_disabling_and_deleting_settle_points_already_due_as_missed(
    service: PolicyService, change: str, reason: MissedReason, now: datetime, points: Points
) -> None:
    created = service.create()
    service.link("web")
    service.time.product.set(now)
    getattr(service, change)()
    (trigger,) = service.lease().triggers
    assert (trigger.kind, trigger.policy_uid, list(trigger.associations)) == (Trigger.KIND_MISSED, created.uid, [])
    assert not trigger.HasField("scheduled_time")
    wire_reason = reason_pb2.Reason.Value(f"REASON_{reason.value}")
    assert trigger.missed == missed(points.first, points.last, points.count, wire_reason)
    assert history(service, created) == [(Kind.MISSED, points, reason)]


@pytest.mark.rule("D1")
@pytest.mark.parametrize("change", ["disable", "delete"])
def test_disabling_and_deleting_before_a_point_is_due_settle_nothing(service: PolicyService, change: str) -> None:
    created = service.create()
    service.time.product.set(FIRST - MICROSECOND)
    getattr(service, change)()
    service.time.product.set(FIRST + DAY)
    response = service.lease()
    assert (list(response.triggers), response.HasField("next_due_time")) == ([], False)
    assert history(service, created) == []


@pytest.mark.rule("D1")
def test_disabling_a_policy_that_missed_points_does_not_count_them_as_executions(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    disabled = service.disable()
    assert (disabled.execution_count, disabled.HasField("last_execution_time")) == (0, False)


@pytest.mark.rule("D1")
def test_refused_disabling_settles_nothing(service: PolicyService) -> None:
    created = service.create()
    service.time.product.set(FIRST)
    assert error_of(service.disable, etag="stale").reason == "STALE_ETAG"
    assert history(service, created) == []
    assert service.lease().triggers[0].kind == Trigger.KIND_SCHEDULED


@pytest.mark.rule("D2")
def test_trigger_carries_the_policy_and_its_associations_of_its_moment(service: PolicyService) -> None:
    service.logs.add()
    created = service.create(
        display_name="before", disks=DiskSelection(devices=["vdb"]), logging=Logging(log_topic=TOPIC)
    )
    first, second = service.link("a", "b")
    service.time.product.set(FIRST)
    service.lease()
    service.disassociate(instance_name("a"))
    service.link("c")
    service.delete()
    service.time.operating.advance(LEASE)
    (trigger,) = service.lease().triggers
    assert trigger.policy_uid == created.uid
    assert trigger.policy_display_name == "before"
    assert trigger.disks == DiskSelection(devices=["vda", "vdb"])
    assert trigger.log_topic == TOPIC
    carried = [(each.uid, each.instance) for each in trigger.associations]
    assert carried == [(first.uid, instance_name("a")), (second.uid, instance_name("b"))]


@pytest.mark.rule("D2")
def test_trigger_carries_the_associations_of_its_own_policy_only(service: PolicyService) -> None:
    service.create("one")
    service.create("two")
    service.create("none")
    service.link("a", policy_id="one")
    service.link("b", policy_id="two")
    service.time.product.set(FIRST)
    carried = {
        each.policy: [association.instance for association in each.associations] for each in service.lease().triggers
    }
    assert carried == {
        policy_name("one"): [instance_name("a")],
        policy_name("two"): [instance_name("b")],
        policy_name("none"): [],
    }


@pytest.mark.rule("D3")
def test_leased_trigger_comes_to_nobody_else_until_its_lease_runs_out(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    (first,) = service.lease().triggers
    assert (from_proto(first.lease_expire_time), first.lease_count) == (START + LEASE, 1)
    service.time.operating.advance(LEASE - MICROSECOND)
    assert list(service.lease().triggers) == []
    service.time.operating.advance(MICROSECOND)
    (second,) = service.lease().triggers
    assert (second.uid, second.lease_count) == (first.uid, 2)
    assert from_proto(second.lease_expire_time) == START + 2 * LEASE


@pytest.mark.rule("D3")
def test_lease_is_measured_in_operating_time(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.lease()
    service.time.product.advance(timedelta(hours=12))
    assert list(service.lease().triggers) == []


@pytest.mark.rule("D3")
def test_acknowledged_trigger_never_comes_again(service: PolicyService) -> None:
    service.create("one")
    service.create("two")
    service.time.product.set(FIRST)
    one, two = sorted(service.lease().triggers, key=lambda trigger: trigger.policy)
    service.ack(one)
    service.ack(one)
    service.time.operating.advance(LEASE)
    assert [each.uid for each in service.lease().triggers] == [two.uid]


@pytest.mark.rule("D3")
def test_trigger_can_be_acknowledged_after_its_lease_ran_out(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    (trigger,) = lease_out(service, 1)
    service.ack(trigger)
    assert list(service.lease().triggers) == []


@pytest.mark.rule("D3")
def test_unknown_triggers_count_as_acknowledged(service: PolicyService) -> None:
    service.triggers.AckTriggers(AckTriggersRequest(trigger_uids=[RUN]))


@pytest.mark.rule("D3")
def test_expired_and_new_triggers_come_together_oldest_scheduled_time_first(service: PolicyService) -> None:
    service.create("second", schedule=schedule(timedelta(hours=2)))
    service.create("first", schedule=schedule(timedelta(hours=1)))
    service.create("third", schedule=schedule(timedelta(hours=3)))
    service.time.product.set(START + timedelta(hours=2))
    assert policy_ids(service.lease().triggers) == ["first", "second"]
    service.time.product.set(START + timedelta(hours=3))
    service.time.operating.advance(LEASE)
    assert policy_ids(service.lease().triggers) == ["first", "second", "third"]


@pytest.mark.rule("D3")
@pytest.mark.parametrize("runs", [False, True], ids=["what is due", "what a user runs"])
def test_what_is_new_does_not_wait_until_a_backlog_is_gone(service: PolicyService, runs: bool) -> None:
    """Each lease has room for some of the newest: they come while they are still on time."""
    for number in range(19):
        service.create(f"old-{number:02}", schedule=schedule(timedelta(hours=1, minutes=number)))
    service.create("new", schedule=schedule(timedelta(hours=9 if runs else 5)))
    service.time.product.set(START + timedelta(hours=5))
    if runs:
        service.execute("new")
    first = service.lease(max_instances=10).triggers
    assert policy_ids(first) == [*(f"old-{number:02}" for number in range(9)), "new"]
    assert first[-1].kind == (Trigger.KIND_RUN_NOW if runs else Trigger.KIND_SCHEDULED)
    assert policy_ids(service.lease().triggers) == [f"old-{number:02}" for number in range(9, 19)]


@pytest.mark.rule("D3")
def test_after_three_leases_a_trigger_is_leased_alone(service: PolicyService) -> None:
    service.create("suspect")
    service.time.product.set(FIRST)
    lease_out(service, 2)
    service.create("fine", schedule=schedule(timedelta(hours=2)))
    service.time.product.set(START + timedelta(hours=2))
    assert policy_ids(lease_out(service, 1)) == ["suspect", "fine"]
    alone = service.lease()
    assert (policy_ids(alone.triggers), alone.triggers[0].lease_count) == (["suspect"], 4)
    assert from_proto(alone.next_due_time) == START + timedelta(hours=2), "there is more to lease now"
    assert policy_ids(service.lease().triggers) == ["fine"]


@pytest.mark.rule("D3")
def test_after_six_leases_a_trigger_becomes_missed_with_an_alarm(
    service: PolicyService, logged: list[dict[str, Any]]
) -> None:
    created = service.create()
    service.link("web")
    service.time.product.set(FIRST)
    (sixth,) = lease_out(service, 6)
    assert (sixth.kind, sixth.lease_count, len(sixth.associations)) == (Trigger.KIND_SCHEDULED, 6, 1)
    (poisoned,) = service.lease().triggers
    assert (poisoned.uid, poisoned.kind, poisoned.lease_count) == (sixth.uid, Trigger.KIND_MISSED, 7)
    assert (list(poisoned.associations), poisoned.HasField("scheduled_time")) == ([], False)
    assert poisoned.missed == missed(FIRST, FIRST, 1, reason_pb2.REASON_POISONED)
    assert history(service, created) == [
        (Kind.SCHEDULED, Points(FIRST, FIRST, 1), None),
        (Kind.MISSED, Points(FIRST, FIRST, 1), MissedReason.POISONED),
    ]
    (alarm,) = [line for line in logged if line["event"] == "trigger_poisoned"]
    assert (alarm["log_level"], alarm["trigger"], alarm["policy"]) == ("error", sixth.uid, POLICY)
    service.time.operating.advance(LEASE)
    assert service.lease().triggers[0].missed == poisoned.missed
    assert len([line for line in logged if line["event"] == "trigger_poisoned"]) == 1


@pytest.mark.rule("D3")
def test_poisoned_trigger_records_the_points_it_carried_too(service: PolicyService) -> None:
    created = service.create()
    service.time.product.set(FIRST + 2 * DAY)
    lease_out(service, 6)
    (poisoned,) = service.lease().triggers
    assert poisoned.missed == missed(FIRST, FIRST + 2 * DAY, 3, reason_pb2.REASON_POISONED)
    newest = Points(FIRST + 2 * DAY, FIRST + 2 * DAY, 1)
    assert history(service, created) == [
        (Kind.MISSED, Points(FIRST, FIRST + DAY, 2), MissedReason.NOT_TAKEN_UP),
        (Kind.SCHEDULED, newest, None),
        (Kind.MISSED, newest, MissedReason.POISONED),
    ]


@pytest.mark.rule("D3")
def test_poisoned_run_now_makes_room_for_another(service: PolicyService) -> None:
    service.create()
    service.execute(request_id=RUN)
    lease_out(service, 6)
    (poisoned,) = service.lease().triggers
    assert (poisoned.kind, poisoned.run_id) == (Trigger.KIND_MISSED, "")
    assert poisoned.missed == missed(START, START, 1, reason_pb2.REASON_POISONED)
    service.execute()


@pytest.mark.rule("D4")
@pytest.mark.parametrize(
    ("late", "kind"),
    [
        (timedelta(0), Trigger.KIND_SCHEDULED),
        (5 * MINUTE, Trigger.KIND_SCHEDULED),
        (5 * MINUTE + MICROSECOND, Trigger.KIND_CATCH_UP),
        (DAY - MICROSECOND, Trigger.KIND_CATCH_UP),
    ],
)
def test_point_taken_up_within_5_minutes_is_on_time(
    service: PolicyService, late: timedelta, kind: Trigger.Kind.ValueType
) -> None:
    service.create()
    service.time.product.set(FIRST + late)
    (trigger,) = service.lease().triggers
    assert (trigger.kind, from_proto(trigger.scheduled_time)) == (kind, FIRST)
    assert from_proto(trigger.trigger_time) == FIRST + late
    assert not trigger.HasField("missed")


@pytest.mark.rule("D4")
@pytest.mark.parametrize(
    ("late", "kind", "event"),
    [
        (MINUTE, Trigger.KIND_SCHEDULED, Kind.SCHEDULED),
        (timedelta(hours=2), Trigger.KIND_CATCH_UP, Kind.CATCH_UP),
    ],
)
def test_newest_point_is_run_once_and_the_older_ones_are_missed(
    service: PolicyService, late: timedelta, kind: Trigger.Kind.ValueType, event: Kind
) -> None:
    created = service.create()
    newest = FIRST + 3 * DAY
    service.time.product.set(newest + late)
    response = service.lease()
    (trigger,) = response.triggers
    assert (trigger.kind, from_proto(trigger.scheduled_time)) == (kind, newest)
    assert trigger.missed == missed(FIRST, FIRST + 2 * DAY, 3, reason_pb2.REASON_NOT_TAKEN_UP)
    assert from_proto(response.next_due_time) == newest + DAY
    after = service.get()
    assert (after.execution_count, from_proto(after.last_execution_time)) == (1, newest)
    assert history(service, created) == [
        (Kind.MISSED, Points(FIRST, FIRST + 2 * DAY, 3), MissedReason.NOT_TAKEN_UP),
        (event, Points(newest, newest, 1), None),
    ]


@pytest.mark.rule("D5")
def test_run_now_triggers_beside_the_schedule_and_counts_for_nothing(service: PolicyService) -> None:
    created = service.create()
    (association,) = service.link("web")
    answer = service.execute(request_id=RUN)
    assert (answer.run_id, from_proto(answer.trigger_time)) == (RUN, START)
    (trigger,) = service.lease().triggers
    assert (trigger.kind, trigger.run_id) == (Trigger.KIND_RUN_NOW, RUN)
    assert from_proto(trigger.scheduled_time) == from_proto(trigger.trigger_time) == START
    assert [each.uid for each in trigger.associations] == [association.uid]
    after = service.get()
    assert (after.execution_count, after.HasField("last_execution_time")) == (0, False)
    assert (after.next_execution_time, after.etag) == (created.next_execution_time, created.etag)
    assert history(service, created) == [(Kind.RUN_NOW, Points(START, START, 1), None)]


@pytest.mark.rule("D5")
def test_run_now_without_a_request_id_gets_an_id_of_its_own(service: PolicyService) -> None:
    service.create()
    first = service.execute()
    service.ack(*service.lease().triggers)
    second = service.execute()
    assert first.run_id != second.run_id
    assert service.lease().triggers[0].run_id == second.run_id


@pytest.mark.rule("D5")
def test_run_now_is_refused_until_the_earlier_one_is_acknowledged(service: PolicyService) -> None:
    service.create()
    service.create("other")
    service.execute()
    for wait in (timedelta(0), LEASE):
        error = error_of(service.execute)
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "RUN_NOW_PENDING")
        assert error.precondition is not None
        assert error.precondition.subject == POLICY
        service.lease()
        service.time.operating.advance(wait)
    service.execute("other")
    triggers = service.lease().triggers
    assert policy_ids(triggers) == ["nightly", "other"]
    service.ack(triggers[0])
    service.execute()


@pytest.mark.rule("D5")
def test_run_now_is_not_held_up_by_a_scheduled_trigger(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.lease()
    service.execute()
    assert [each.kind for each in service.lease().triggers] == [Trigger.KIND_RUN_NOW]


@pytest.mark.rule("D5")
def test_run_now_of_a_disabled_policy_is_refused(service: PolicyService) -> None:
    created = service.create(state=Policy.STATE_DISABLED)
    error = error_of(service.execute)
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "POLICY_DISABLED")
    assert error.precondition is not None
    assert error.precondition.subject == POLICY
    assert list(service.lease().triggers) == []
    assert history(service, created) == []


@pytest.mark.rule("D5")
def test_run_now_asked_again_with_the_same_request_id_runs_once(service: PolicyService) -> None:
    service.create()
    first = service.execute(request_id=RUN)
    service.ack(*service.lease().triggers)
    service.time.product.advance(MINUTE)
    service.disable()
    assert service.execute(request_id=RUN) == first
    assert list(service.lease().triggers) == []
