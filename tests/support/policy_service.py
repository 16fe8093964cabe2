"""A real policy service in this process, beside fakes of the services that it asks."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.compute.v1 import instance_service_pb2_grpc, quota_service_pb2_grpc
from autoimage.compute.v1.compute_pb2 import Instance, InstanceDisk, Quota
from autoimage.compute.v1.instance_service_pb2 import (
    BatchGetInstancesRequest,
    BatchGetInstancesResponse,
    InstanceResult,
    ListInstancesRequest,
    ListInstancesResponse,
)
from autoimage.compute.v1.quota_service_pb2 import ListQuotasRequest, ListQuotasResponse
from autoimage.log.v1 import log_service_pb2_grpc
from autoimage.log.v1.log_pb2 import LogTopic
from autoimage.log.v1.log_service_pb2 import (
    BatchGetLogTopicsRequest,
    BatchGetLogTopicsResponse,
    GetLogTopicRequest,
    LogTopicResult,
)
from autoimage.policy.v1.policy_pb2 import Association, Interval, Policy, PolicyLimit, Schedule
from autoimage.policy.v1.policy_service_pb2 import (
    AssociateInstanceResult,
    AssociateInstancesRequest,
    CreatePolicyRequest,
    DeletePolicyRequest,
    DisablePolicyRequest,
    DisassociateInstanceResult,
    DisassociateInstancesRequest,
    EnablePolicyRequest,
    ExecutePolicyRequest,
    ExecutePolicyResponse,
    GetPolicyLimitRequest,
    GetPolicyRequest,
    ListAssociationsRequest,
    ListScheduleEventsRequest,
    ListScheduleEventsResponse,
    PreviewedTime,
    PreviewScheduleRequest,
    ReplicatePolicyRequest,
    ReplicationResult,
    ReplicationTarget,
    UpdatePolicyLimitRequest,
    UpdatePolicyRequest,
)
from autoimage.policy.v1.policy_service_pb2_grpc import PolicyServiceStub
from autoimage.policy.v1.trigger_service_pb2 import (
    AckTriggersRequest,
    LeaseTriggersRequest,
    LeaseTriggersResponse,
    Trigger,
)
from autoimage.policy.v1.trigger_service_pb2_grpc import TriggerServiceStub
from policy_service.clients import Compute, Logs
from policy_service.dependencies import Dependencies
from policy_service.domain.ledger import Event, LedgerEntry, LedgerFilter
from policy_service.domain.policy import Place
from policy_service.domain.triggers import Kind
from policy_service.main import registrations
from policy_service.store import ledger
from servicekit.client import Client
from servicekit.clock import Clocks
from servicekit.clock_guard import Guard, NoGuard
from servicekit.database import Database
from servicekit.errors import NotFound, ServiceError
from servicekit.ids import Ids
from servicekit.paging import Page
from servicekit.rpc import refuse
from servicekit.status import to_status
from servicekit.timestamps import to_proto
from tests.support import START, ManualClocks, clocks, database, running_server

PLACE = "accounts/acme/regions/cn-north-1"
POLICY = f"{PLACE}/policies/nightly"
LIMIT = f"{PLACE}/policyLimit"
TOPIC = f"{PLACE}/logSets/backups/logTopics/executions"
REGIONS = frozenset({"cn-north-1", "cn-south-1", "cn-east-2"})
FIRST = START + timedelta(hours=1)
"""The first point of a policy that a test creates without saying when."""
LEASE = timedelta(seconds=30)

CLOUD = InstanceDisk.KIND_CLOUD
LOCAL = InstanceDisk.KIND_LOCAL


def instance_name(instance_id: str, place: str = PLACE) -> str:
    return f"{place}/instances/{instance_id}"


@dataclass
class FakeCompute(instance_service_pb2_grpc.InstanceServiceServicer, quota_service_pb2_grpc.QuotaServiceServicer):
    """Compute with the instances, quotas and errors that a test wishes for."""

    instances: dict[str, Instance] = field(default_factory=dict)
    item_errors: dict[str, ServiceError] = field(default_factory=dict)
    error: ServiceError | None = None
    requests: list[BatchGetInstancesRequest] = field(default_factory=list)
    list_requests: list[ListInstancesRequest] = field(default_factory=list)
    quotas: dict[str, int] = field(default_factory=lambda: {"images": 5, "snapshots": 15})
    quota_requests: list[ListQuotasRequest] = field(default_factory=list)

    def add(self, *names: str, system_disk: InstanceDisk.Kind.ValueType | None = CLOUD) -> None:
        """With a data disk each, of the other kind, that must not be taken for the system disk."""
        for name in names:
            disks = [InstanceDisk(device_name="vdb", kind=LOCAL if system_disk == CLOUD else CLOUD)]
            if system_disk is not None:
                disks.append(InstanceDisk(device_name="vda", kind=system_disk))
            self.instances[name] = Instance(name=name, disks=disks)

    def BatchGetInstances(
        self, request: BatchGetInstancesRequest, context: grpc.ServicerContext
    ) -> BatchGetInstancesResponse:
        self.requests.append(request)
        if self.error is not None:
            refuse(context, self.error)
        return BatchGetInstancesResponse(results=[self._result(name) for name in request.names])

    def ListInstances(self, request: ListInstancesRequest, context: grpc.ServicerContext) -> ListInstancesResponse:
        """All that are there, whatever the filter: that it was asked for is what a test can see. Pages go by number."""
        self.list_requests.append(request)
        if self.error is not None:
            refuse(context, self.error)
        first = int(request.page_token or 0)
        after = first + request.page_size
        found = [each for _, each in sorted(self.instances.items()) if each.name.startswith(f"{request.parent}/")]
        return ListInstancesResponse(
            instances=found[first:after], next_page_token=str(after) if after < len(found) else ""
        )

    def ListQuotas(self, request: ListQuotasRequest, context: grpc.ServicerContext) -> ListQuotasResponse:
        self.quota_requests.append(request)
        if self.error is not None:
            refuse(context, self.error)
        quotas = [Quota(name=f"{request.parent}/quotas/{kind}", limit=limit) for kind, limit in self.quotas.items()]
        return ListQuotasResponse(quotas=quotas)

    def _result(self, name: str) -> InstanceResult:
        error = self.item_errors.get(name)
        if error is None and name in self.instances:
            return InstanceResult(instance=self.instances[name])
        return InstanceResult(error=to_status(error or NotFound("instance", name)))


@dataclass
class FakeLogs(log_service_pb2_grpc.LogServiceServicer):
    """A log service with the topics and errors that a test wishes for."""

    topics: dict[str, LogTopic] = field(default_factory=dict)
    item_errors: dict[str, ServiceError] = field(default_factory=dict)
    error: ServiceError | None = None
    requests: list[BatchGetLogTopicsRequest] = field(default_factory=list)

    def add(
        self,
        name: str = TOPIC,
        source: LogTopic.Source.ValueType = LogTopic.SOURCE_CLOUD_PRODUCT,
        product: LogTopic.Product.ValueType = LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
        log_type: LogTopic.LogType.ValueType = LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
    ) -> None:
        """A topic that suits policies unless told otherwise."""
        self.topics[name] = LogTopic(name=name, source=source, product=product, log_type=log_type)

    def GetLogTopic(self, request: GetLogTopicRequest, context: grpc.ServicerContext) -> LogTopic:
        if self.error is not None:
            refuse(context, self.error)
        if request.name not in self.topics:
            refuse(context, NotFound("log topic", request.name))
        return self.topics[request.name]

    def BatchGetLogTopics(
        self, request: BatchGetLogTopicsRequest, context: grpc.ServicerContext
    ) -> BatchGetLogTopicsResponse:
        self.requests.append(request)
        if self.error is not None:
            refuse(context, self.error)
        return BatchGetLogTopicsResponse(results=[self._result(name) for name in request.names])

    def _result(self, name: str) -> LogTopicResult:
        error = self.item_errors.get(name)
        if error is None and name in self.topics:
            return LogTopicResult(log_topic=self.topics[name])
        return LogTopicResult(error=to_status(error or NotFound("log topic", name)))


@dataclass(frozen=True)
class PolicyService:
    """The service's stubs, what it runs on, and its neighbours."""

    policies: PolicyServiceStub
    triggers: TriggerServiceStub
    deps: Dependencies
    time: ManualClocks
    compute: FakeCompute
    logs: FakeLogs

    def create(self, policy_id: str = "nightly", parent: str = PLACE, **fields: object) -> Policy:
        return self.policies.CreatePolicy(
            CreatePolicyRequest(parent=parent, policy_id=policy_id, policy=policy(**fields))
        )

    def get(self, policy_id: str = "nightly", place: str = PLACE) -> Policy:
        return self.policies.GetPolicy(GetPolicyRequest(name=policy_name(policy_id, place)))

    def update(self, *paths: str, policy_id: str = "nightly", etag: str = "", **fields: object) -> Policy:
        """Changes these paths to what the fields say; without paths, the fields."""
        changed = Policy(name=policy_name(policy_id), etag=etag, **fields)  # type: ignore[arg-type]
        return self.policies.UpdatePolicy(UpdatePolicyRequest(policy=changed, update_mask=FieldMask(paths=paths)))

    def preview(self, policy_id: str = "", count: int = 0, schedule: Schedule | None = None) -> list[PreviewedTime]:
        name = policy_name(policy_id) if policy_id else ""
        request = PreviewScheduleRequest(parent=PLACE, policy=name, count=count, schedule=schedule)
        return list(self.policies.PreviewSchedule(request).times)

    def enable(self, policy_id: str = "nightly", etag: str = "") -> Policy:
        return self.policies.EnablePolicy(EnablePolicyRequest(name=policy_name(policy_id), etag=etag))

    def disable(self, policy_id: str = "nightly", etag: str = "") -> Policy:
        return self.policies.DisablePolicy(DisablePolicyRequest(name=policy_name(policy_id), etag=etag))

    def delete(self, policy_id: str = "nightly", etag: str = "") -> None:
        self.policies.DeletePolicy(DeletePolicyRequest(name=policy_name(policy_id), etag=etag))

    def execute(self, policy_id: str = "nightly", request_id: str = "") -> ExecutePolicyResponse:
        return self.policies.ExecutePolicy(ExecutePolicyRequest(name=policy_name(policy_id), request_id=request_id))

    def replicate(self, *targets: ReplicationTarget, request_id: str = "") -> list[ReplicationResult]:
        request = ReplicatePolicyRequest(name=POLICY, targets=targets, request_id=request_id)
        return list(self.policies.ReplicatePolicy(request).results)

    def limit(self) -> tuple[int, int]:
        """How many policies there may be, and how many there are."""
        found = self.policies.GetPolicyLimit(GetPolicyLimitRequest(name=LIMIT))
        return found.limit, found.used

    def set_limit(self, limit: int) -> PolicyLimit:
        request = UpdatePolicyLimitRequest(policy_limit=PolicyLimit(name=LIMIT, limit=limit))
        return self.policies.UpdatePolicyLimit(request)

    def associate(
        self, *instances: str, policy_id: str = "nightly", request_id: str = ""
    ) -> list[AssociateInstanceResult]:
        """By full names."""
        request = AssociateInstancesRequest(policy=policy_name(policy_id), instances=instances, request_id=request_id)
        return list(self.policies.AssociateInstances(request).results)

    def disassociate(self, *instances: str, policy_id: str = "nightly") -> list[DisassociateInstanceResult]:
        """By full names."""
        request = DisassociateInstancesRequest(policy=policy_name(policy_id), instances=instances)
        return list(self.policies.DisassociateInstances(request).results)

    def link(self, *instance_ids: str, policy_id: str = "nightly") -> list[Association]:
        """Instances that compute has, too."""
        names = [instance_name(instance_id) for instance_id in instance_ids]
        self.compute.add(*names)
        return [result.association for result in self.associate(*names, policy_id=policy_id)]

    def linked(self, policy_id: str = "nightly") -> list[str]:
        """The ids of the policy's instances, which are 100 at most; their number agrees with the policy's."""
        request = ListAssociationsRequest(parent=policy_name(policy_id), page_size=100)
        found = [each.instance.rpartition("/")[2] for each in self.policies.ListAssociations(request).associations]
        assert self.get(policy_id).instance_count == len(found)
        return found

    def lease(self, max_instances: int = 0) -> LeaseTriggersResponse:
        return self.triggers.LeaseTriggers(LeaseTriggersRequest(scheduler="test", max_instances=max_instances))

    def ack(self, *triggers: Trigger) -> None:
        self.triggers.AckTriggers(AckTriggersRequest(trigger_uids=[trigger.uid for trigger in triggers]))

    def ledger(self, policy_uid: str) -> list[LedgerEntry]:
        """What was triggered and missed of a policy in PLACE, oldest first."""
        place, filter = Place("acme", "cn-north-1"), LedgerFilter(events=tuple(map(Event, Kind)))
        with self.deps.database.read() as connection:
            lines = ledger.page(connection, place, None, filter, Page(1000, None))
        return [line for _, line in lines if line.policy_uid == policy_uid]

    def events(self, parent: str = POLICY, **fields: Any) -> ListScheduleEventsResponse:
        return self.policies.ListScheduleEvents(ListScheduleEventsRequest(parent=parent, **fields))


