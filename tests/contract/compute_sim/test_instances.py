"""InstanceService, each method on a real server."""

import re

import pytest

from autoimage.compute.v1.compute_pb2 import Instance, InstanceDisk
from autoimage.compute.v1.instance_service_pb2 import (
    BatchCreateInstancesRequest,
    BatchGetInstancesRequest,
    CreateInstanceRequest,
    DeleteInstanceRequest,
    GetInstanceRequest,
    InstanceFilter,
    ListInstancesRequest,
)
from servicekit.errors import Code, ResourceRef
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.compute_sim import INSTANCE, PLACE, REQUEST_ID, Compute, cloud, facts, instance, local

FOREIGN = "accounts/globex/regions/cn-north-1"
EVERYWHERE = "accounts/-/regions/-"


def listed(compute: Compute, **filter: object) -> list[str]:
    request = ListInstancesRequest(parent=PLACE, filter=InstanceFilter(**filter))  # type: ignore[arg-type]
    return [found.name.rpartition("/")[2] for found in compute.instances.ListInstances(request).instances]


# Create and get


def test_a_created_instance_is_answered_and_can_be_read(compute: Compute) -> None:
    created = compute.create_instance(
        display_name="网站-1.a_b", state=Instance.STATE_STOPPED, disks=[local("vdb", 1), cloud("vda", 500)]
    )
    system_disk = created.disks[0].disk
    assert re.fullmatch(PLACE + "/disks/vol-[a-z0-9]{10}", system_disk)
    assert created == Instance(
        name=INSTANCE,
        display_name="网站-1.a_b",
        state=Instance.STATE_STOPPED,
        disks=[
            InstanceDisk(device_name="vda", kind=InstanceDisk.KIND_CLOUD, size_gib=500, disk=system_disk),
            InstanceDisk(device_name="vdb", kind=InstanceDisk.KIND_LOCAL, size_gib=1),
        ],
        create_time=to_proto(START),
    )
    assert compute.get_instance() == created


def test_what_is_left_out_gets_its_default(compute: Compute) -> None:
    created = compute.create_instance("")
    instance_id = created.name.removeprefix(f"{PLACE}/instances/")
    assert re.fullmatch("i-[a-z0-9]{10}", instance_id)
    assert (created.display_name, created.state) == (instance_id, Instance.STATE_RUNNING)


def test_a_default_display_name_has_at_most_32_characters(compute: Compute) -> None:
    assert compute.create_instance("a" * 63).display_name == "a" * 32


def test_an_instance_without_disks_can_be_stopped(compute: Compute) -> None:
    assert list(compute.create_instance(disks=[], state=Instance.STATE_STOPPED).disks) == []
    assert compute.used()["instances"] == 1


def test_a_taken_id_is_refused(compute: Compute) -> None:
    first = compute.create_instance()
    error = error_of(compute.create_instance, display_name="other")
    assert facts(error) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert error.resource == ResourceRef("instance", INSTANCE)
    assert compute.list_instances() == [first]
    assert compute.used()["instances"] == 1


def test_the_same_id_in_another_account_is_another_instance(compute: Compute) -> None:
    compute.create_instance()
    compute.create_instance(parent=FOREIGN, display_name="other")
    assert compute.get_instance().display_name == "web"


def test_an_unknown_instance_is_not_found(compute: Compute) -> None:
    error = error_of(compute.get_instance)
    assert (facts(error), error.metadata) == ((Code.NOT_FOUND, "RESOURCE_NOT_FOUND"), {"name": INSTANCE})
    assert error.resource == ResourceRef("instance", INSTANCE)


# Delete


