"""What the demo expects of a fleet."""

from datetime import UTC, datetime, timedelta

import pytest

from suite.demo.model import Disk, Model, PolicyModel

T0 = datetime(2030, 1, 1, tzinfo=UTC)
PLACE = "accounts/a/regions/r"
DAY = timedelta(days=1)


def instance(number: int) -> str:
    return f"{PLACE}/instances/i-{number}"


def policy(name: str, first: datetime, interval: timedelta = DAY, devices: frozenset[str] = frozenset()) -> PolicyModel:
    return PolicyModel(f"{PLACE}/policies/{name}", first, interval, devices, f"{PLACE}/logSets/s/logTopics/t", first)


@pytest.fixture
def model() -> Model:
    model = Model(
        instances={
            instance(1): (Disk("vda", True), Disk("vdb", True)),
            instance(2): (Disk("vda", True), Disk("vdb", False)),
        },
        image_limits={PLACE: 3},
    )
    for expected in (policy("p", T0 + timedelta(hours=1)), policy("q", T0 + timedelta(hours=2), timedelta(hours=12))):
        model.policies[expected.name] = expected
    model.policy_of = {instance(1): f"{PLACE}/policies/p", instance(2): f"{PLACE}/policies/p"}
    return model


def test_each_point_up_to_now_is_one_execution_and_the_next_point_is_later(model: Model) -> None:
    added = model.advance(T0 + timedelta(hours=26))

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
    first, second = (e for e in model.advance(T0 + 2 * DAY) if e.instances)

    assert (first.successes, second.successes) == (2, 1)
    assert model.images == {PLACE: 3}


def test_an_image_lacks_local_disks_and_names_that_are_not_there(model: Model) -> None:
    model.policies[f"{PLACE}/policies/p"].devices = frozenset({"vda", "vdb", "vdc"})

    execution = model.advance(T0 + timedelta(hours=1))[0]

    assert execution.included == {instance(1): {"vda", "vdb"}, instance(2): {"vda"}}
    assert execution.left_out == {
        instance(1): {"vdc": "NO_SUCH_DISK"},
        instance(2): {"vdb": "LOCAL_DISK", "vdc": "NO_SUCH_DISK"},
    }


def test_the_system_disk_is_included_without_being_named(model: Model) -> None:
    model.policies[f"{PLACE}/policies/p"].devices = frozenset({"vdb"})

    execution = model.advance(T0 + timedelta(hours=1))[0]

    assert execution.included[instance(1)] == {"vda", "vdb"}


def test_an_instance_that_moved_is_imaged_by_its_new_policy_only(model: Model) -> None:
    model.move(instance(2), f"{PLACE}/policies/q")

    added = model.advance(T0 + timedelta(hours=2))

    assert [execution.instances for execution in added] == [(instance(1),), (instance(2),)]


def test_a_policy_that_was_disabled_goes_on_at_the_first_point_after_it_is_enabled(model: Model) -> None:
    model.disable(f"{PLACE}/policies/p")
    model.advance(T0 + 3 * DAY)
    model.enable(f"{PLACE}/policies/p", T0 + 3 * DAY + timedelta(hours=1))

    assert model.policies[f"{PLACE}/policies/p"].next == T0 + 4 * DAY + timedelta(hours=1)


def test_a_deleted_policy_and_its_instances_are_not_heard_of_again(model: Model) -> None:
    model.delete(f"{PLACE}/policies/p")

    assert not any(execution.instances for execution in model.advance(T0 + 3 * DAY))
