"""Retention at work (X9, P9, X8): what it deletes, what it leaves alone, and what it does when others are away."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import EventDict

from scheduler_service.domain.executions import Kind
from scheduler_service.domain.retention import KEEP_FOREVER, Retention
from scheduler_service.steps import retain as step
from scheduler_service.steps.retain import retain
from scheduler_service.store import series
from servicekit.errors import Unavailable
from tests.support import START
from tests.support.scheduler import TASK_LEASE, World, scheduler_world
from tests.support.scheduler_fakes import Fault, lost_answer, lost_request, raising
from tests.support.scheduler_values import PLACE, instance_name, uid

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
DAILY = uid("daily")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        world.compute.build_time = SECOND
        yield world


def make(world: World, days: int = 0, **which: Any) -> str:
    """Has an image made for so many days after START; its name."""
    return world.make_image(START + days * DAY, **which)


def make_all(world: World, number: int) -> list[str]:
    """Images of one a day, all there now; oldest first."""
    return [make(world, day) for day in range(number)]


def keep(world: World, **retention: Any) -> None:
    """What the policy service tells from now on."""
    world.policies.retentions[DAILY] = Retention(**retention)


def living(world: World) -> list[str]:
    return sorted(image.name for image in world.compute.live_images())


def next_look(world: World) -> None:
    """The day is over, and retention looks again."""
    world.pass_time(DAY)
    world.run_until_idle()


# What goes


@pytest.mark.rule("X9", "P9")
def test_after_each_success_the_oldest_beyond_keep_last_goes(world: World, logged: list[EventDict]) -> None:
    keep(world, keep_last=2)
    names = make_all(world, 3)
    assert living(world) == names[1:]
    assert [image.name for image in world.kept()] == [names[2], names[1]]
    deleted, *others = world.tasks()
    assert deleted.image_delete_time == world.time.product.now()
    assert [task.image_delete_time for task in others] == [None, None]
    (line,) = [line for line in logged if line["event"] == "image_deleted"]
    assert line == {
        "event": "image_deleted",
        "log_level": "info",
        "policy_uid": DAILY,
        "instance": instance_name("i-1"),
        "image": names[0],
        "scheduled_time": START.isoformat(),
    }


@pytest.mark.rule("X9", "P9")
@pytest.mark.parametrize(("moment", "goes"), [(START + 3 * DAY - MICROSECOND, False), (START + 3 * DAY, True)])
def test_keep_days_counts_from_the_scheduled_time_to_the_microsecond(
    world: World, moment: datetime, goes: bool
) -> None:
    names = make_all(world, 2)
    keep(world, keep_days=3)
    world.time.product.set(moment)
    world.run_until_idle()
    assert living(world) == names[goes:]


@pytest.mark.rule("X9")
def test_it_looks_daily_without_a_new_image_and_whether_or_not_the_policy_is_deleted(world: World) -> None:
    names = make_all(world, 3)
    world.policies.delete_policy(DAILY)
    keep(world, keep_last=1)
    world.run_until_idle()
    assert living(world) == names, "not yet due"
    world.pass_time(DAY - 10 * SECOND)
    world.run_until_idle()
    assert living(world) == names
    world.pass_time(10 * SECOND)
    world.run_until_idle()
    assert living(world) == names[2:]


@pytest.mark.rule("X9")
def test_images_of_every_kind_of_execution_are_ordered_by_scheduled_time(world: World) -> None:
    later = make(world, 5, kind=Kind.RUN_NOW)
    caught_up = make(world, 1)
    scheduled = make(world, 3, kind=Kind.SCHEDULED)
    keep(world, keep_last=2)
    next_look(world)
    assert living(world) == sorted([later, scheduled])
    assert caught_up not in living(world)


@pytest.mark.rule("X9", "X5")
def test_a_late_image_is_kept_and_deleted_like_any_other(world: World) -> None:
    world.add_trigger("i-1")
    world.run_until_idle()
    late = world.compute.image_of("i-1")
    world.compute.finish_at(late, START + timedelta(hours=26))
    for hours in (25, 3):
        world.pass_time(timedelta(hours=hours))
        world.run_until_idle()
    assert (world.task().reason, world.task().late_image_time is not None) == ("BUILD_TIMEOUT", True)
    assert [image.name for image in world.kept()] == [late.name]
    keep(world, keep_last=1)
    newer = make(world, 9)
    assert living(world) == [newer]
    assert world.tasks()[0].image_delete_time is not None


# What stays


@pytest.mark.rule("X9")
def test_instances_and_policies_are_judged_each_for_itself(world: World) -> None:
    keep(world, keep_last=1)
    old, other_instance = make(world, 0), make(world, 1, instance="i-2")
    other_policy = make(world, 0, policy="weekly")
    newest = make(world, 2)
    assert living(world) == sorted([other_instance, other_policy, newest])
    assert old not in living(world)


@pytest.mark.rule("X9", "P9")
def test_the_newest_available_image_stays_and_goes_only_if_the_policy_says_so(world: World) -> None:
    keep(world, keep_days=1)
    names = make_all(world, 2)
    world.pass_time(100 * DAY)
    world.run_until_idle()
    assert living(world) == names[1:]
    keep(world, keep_days=1, may_delete_newest=True)
    next_look(world)
    assert living(world) == []
    assert world.kept() == []


@pytest.mark.rule("X9")
def test_error_images_neither_count_nor_go(world: World) -> None:
    good = make(world, 0)
    world.compute.failing.add("i-1")
    for day in (1, 2):
        world.add_trigger("i-1", scheduled=START + day * DAY)
        world.settle()
    keep(world, keep_last=1)
    next_look(world)
    assert living(world) == [good]
    assert [image.name for image in world.kept()] == [good]
    assert world.compute.deletes == []


@pytest.mark.rule("X9")
def test_protected_images_stay_and_count(world: World) -> None:
    names = make_all(world, 4)
    world.compute.protect(names[0])
    world.compute.protect(names[3])
    keep(world, keep_last=2)
    next_look(world)
    assert living(world) == [names[0], names[2], names[3]]
    world.compute.protect(names[0], protected=False)
    next_look(world)
    assert living(world) == names[2:]


@pytest.mark.rule("X9")
def test_images_that_are_no_tasks_of_ours_are_never_asked_about(world: World) -> None:
    """A user's image of the same instance, and one that took the name of ours after compute lost it."""
    keep(world, keep_last=1)
    first = make(world, 0)
    ours = world.compute.image_of("i-1")
    foreign = make_foreign(world, f"{PLACE}/images/img-foreign", "foreign")
    world.compute.remove(ours)
    impostor = make_foreign(world, first, "impostor")
    newest = make(world, 1)
    next_look(world)
    assert living(world) == sorted([foreign, impostor, newest])
    assert world.compute.deletes == []
    assert not any(foreign in look for look in world.compute.looks)