def test_a_deleted_instance_is_gone_and_its_id_is_free(compute: Compute) -> None:
    compute.create_instance()
    compute.delete_instance()
    assert facts(error_of(compute.get_instance)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert facts(error_of(compute.delete_instance)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    compute.create_instance()
    assert compute.used() == compute.exists()


def test_deleting_touches_no_other_instance(compute: Compute) -> None:
    kept = [compute.create_instance("a"), compute.create_instance(parent=FOREIGN)]
    compute.create_instance()
    compute.delete_instance()
    assert [*compute.list_instances(), *compute.list_instances(FOREIGN)] == kept


# Batches


def test_a_batch_answers_each_request_in_its_place(compute: Compute) -> None:
    compute.create_instance("taken")
    compute.set_limit("instances", 3)
    requests = [
        CreateInstanceRequest(parent=PLACE, instance_id="first", instance=instance()),
        CreateInstanceRequest(parent=PLACE, instance_id="taken", instance=instance()),
        CreateInstanceRequest(parent=PLACE, instance_id="WRONG", instance=instance(display_name="x" * 33)),
        CreateInstanceRequest(parent=FOREIGN, instance_id="first", instance=instance(), request_id=REQUEST_ID),
        CreateInstanceRequest(parent=FOREIGN, instance_id="first", instance=instance(), request_id=REQUEST_ID),
        CreateInstanceRequest(parent=PLACE, instance_id="first", instance=instance()),
        CreateInstanceRequest(parent=PLACE, instance_id="second", instance=instance()),
        CreateInstanceRequest(parent=PLACE, instance_id="too-many", instance=instance()),
    ]
    results = compute.instances.BatchCreateInstances(
        BatchCreateInstancesRequest(parent=EVERYWHERE, requests=requests)
    ).results
    assert [result.instance.name if result.HasField("instance") else facts_of(result) for result in results] == [
        f"{PLACE}/instances/first",
        (Code.ALREADY_EXISTS, "RESOURCE_EXISTS"),
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        f"{FOREIGN}/instances/first",
        f"{FOREIGN}/instances/first",
        (Code.ALREADY_EXISTS, "RESOURCE_EXISTS"),
        f"{PLACE}/instances/second",
        (Code.RESOURCE_EXHAUSTED, "INSTANCE_QUOTA_EXCEEDED"),
    ]
    wrong = from_status(results[2].error).violations
    assert [violation.field for violation in wrong] == ["requests[2].instance_id", "requests[2].instance.display_name"]
    assert compute.used() == compute.exists()
    assert compute.used(FOREIGN) == compute.exists(FOREIGN)


def facts_of(result: object) -> tuple[Code, str]:
    return facts(from_status(result.error))  # type: ignore[attr-defined]


def test_a_batch_of_malformed_requests_only_writes_nothing(compute: Compute) -> None:
    request = BatchCreateInstancesRequest(parent=PLACE, requests=[CreateInstanceRequest()])
    (result,) = compute.instances.BatchCreateInstances(request).results
    fields = [violation.field for violation in from_status(result.error).violations]
    assert fields == ["requests[0].parent", "requests[0].instance"]


def test_a_batch_gets_each_name_in_its_place(compute: Compute) -> None:
    web, db = compute.create_instance(), compute.create_instance("db", parent=FOREIGN)
    names = [db.name, f"{PLACE}/instances/gone", "nonsense", web.name, web.name, f"{PLACE}/images/web", ""]
    results = compute.instances.BatchGetInstances(BatchGetInstancesRequest(parent=EVERYWHERE, names=names)).results
    assert [results[index].instance for index in (0, 3, 4)] == [db, web, web]
    assert facts_of(results[1]) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    for index in (2, 5, 6):
        error = from_status(results[index].error)
        assert facts(error) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert [violation.field for violation in error.violations] == [f"names[{index}]"]


# List


@pytest.fixture
def five(compute: Compute) -> Compute:
    compute.create_instance("a", display_name="Web_1")
    compute.create_instance("b", display_name="web-2", state=Instance.STATE_STOPPED)
    compute.create_instance("c", display_name="数据库", disks=[local("vda"), cloud("vdb")])
    compute.create_instance("d", disks=[], state=Instance.STATE_STOPPED)
    compute.create_instance("e", parent=FOREIGN)
    return compute


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, ["a", "b", "c", "d"]),
        ({"instance_ids": ["d", "b", "e", "nobody"]}, ["b", "d"]),
        ({"states": [Instance.STATE_RUNNING]}, ["a", "c"]),
        ({"states": [Instance.STATE_RUNNING, Instance.STATE_STOPPED]}, ["a", "b", "c", "d"]),
        ({"display_name": "WEB"}, ["a", "b"]),
        ({"display_name": "b_1"}, ["a"]),
        ({"display_name": "_"}, ["a"]),
        ({"display_name": "%"}, []),
        ({"display_name": "据"}, ["c"]),
        ({"system_disk_kind": InstanceDisk.KIND_CLOUD}, ["a", "b"]),
        ({"system_disk_kind": InstanceDisk.KIND_LOCAL}, ["c"]),
        ({"display_name": "web", "states": [Instance.STATE_STOPPED]}, ["b"]),
    ],
)
def test_a_list_holds_what_fits_every_field_of_the_filter(
    five: Compute, filter: dict[str, object], expected: list[str]
) -> None:
    assert listed(five, **filter) == expected


def test_pages_follow_each_other_without_gap_or_repetition(five: Compute) -> None:
    request = ListInstancesRequest(parent=PLACE, page_size=3)
    first = five.instances.ListInstances(request)
    request.page_token = first.next_page_token
    second = five.instances.ListInstances(request)
    assert [*first.instances, *second.instances] == five.list_instances()
    assert (len(first.instances), second.next_page_token) == (3, "")


def test_a_token_is_refused_for_another_filter_or_parent(five: Compute) -> None:
    token = five.instances.ListInstances(ListInstancesRequest(parent=PLACE, page_size=1)).next_page_token
    for request in (
        ListInstancesRequest(parent=FOREIGN, page_token=token),
        ListInstancesRequest(parent=PLACE, page_token=token, filter=InstanceFilter(display_name="web")),
    ):
        assert facts(error_of(five.call, request)) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def test_a_page_has_20_instances_unless_told_and_never_more_than_100(compute: Compute) -> None:
    compute.set_limit("instances", 101)
    compute.set_limit("disks", 1000)
    requests = [CreateInstanceRequest(parent=PLACE, instance=instance()) for _ in range(101)]
    compute.instances.BatchCreateInstances(BatchCreateInstancesRequest(parent=PLACE, requests=requests))
    sizes = [
        len(compute.instances.ListInstances(ListInstancesRequest(parent=PLACE, page_size=size)).instances)
        for size in (0, 100, 101)
    ]
    assert sizes == [20, 100, 100]


def test_methods_answer_the_messages_of_the_contract(compute: Compute) -> None:
    compute.create_instance()
    assert compute.call(GetInstanceRequest(name=INSTANCE)).name == INSTANCE
    assert compute.call(DeleteInstanceRequest(name=INSTANCE)).DESCRIPTOR.full_name == "google.protobuf.Empty"