def policy_name(policy_id: str, place: str = PLACE) -> str:
    return f"{place}/policies/{policy_id}"


def policy(**fields: object) -> Policy:
    """A policy that triggers first in an hour, then daily."""
    defaults = {"display_name": "nightly", "schedule": schedule()}
    return Policy(**{**defaults, **fields})  # type: ignore[arg-type]


def schedule(
    start: timedelta | datetime = FIRST - START,
    count: int = 1,
    unit: Interval.Unit.ValueType = Interval.UNIT_DAY,
    **fields: Any,
) -> Schedule:
    """One that starts then, or so long after START."""
    start_time = START + start if isinstance(start, timedelta) else start
    return Schedule(start_time=to_proto(start_time), interval=Interval(count=count, unit=unit), **fields)


FULL_SCHEDULE = schedule(
    count=2,
    unit=Interval.UNIT_WEEK,
    time_zone="Asia/Shanghai",
    execution_limit=7,
    catch_up=Schedule.CATCH_UP_NONE,
    catch_up_window=Duration(seconds=3600),
    spread=Duration(seconds=60),
)
"""One that says all that a schedule can say."""


@contextmanager
def running_policy_service(
    folder: Path, *, admit: Callable[[str], None] | None = None, guard: Guard | None = None
) -> Iterator[PolicyService]:
    """With its database in the folder, a new one or that of before, and clocks that stand still at START."""
    compute, logs = FakeCompute(), FakeLogs()  # type: ignore[abstract]  # what they lack is not called
    time = clocks()
    with peers(compute, logs) as client, closing_database(folder) as own:
        deps = replace(dependencies(own, time, client), guard=guard or NoGuard())
        with running_server(*registrations(deps, REGIONS, admit)) as channel:
            yield PolicyService(PolicyServiceStub(channel), TriggerServiceStub(channel), deps, time, compute, logs)