def make_foreign(world: World, name: str, request_id: str) -> str:
    """An image of i-1 that somebody else had made long ago."""
    world.compute.add(name, instance_name("i-1"), request_id)
    return name


@pytest.mark.rule("X9")
def test_what_a_user_deleted_is_forgotten_and_does_not_count(world: World) -> None:
    names = make_all(world, 3)
    world.compute.remove(world.compute.named(names[2]))
    keep(world, keep_last=2)
    next_look(world)
    assert living(world) == names[:2]
    assert [image.name for image in world.kept()] == [names[1], names[0]]
    assert {task.image_delete_time for task in world.tasks()} == {None}


# The policy, as it is now


@pytest.mark.rule("X9")
def test_what_holds_is_the_policy_of_now_not_that_of_the_trigger(world: World) -> None:
    world.add_trigger("i-1", retention=Retention(keep_last=1))
    world.settle()
    first = world.task().image
    second = make(world, 1)
    assert living(world) == sorted([first, second])


@pytest.mark.rule("X9")
def test_of_a_policy_that_nobody_knows_nothing_goes(world: World) -> None:
    names = make_all(world, 3)
    del world.policies.retentions[DAILY]
    next_look(world)
    next_look(world)
    assert living(world) == names
    assert world.compute.looks == []


@pytest.mark.rule("X9")
def test_while_the_policy_service_is_away_nothing_goes_and_then_it_does(world: World) -> None:
    names = make_all(world, 2)
    keep(world, keep_last=1)
    world.faults.always("look_up_retentions", lost_request())
    next_look(world)
    world.live(timedelta(minutes=5))
    assert living(world) == names
    assert world.compute.looks == []
    world.faults.clear("look_up_retentions")
    world.live(timedelta(minutes=1))
    assert living(world) == names[1:]


# Compute


@pytest.mark.rule("X9")
@pytest.mark.parametrize("call", ["look_at", "delete_image"])
def test_while_compute_is_away_nothing_goes_and_then_it_does(world: World, call: str) -> None:
    names = make_all(world, 2)
    keep(world, keep_last=1)
    world.faults.always(call, lost_request())
    next_look(world)
    world.live(timedelta(minutes=5))
    assert living(world) == names
    assert [image.name for image in world.kept()] == names[::-1]
    world.faults.clear(call)
    world.live(timedelta(minutes=1))
    assert living(world) == names[1:]
    assert world.tasks()[0].image_delete_time is not None


