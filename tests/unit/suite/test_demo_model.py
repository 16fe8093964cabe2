"""What the demo expects of a fleet."""

from datetime import UTC, datetime, timedelta

import pytest

from suite.demo.model import Disk, ExpectedExecution, ExpectedMissed, Grid, Model, PolicyModel

T0 = datetime(2030, 1, 1, tzinfo=UTC)
PLACE = "accounts/a/regions/r"
DAY = timedelta(days=1)


def instance(number: int) -> str:
    return f"{PLACE}/instances/i-{number}"


def policy(name: str, first: datetime, count: int = 1, unit: str = "DAY", zone: str = "UTC") -> PolicyModel:
    grid = Grid(first.replace(tzinfo=None), count, unit, zone)
    return PolicyModel(f"{PLACE}/policies/{name}", grid, log_topic=f"{PLACE}/logSets/s/logTopics/t")


def live(model: Model, until: datetime) -> list[ExpectedExecution]:
    """The executions up to then, each taken up at once."""
    while (due := model.next_due()) is not None and due <= until:
        model.advance(due)
    return model.executions


@pytest.fixture
def model() -> Model:
    model = Model(
        instances={
            instance(1): (Disk("vda", True), Disk("vdb", True)),
            instance(2): (Disk("vda", True), Disk("vdb", False)),
        },
        image_limits={PLACE: 3},
    )
    for expected in (policy("p", T0 + timedelta(hours=1)), policy("q", T0 + timedelta(hours=2), 12, "HOUR")):
        model.policies[expected.name] = expected
    model.policy_of = {instance(1): f"{PLACE}/policies/p", instance(2): f"{PLACE}/policies/p"}
    return model


def test_each_point_up_to_now_is_one_execution_and_the_next_point_is_later(model: Model) -> None:
    added = live(model, T0 + timedelta(hours=26))

    found = [(execution.policy.rpartition("/")[2], execution.scheduled_time - T0) for execution in added]
    assert found == [
        ("p", timedelta(hours=1)),
        ("q", timedelta(hours=2)),
        ("q", timedelta(hours=14)),
        ("p", timedelta(hours=25)),
        ("q", timedelta(hours=26)),
    ]
    assert model.next_due() == T0 + timedelta(hours=38)


def test_images_beyond_the_quota_are_not_expected(model: Model) -> None:
    first, second = (e for e in live(model, T0 + 2 * DAY) if e.instances)

    assert (first.successes, second.successes) == (2, 1)
    assert model.images == {PLACE: 3}


def test_an_image_lacks_local_disks_and_names_that_are_not_there(model: Model) -> None:
    model.policies[f"{PLACE}/policies/p"].devices = frozenset({"vda", "vdb", "vdc"})

    execution = live(model, T0 + timedelta(hours=1))[0]

    assert execution.included == {instance(1): {"vda", "vdb"}, instance(2): {"vda"}}
    assert execution.left_out == {
        instance(1): {"vdc": "NO_SUCH_DISK"},
        instance(2): {"vdb": "LOCAL_DISK", "vdc": "NO_SUCH_DISK"},
    }


def test_the_system_disk_is_included_without_being_named(model: Model) -> None:
    model.policies[f"{PLACE}/policies/p"].devices = frozenset({"vdb"})

    execution = live(model, T0 + timedelta(hours=1))[0]

    assert execution.included[instance(1)] == {"vda", "vdb"}


def test_an_instance_that_moved_is_imaged_by_its_new_policy_only(model: Model) -> None:
    model.move(instance(2), f"{PLACE}/policies/q")

    added = live(model, T0 + timedelta(hours=2))

    assert [execution.instances for execution in added] == [(instance(1),), (instance(2),)]


def test_a_policy_that_was_disabled_goes_on_at_the_first_point_after_it_is_enabled(model: Model) -> None:
    model.disable(f"{PLACE}/policies/p")
    live(model, T0 + 3 * DAY)
    model.enable(f"{PLACE}/policies/p", T0 + 3 * DAY + timedelta(hours=1))

    assert model.policies[f"{PLACE}/policies/p"].next == T0 + 4 * DAY + timedelta(hours=1)


def test_a_deleted_policy_and_its_instances_are_not_heard_of_again(model: Model) -> None:
    model.delete(f"{PLACE}/policies/p")

    assert not any(execution.instances for execution in live(model, T0 + 3 * DAY))


P, Q = f"{PLACE}/policies/p", f"{PLACE}/policies/q"


@pytest.mark.parametrize(
    ("late", "missed", "kind"),
    [(5, 0, "SCHEDULED"), (6, 0, "CATCH_UP"), (12 * 60 + 5, 1, "SCHEDULED"), (30 * 60, 2, "CATCH_UP")],
)
def test_the_newest_of_the_points_that_are_due_is_run_and_the_others_are_missed(
    model: Model, late: int, missed: int, kind: str
) -> None:
    del model.policies[P]
    first = T0 + timedelta(hours=2)
    *records, run = model.advance(first + timedelta(minutes=late))
    newest = first + missed * timedelta(hours=12)
    assert isinstance(run, ExpectedExecution)
    assert (run.kind, run.scheduled_time) == (kind, newest)
    topic = f"{PLACE}/logSets/s/logTopics/t"
    expected = [ExpectedMissed(Q, first, newest - timedelta(hours=12), missed, topic)] if missed else []
    assert records == model.missed == expected


def test_a_policy_that_does_not_catch_up_misses_all_that_is_late(model: Model) -> None:
    del model.policies[P]
    model.policies[Q].catches_up = False
    (record,) = model.advance(T0 + timedelta(hours=15))
    assert (record.kind, record.scheduled_time) == ("MISSED", T0 + timedelta(hours=2))
    assert model.next_due() == T0 + timedelta(hours=26)


def test_a_new_interval_counts_from_the_latest_execution(model: Model) -> None:
    live(model, T0 + timedelta(hours=15))
    model.reschedule(Q, 1, "DAY")
    assert model.policies[Q].next == T0 + timedelta(hours=14) + DAY


def test_days_are_counted_on_the_clocks_of_a_zone() -> None:
    grid = policy("p", datetime(2030, 3, 30, 2, 30, tzinfo=UTC), zone="Europe/Berlin").grid
    assert [f"{grid.point(number):%d %H:%M}" for number in range(3)] == ["30 01:30", "31 01:00", "01 00:30"]


def test_only_the_newest_images_of_an_instance_stay(model: Model) -> None:
    model.image_limits = {PLACE: 10}
    model.policies[P].keep_last = 2
    executions = [e for e in live(model, T0 + 3 * DAY) if e.instances]
    assert [model.is_deleted(execution, instance(1)) for execution in executions] == [True, False, False]
    assert model.images == {PLACE: 4}


def test_a_run_by_a_user_is_besides_the_schedule(model: Model) -> None:
    model.run_now(P, T0)
    assert [(e.kind, e.scheduled_time) for e in model.executions] == [("RUN_NOW", T0)]
    assert model.policies[P].next == T0 + timedelta(hours=1)
    assert [model.advance(T0), model.advance(T0)] == [model.executions, []], "it is expected at once, and told once"


def test_a_replica_has_the_points_of_its_source_and_no_instances(model: Model) -> None:
    model.replicate(P, f"{PLACE}/policies/copy", "")
    model.delete(P)
    assert [e.instances for e in live(model, T0 + timedelta(hours=1))] == [()]