def dependencies(own: Database, time: Clocks, client: Client) -> Dependencies:
    """What commands need, with the same randomness every time; `client` reaches both neighbours."""
    return Dependencies(
        database=own,
        clocks=time,
        ids=Ids(random.Random(7)),
        compute=Compute(client),
        logs=Logs(client),
        trigger_lease=LEASE,
        sweep_interval=timedelta(days=1),
        warning_deadline=timedelta(seconds=10),
    )


@contextmanager
def closing_database(folder: Path) -> Iterator[Database]:
    """The database in the folder; an empty one if there is none."""
    path = folder / "policy_service.db"
    own = Database(f"sqlite:///{path}") if path.exists() else database(folder, "policy_service")
    try:
        yield own
    finally:
        own.dispose()


@contextmanager
def peers(compute: FakeCompute, logs: FakeLogs) -> Iterator[Client]:
    """A client of both."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        instance_service_pb2_grpc.add_InstanceServiceServicer_to_server(compute, server)
        quota_service_pb2_grpc.add_QuotaServiceServicer_to_server(compute, server)
        log_service_pb2_grpc.add_LogServiceServicer_to_server(logs, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        client = Client(f"127.0.0.1:{port}")
        try:
            yield client
        finally:
            client.close()
            server.stop(None).wait()