@pytest.mark.rule("X9")
def test_an_image_that_is_protected_between_decision_and_deletion_stays(world: World) -> None:
    names = make_all(world, 3)
    keep(world, keep_last=1)
    world.faults.next("delete_image", Fault(before=lambda: world.compute.protect(names[0])))
    next_look(world)
    assert living(world) == [names[0], names[2]]
    assert [image.deleting for image in world.kept()] == [False, False]
    assert [task.image_delete_time is not None for task in world.tasks()] == [False, True, False]


@pytest.mark.rule("X9")
def test_an_image_that_a_user_deletes_between_decision_and_deletion_is_not_told_as_ours(world: World) -> None:
    names = make_all(world, 2)
    keep(world, keep_last=1)
    removed = world.compute.named(names[0])
    world.faults.next("delete_image", Fault(before=lambda: world.compute.remove(removed)))
    next_look(world)
    assert [image.name for image in world.kept()] == names[1:]
    assert {task.image_delete_time for task in world.tasks()} == {None}


@pytest.mark.rule("X9")
def test_a_delete_whose_answer_is_lost_is_told_as_ours(world: World) -> None:
    names = make_all(world, 2)
    keep(world, keep_last=1)
    world.faults.next("delete_image", lost_answer())
    next_look(world)
    world.live(timedelta(minutes=1))
    assert [image.name for image in world.kept()] == names[1:]
    assert world.tasks()[0].image_delete_time is not None
    assert len(world.compute.deletes) == 1


@pytest.mark.rule("X9")
def test_an_image_that_compute_fails_to_delete_holds_up_no_other_and_is_tried_again_the_next_day(
    world: World, logged: list[EventDict]
) -> None:
    names = make_all(world, 4)
    keep(world, keep_last=1)
    world.compute.undeletable.add(names[0])
    next_look(world)
    assert living(world) == [names[0], names[3]]
    (line,) = [line for line in logged if line["event"] == "image_not_deleted"]
    assert (line["image"], line["verdict"]) == (names[0], "DELETE_TOO_MANY")
    world.compute.undeletable.clear()
    next_look(world)
    assert living(world) == names[3:]


# Stale knowledge


@pytest.mark.rule("X9")
def test_a_delete_that_arrives_after_the_lease_deletes_nothing(world: World) -> None:
    """The process was stopped between its decision and its call, and the policy was changed meanwhile."""
    names = make_all(world, 2)
    keep(world, keep_last=1)

    def sleep() -> None:
        world.pass_time(TASK_LEASE + MICROSECOND)
        keep(world, keep_last=5)

    world.pass_time(DAY)
    leased = world.time.operating.now() + TASK_LEASE
    world.faults.next("delete_image", Fault(before=sleep))
    world.run_until_idle()
    assert world.compute.deletes == [(names[0], leased)]
    assert living(world) == names
    assert [image.deleting for image in world.kept()] == [False, False]


@pytest.mark.rule("X9")
def test_what_a_delete_came_too_late_for_goes_as_soon_as_it_can_and_not_a_day_later(world: World) -> None:
    """Compute took its time with the second of three images, which had reached it within the lease."""
    names = make_all(world, 4)
    keep(world, keep_last=1)
    world.pass_time(DAY)
    world.faults.next("delete_image", Fault(), Fault(before=lambda: world.pass_time(TASK_LEASE + MICROSECOND)))
    retain(world.deps)
    assert living(world) == names[1:]
    assert [image.deleting for image in world.kept()] == [False, False, False], "nobody but a user can delete them now"
    world.live(timedelta(minutes=1))
    assert living(world) == names[3:]
    assert [task.image_delete_time is not None for task in world.tasks()] == [True, True, True, False]


@pytest.mark.rule("X9")
def test_nothing_is_deleted_once_the_lease_is_over(world: World) -> None:
    names = make_all(world, 4)
    keep(world, keep_last=1)
    world.pass_time(DAY)
    world.faults.next("delete_image", Fault(after=lambda: world.pass_time(TASK_LEASE)))
    retain(world.deps)
    assert living(world) == names[1:], "only the oldest"
    keep(world, keep_last=2)
    world.run_until_idle()
    assert living(world) == names[2:]
    assert [task.image_delete_time is not None for task in world.tasks()] == [True, True, False, False]


