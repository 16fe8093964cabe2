"""What there is already of a place of a fleet, read through the public RPCs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from autoimage.compute.v1 import compute_pb2, instance_service_pb2, quota_service_pb2
from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from servicekit.errors import Code
from servicekit.status import from_status
from suite.clients import Clients, pages
from suite.fleet.model import Place

T = TypeVar("T")
BATCH = 500
_PAGE = 100


@dataclass
class Existing:
    """By resource name; of instances only those that the file has. `policy_of` names each instance's policy."""

    quotas: dict[str, compute_pb2.Quota] = field(default_factory=dict)
    log_sets: dict[str, log_pb2.LogSet] = field(default_factory=dict)
    topics: dict[str, log_pb2.LogTopic] = field(default_factory=dict)
    instances: dict[str, compute_pb2.Instance] = field(default_factory=dict)
    policies: dict[str, policy_pb2.Policy] = field(default_factory=dict)
    policy_of: dict[str, str] = field(default_factory=dict)


def read_existing(clients: Clients, place: Place) -> Existing:
    """Raises ServiceError."""
    there = Existing()
    quotas = quota_service_pb2.ListQuotasRequest(parent=place.name, page_size=_PAGE)
    log_sets = log_service_pb2.ListLogSetsRequest(parent=place.name, page_size=_PAGE)
    policies = policy_service_pb2.ListPoliciesRequest(parent=place.name, page_size=_PAGE)
    there.quotas = {each.name: each for each in pages(clients.quotas.ListQuotas, quotas, "quotas")}
    there.log_sets = {each.name: each for each in pages(clients.logs.ListLogSets, log_sets, "log_sets")}
    there.policies = {each.name: each for each in pages(clients.policies.ListPolicies, policies, "policies")}
    for name in there.log_sets:
        topics = log_service_pb2.ListLogTopicsRequest(parent=name, page_size=_PAGE)
        there.topics |= {each.name: each for each in pages(clients.logs.ListLogTopics, topics, "log_topics")}
    for name in there.policies:
        members = policy_service_pb2.ListAssociationsRequest(parent=name, page_size=_PAGE)
        associations = pages(clients.policies.ListAssociations, members, "associations")
        there.policy_of |= {each.instance: name for each in associations}
    there.instances = {each.name: each for each in _instances(clients, place)}
    return there


def _instances(clients: Clients, place: Place) -> Iterator[compute_pb2.Instance]:
    names = [f"{place.name}/instances/{instance.id}" for instance in place.instances]
    for chunk in chunks(names, BATCH):
        request = instance_service_pb2.BatchGetInstancesRequest(parent=place.name, names=chunk)
        for result in clients.instances.BatchGetInstances(request).results:
            if result.HasField("instance"):
                yield result.instance
            elif (error := from_status(result.error)).code != Code.NOT_FOUND:
                raise error


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, at most `size` at a time."""
    return (items[begin : begin + size] for begin in range(0, len(items), size))
