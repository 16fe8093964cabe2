"""ListAssociableInstances: what is asked of compute, and what is made of its answer."""

from typing import Any

import pytest

from autoimage.compute.v1.compute_pb2 import InstanceDisk
from autoimage.compute.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest
from autoimage.policy.v1.policy_service_pb2 import (
    AssociableInstance,
    AssociableInstanceFilter,
    ListAssociableInstancesRequest,
    ListAssociableInstancesResponse,
)
from servicekit.errors import Code, Unavailable
from tests.support import error_of
from tests.support.policy_service import PLACE, PolicyService, instance_name, policy_name

SOUTH = "accounts/acme/regions/cn-south-1"


def listed(service: PolicyService, parent: str = PLACE, **fields: Any) -> ListAssociableInstancesResponse:
    return service.policies.ListAssociableInstances(ListAssociableInstancesRequest(parent=parent, **fields))


def test_instances_come_with_their_names_and_the_policies_they_have_now(service: PolicyService) -> None:
    service.create()
    service.create("other")
    service.link("a")
    service.link("b", policy_id="other")
    service.compute.add(instance_name("c"), instance_name("a", SOUTH))
    service.compute.instances[instance_name("c")].display_name = "备份"
    assert list(listed(service).associable_instances) == [
        AssociableInstance(instance=instance_name("a"), policy=policy_name("nightly")),
        AssociableInstance(instance=instance_name("b"), policy=policy_name("other")),
        AssociableInstance(instance=instance_name("c"), display_name="备份"),
    ]
    assert list(listed(service, SOUTH).associable_instances) == [AssociableInstance(instance=instance_name("a", SOUTH))]


@pytest.mark.rule("A2", "A7")
def test_search_and_the_kind_of_system_disk_are_computes_to_judge(service: PolicyService) -> None:
    listed(service)
    listed(service, page_size=7, filter=AssociableInstanceFilter(instance_id="i-1", display_name="%_A"))
    cloud = InstanceDisk.KIND_CLOUD
    assert service.compute.list_requests == [
        ListInstancesRequest(parent=PLACE, page_size=20, filter=InstanceFilter(system_disk_kind=cloud)),
        ListInstancesRequest(
            parent=PLACE,
            page_size=7,
            filter=InstanceFilter(instance_ids=["i-1"], display_name="%_A", system_disk_kind=cloud),
        ),
    ]


def test_pages_have_each_instance_once(service: PolicyService) -> None:
    names = [instance_name(f"web-{number}") for number in range(5)]
    service.compute.add(*names)
    found: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = listed(service, page_size=2, page_token=token)
        found += [each.instance for each in page.associable_instances]
        token, pages = page.next_page_token, pages + 1
    assert (found, pages) == (names, 3)


def test_token_of_another_query_is_refused(service: PolicyService) -> None:
    service.compute.add(instance_name("a"), instance_name("b"))
    token = listed(service, page_size=1).next_page_token
    other = AssociableInstanceFilter(display_name="a")
    for query in ({"parent": SOUTH}, {"filter": other}):
        error = error_of(listed, service, **{"page_size": 1, "page_token": token, **query})
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert len(service.compute.list_requests) == 1


def test_nothing_can_be_picked_while_compute_is_away(service: PolicyService) -> None:
    service.compute.error = Unavailable("OVERLOADED")
    error = error_of(listed, service)
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "OVERLOADED")
