"""What this service asks of others, in the words of its own domain. Each may raise Unavailable."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from autoimage.compute.v1 import (
    compute_pb2,
    instance_service_pb2,
    instance_service_pb2_grpc,
    quota_service_pb2,
    quota_service_pb2_grpc,
)
from autoimage.log.v1 import log_pb2, log_service_pb2, log_service_pb2_grpc
from policy_service.domain.association import Instance, InstanceFilter, SystemDisk
from policy_service.domain.errors import InstanceNotFound, LogTopicNotFound, LogTopicUnsuitable
from policy_service.domain.policy import SYSTEM_DISK, Place
from servicekit.client import Client
from servicekit.errors import NotFound, ServiceError
from servicekit.status import from_status

BATCH = 500
"""How many instances or log topics are looked up at once."""


class InstancePage(NamedTuple):
    """The token is compute's; empty on the last page."""

    instances: list[Instance]
    next_token: str


class Compute:
    """Instances and quotas of all accounts and regions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._instances = client.stub(instance_service_pb2_grpc.InstanceServiceStub)
        self._quotas = client.stub(quota_service_pb2_grpc.QuotaServiceStub)

    def system_disks(self, instances: Sequence[str]) -> dict[str, SystemDisk | ServiceError]:
        """The system disk of each of at most 500 instances, by name; InstanceNotFound for those that do not exist."""
        if not instances:
            return {}
        request = instance_service_pb2.BatchGetInstancesRequest(parent="accounts/-/regions/-", names=instances)
        response = self._client.call(self._instances.BatchGetInstances, request)
        return {name: _system_disk(name, result) for name, result in zip(instances, response.results, strict=True)}

    def missing(self, instances: Sequence[str]) -> set[str]:
        """Those of at most 500 instances that compute says do not exist; other trouble with one is passed over."""
        found = self.system_disks(instances)
        return {name for name, disk in found.items() if isinstance(disk, InstanceNotFound)}

    def associable(self, place: Place, filter: InstanceFilter, page_size: int, page_token: str) -> InstancePage:
        """A page of the instances of a place that fit and have a cloud system disk, in the order of their ids."""
        request = instance_service_pb2.ListInstancesRequest(
            parent=place.name,
            page_size=page_size,
            page_token=page_token,
            filter=instance_service_pb2.InstanceFilter(
                instance_ids=[filter.instance_id] if filter.instance_id else [],
                display_name=filter.display_name,
                system_disk_kind=compute_pb2.InstanceDisk.KIND_CLOUD,
            ),
        )
        response = self._client.call(self._instances.ListInstances, request)
        found = [Instance(each.name.rpartition("/")[2], each.display_name) for each in response.instances]
        return InstancePage(found, response.next_page_token)

    def quotas(self, place: Place, deadline: timedelta) -> dict[str, int]:
        """The limits of a place by the quotas' ids, such as `images`."""
        request = quota_service_pb2.ListQuotasRequest(parent=place.name, page_size=100)
        response = self._client.call(self._quotas.ListQuotas, request, deadline=deadline)
        return {quota.name.rpartition("/")[2]: quota.limit for quota in response.quotas}


def _system_disk(name: str, result: instance_service_pb2.InstanceResult) -> SystemDisk | ServiceError:
    if result.WhichOneof("result") == "error":
        error = from_status(result.error)
        return InstanceNotFound(name) if isinstance(error, NotFound) else error
    for disk in result.instance.disks:
        if disk.device_name == SYSTEM_DISK:
            return SystemDisk.CLOUD if disk.kind == compute_pb2.InstanceDisk.KIND_CLOUD else SystemDisk.LOCAL
    return SystemDisk.NONE


class Logs:
    """Log topics."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._logs = client.stub(log_service_pb2_grpc.LogServiceStub)

    def missing(self, topics: Sequence[str]) -> set[str]:
        """Those of at most 500 topics that do not exist; other trouble with one is passed over."""
        if not topics:
            return set()
        request = log_service_pb2.BatchGetLogTopicsRequest(parent="accounts/-/regions/-/logSets/-", names=topics)
        results = self._client.call(self._logs.BatchGetLogTopics, request).results
        return {name for name, result in zip(topics, results, strict=True) if _is_missing(result)}

    def check_topic(self, name: str) -> None:
        """Raises LogTopicNotFound, or LogTopicUnsuitable if it is not for execution logs of such policies (P7)."""
        try:
            topic = self._client.call(self._logs.GetLogTopic, log_service_pb2.GetLogTopicRequest(name=name))
        except NotFound as error:
            raise LogTopicNotFound(name) from error
        if (topic.source, topic.product, topic.log_type) != (
            log_pb2.LogTopic.SOURCE_CLOUD_PRODUCT,
            log_pb2.LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
            log_pb2.LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
        ):
            raise LogTopicUnsuitable(name)


def _is_missing(result: log_service_pb2.LogTopicResult) -> bool:
    return result.WhichOneof("result") == "error" and isinstance(from_status(result.error), NotFound)
