"""Requests about associations, and about instances that may have one."""

from collections.abc import Iterable

from autoimage.policy.v1 import policy_service_pb2
from policy_service.domain.errors import InstanceElsewhere
from policy_service.domain.policy import Place
from policy_service.validation.names import any_policy
from servicekit import validation as v
from servicekit.errors import InvalidArgument
from servicekit.names import ACCOUNT_REGION, INSTANCE, POLICY

MAX_BATCH = 100
"""Instances that a user associates or disassociates at once."""
_MAX_INSTANCE_NAME = 32
"""Characters of an instance's display name to look for."""


def associate_instances(request: policy_service_pb2.AssociateInstancesRequest) -> v.Violations:
    found = v.name("policy", request.policy, POLICY) + v.request_id("request_id", request.request_id)
    return found + _batch(request.instances)


def disassociate_instances(request: policy_service_pb2.DisassociateInstancesRequest) -> v.Violations:
    return any_policy("policy", request.policy) + _batch(request.instances)


def _batch(instances: Iterable[str]) -> v.Violations:
    names = list(instances)
    return v.count("instances", names, MAX_BATCH) + v.distinct("instances", names)


def instance_of(place: Place, field: str, name: str) -> InvalidArgument | None:
    """What is wrong with one instance's name of a batch; None if it is an instance of the place."""
    ids = INSTANCE.match(name)
    if ids is None:
        return InvalidArgument(v.fail(field, f"must be a name like {INSTANCE.pattern}"))
    if (ids["account"], ids["region"]) != place:
        return InstanceElsewhere(field, place.name)
    return None


def list_associations(request: policy_service_pb2.ListAssociationsRequest) -> v.Violations:
    return v.name("parent", request.parent, POLICY) + v.page(request)


def list_associable_instances(request: policy_service_pb2.ListAssociableInstancesRequest) -> v.Violations:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.page(request)
        + v.resource_id("filter.instance_id", request.filter.instance_id)
        + v.length("filter.display_name", request.filter.display_name, 1, _MAX_INSTANCE_NAME)
    )
