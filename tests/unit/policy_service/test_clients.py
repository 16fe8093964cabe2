"""What the answers of other services mean here."""

from collections.abc import Iterator

import pytest

from policy_service.clients import Compute, Logs
from policy_service.domain.association import SystemDisk
from policy_service.domain.errors import InstanceNotFound
from servicekit.client import Client
from servicekit.errors import Code, InvalidArgument, Unavailable
from tests.support import error_of
from tests.support.policy_service import LOCAL, TOPIC, FakeCompute, FakeLogs, instance_name, peers


@pytest.fixture
def compute() -> FakeCompute:
    return FakeCompute()  # type: ignore[abstract]


@pytest.fixture
def client(compute: FakeCompute) -> Iterator[Client]:
    with peers(compute, FakeLogs()) as client:  # type: ignore[abstract]
        yield client


def test_each_instance_is_answered_with_its_system_disk_or_why_it_has_none(
    client: Client, compute: FakeCompute
) -> None:
    names = {each: instance_name(each) for each in ("cloud", "local", "none", "gone", "shaky")}
    compute.add(names["cloud"], names["shaky"])
    compute.add(names["local"], system_disk=LOCAL)
    compute.add(names["none"], system_disk=None)
    compute.item_errors[names["shaky"]] = Unavailable("OVERLOADED")
    found = Compute(client).system_disks(list(names.values()))
    shaky, gone = found.pop(names["shaky"]), found.pop(names["gone"])
    assert found == {
        names["cloud"]: SystemDisk.CLOUD,
        names["local"]: SystemDisk.LOCAL,
        names["none"]: SystemDisk.NONE,
    }
    assert isinstance(shaky, Unavailable)
    assert isinstance(gone, InstanceNotFound)
    assert compute.requests[0].parent == "accounts/-/regions/-"


def test_compute_is_not_asked_about_nothing(client: Client, compute: FakeCompute) -> None:
    assert Compute(client).system_disks([]) == {}
    assert compute.requests == []


def test_only_the_answer_that_it_does_not_exist_makes_an_instance_missing(client: Client, compute: FakeCompute) -> None:
    for instance_id, error in [("shaky", Unavailable("OVERLOADED")), ("odd", InvalidArgument([]))]:
        compute.item_errors[instance_name(instance_id)] = error
    compute.add(instance_name("here"))
    asked = [instance_name(each) for each in ("here", "gone", "shaky", "odd")]
    assert Compute(client).missing(asked) == {instance_name("gone")}


def test_only_the_answer_that_it_does_not_exist_makes_a_log_topic_missing() -> None:
    logs = FakeLogs()  # type: ignore[abstract]
    topics = [f"{TOPIC}-{each}" for each in ("here", "gone", "shaky", "odd")]
    logs.add(topics[0])
    logs.item_errors = {topics[2]: Unavailable("OVERLOADED"), topics[3]: InvalidArgument([])}
    with peers(FakeCompute(), logs) as client:  # type: ignore[abstract]
        assert Logs(client).missing(topics) == {topics[1]}
        assert Logs(client).missing([]) == set()
    assert [request.parent for request in logs.requests] == ["accounts/-/regions/-/logSets/-"]


def test_services_out_of_reach_are_unavailable_with_a_time_to_come_again() -> None:
    nobody = Client("127.0.0.1:1")
    for call, argument in [(Logs(nobody).check_topic, TOPIC), (Compute(nobody).missing, [instance_name("web")])]:
        error = error_of(call, argument)
        assert (error.code, error.reason) == (Code.UNAVAILABLE, "TRANSPORT")
        assert error.retry_after is not None
    nobody.close()