@pytest.mark.rule("X9")
@pytest.mark.parametrize("call", ["look_up_retentions", "look_at"])
def test_who_lost_the_series_to_another_deletes_nothing_and_records_nothing(world: World, call: str) -> None:
    """The first scheduler is stopped after a call; the second takes over, and keeps what the policy now keeps."""
    names = make_all(world, 3)
    keep(world, keep_last=1)
    world.pass_time(DAY)

    def taken_over() -> None:
        world.pass_time(TASK_LEASE)
        keep(world, keep_last=2)
        retain(world.replica("scheduler-2"))

    world.faults.next(call, Fault(after=taken_over))
    retain(world.deps)
    assert living(world) == names[1:]
    kept = [image.name for image in world.kept()]
    assert kept == names[:0:-1]
    world.run_until_idle()
    assert living(world) == names[1:]


@pytest.mark.rule("X9")
def test_who_lost_the_series_to_a_scheduler_whose_clock_is_ahead_deletes_nothing(world: World) -> None:
    names = make_all(world, 2)
    keep(world, keep_last=1)
    world.pass_time(DAY)

    def taken_over() -> None:
        product, ahead = world.time.product.now(), world.time.operating.now() + TASK_LEASE
        with world.database.write() as connection:
            series.claim(connection, product=product, operating=ahead, lease_end=ahead + TASK_LEASE, limit=1)

    world.faults.next("look_at", Fault(after=taken_over))
    retain(world.deps)
    assert world.compute.deletes == []
    assert living(world) == names


@pytest.mark.rule("X9")
def test_an_image_that_comes_during_a_look_is_followed_by_another_look(world: World) -> None:
    names = make_all(world, 2)
    keep(world, keep_last=2)
    world.pass_time(DAY)
    world.add_trigger("i-1", scheduled=START + 2 * DAY)

    def finish() -> None:
        world.pass_time(SECOND)
        world.settle()

    world.faults.next("look_up_retentions", Fault(before=finish))
    retain(world.deps)
    world.run_until_idle()
    assert names[0] not in living(world)
    assert len(living(world)) == 2


# Bounds


@pytest.mark.rule("X9")
def test_a_long_series_is_looked_at_in_pieces_past_what_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "PIECE", 2)
    names = make_all(world, 8)
    for name in names[:3]:
        world.compute.protect(name)
    world.compute.looks.clear()
    keep(world, keep_last=2)
    next_look(world)
    assert living(world) == [*names[:3], *names[6:]]
    assert max(map(len, world.compute.looks)) == 2


@pytest.mark.rule("X9")
def test_what_no_limit_concerns_is_not_asked_about(world: World) -> None:
    keep(world, keep_last=3, keep_days=10)
    make_all(world, 3)
    next_look(world)
    assert world.compute.looks == []


@pytest.mark.rule("X9")
def test_a_series_without_images_is_forgotten(world: World) -> None:
    name = make(world)
    keep(world, keep_days=1, may_delete_newest=True)
    world.compute.remove(world.compute.named(name))
    next_look(world)
    assert world.kept() == []
    world.policies.looked_up.clear()
    next_look(world)
    assert world.policies.looked_up == []


@pytest.mark.rule("X9")
def test_many_series_are_looked_at_together_and_one_in_trouble_holds_up_no_other(world: World) -> None:
    instances = [f"i-{number}" for number in range(30)]
    for day in range(2):
        world.add_trigger(*instances, scheduled=START + day * DAY)
        world.settle()
    world.policies.looked_up.clear()
    keep(world, keep_last=1)
    world.faults.next("look_at", Fault(before=raising(Unavailable("TRANSPORT"))))
    next_look(world)
    assert world.policies.looked_up == [[DAILY]]
    world.live(timedelta(minutes=1))
    assert len(living(world)) == 30


# X8


@pytest.mark.rule("X8")
@pytest.mark.parametrize("kind", [Kind.SCHEDULED, Kind.CATCH_UP, Kind.RUN_NOW])
def test_an_image_tells_when_keep_days_lets_it_go_as_the_policy_was_when_triggered(world: World, kind: Kind) -> None:
    run_id = uid("run") if kind is Kind.RUN_NOW else ""
    retention = Retention(keep_days=7, keep_last=2)
    scheduled = START - timedelta(minutes=5)
    world.add_trigger("i-1", kind=kind, scheduled=scheduled, run_id=run_id, retention=retention)
    world.settle()
    assert world.compute.image_of("i-1").expire_time == scheduled + 7 * DAY
    assert world.execution().image_expire_time == scheduled + 7 * DAY


@pytest.mark.rule("X8")
@pytest.mark.parametrize("retention", [KEEP_FOREVER, Retention(keep_last=2)])
def test_an_image_whose_age_does_not_matter_never_expires(world: World, retention: Retention) -> None:
    world.add_trigger("i-1", retention=retention)
    world.settle()
    assert world.compute.image_of("i-1").expire_time is None
