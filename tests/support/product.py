"""The product as a user meets it: a running suite on stepped time, one account, and verbs for what the user does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autoimage.compute.v1 import compute_pb2, image_service_pb2, instance_service_pb2, quota_service_pb2
from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.scheduler.v1 import execution_service_pb2
from servicekit.clock import write_clock
from servicekit.timestamps import to_proto
from suite.clients import Clients
from suite.demo.driver import Driver
from suite.demo.model import Model
from tests.support.suite import clients as suite_clients
from tests.support.suite import running_suite

START = datetime(2030, 1, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
NORTH, SOUTH = "cn-north-1", "cn-south-1"


class Product:
    """What a user of one account can do. Scenarios that share a suite take accounts of their own."""

    def __init__(self, clients: Clients, clock: Path, account: str) -> None:
        self.clients = clients
        self.account = account
        self._clock = clock
        self.now = datetime.fromisoformat(clock.read_text("ascii").strip())

    def place(self, region: str = NORTH) -> str:
        return f"accounts/{self.account}/regions/{region}"

    def instance(self, id: str, *disks: str, region: str = NORTH, name: str = "") -> str:
        """Makes an instance with disks such as `cloud` and `local`, the system disk first. Its name."""
        kinds = {"cloud": compute_pb2.InstanceDisk.KIND_CLOUD, "local": compute_pb2.InstanceDisk.KIND_LOCAL}
        request = instance_service_pb2.CreateInstanceRequest(
            parent=self.place(region),
            instance_id=id,
            instance=compute_pb2.Instance(
                display_name=name,
                disks=[
                    compute_pb2.InstanceDisk(device_name=f"vd{'abcdefgh'[number]}", kind=kinds[kind], size_gib=40)
                    for number, kind in enumerate(disks or ("cloud",))
                ],
            ),
        )
        return str(self.clients.instances.CreateInstance(request).name)

    def policy(self, id: str = "", *, region: str = NORTH, **fields: Any) -> policy_pb2.Policy:
        """Creates a policy that starts in an hour and runs every day, but for what `fields` say."""
        schedule = policy_pb2.Schedule(
            start_time=to_proto(self.now + timedelta(hours=1)),
            interval=policy_pb2.Interval(count=1, unit=policy_pb2.Interval.UNIT_DAY),
        )
        defaults: dict[str, Any] = {"display_name": "nightly", "schedule": schedule}
        policy = policy_pb2.Policy(**defaults | fields)
        request = policy_service_pb2.CreatePolicyRequest(parent=self.place(region), policy_id=id, policy=policy)
        made: policy_pb2.Policy = self.clients.policies.CreatePolicy(request)
        return made

    def twice_a_day(self, *instances: str, **fields: Any) -> str:
        """Makes these instances, room for many, and a policy of them: in an hour, and every twelve. Its name."""
        for kind in ("images", "snapshots", "instances", "disks"):
            self.quota(kind, 1000)
        interval = policy_pb2.Interval(count=12, unit=policy_pb2.Interval.UNIT_HOUR)
        schedule = policy_pb2.Schedule(start_time=to_proto(self.now + HOUR), interval=interval)
        policy = self.policy("twice-a-day", schedule=schedule, **fields).name
        self.associate(policy, *(self.instance(id) for id in instances))
        return policy

    def get(self, policy: str) -> policy_pb2.Policy:
        found: policy_pb2.Policy = self.clients.policies.GetPolicy(policy_service_pb2.GetPolicyRequest(name=policy))
        return found

    def update(self, policy: str, **fields: Any) -> policy_pb2.Policy:
        """Changes what the fields say."""
        request = policy_service_pb2.UpdatePolicyRequest(policy=policy_pb2.Policy(name=policy, **fields))
        updated: policy_pb2.Policy = self.clients.policies.UpdatePolicy(request)
        return updated

    def associate(self, policy: str, *instances: str) -> list[Any]:
        request = policy_service_pb2.AssociateInstancesRequest(policy=policy, instances=instances)
        return list(self.clients.policies.AssociateInstances(request).results)

    def disassociate(self, policy: str, *instances: str) -> list[Any]:
        request = policy_service_pb2.DisassociateInstancesRequest(policy=policy, instances=instances)
        return list(self.clients.policies.DisassociateInstances(request).results)

    def associated(self, policy: str) -> list[str]:
        request = policy_service_pb2.ListAssociationsRequest(parent=policy, page_size=100)
        return [link.instance for link in self.clients.policies.ListAssociations(request).associations]

    def pickable(self, **filter: str) -> list[tuple[str, str]]:
        """The machines that can be associated, by name, each with the policy that it has now."""
        request = policy_service_pb2.ListAssociableInstancesRequest(
            parent=self.place(), filter=policy_service_pb2.AssociableInstanceFilter(**filter)
        )
        response = self.clients.policies.ListAssociableInstances(request)
        return [(found.instance, found.policy) for found in response.associable_instances]

    def topic(self, *, region: str = NORTH, log_set: str = "ops", topic: str = "images", **fields: Any) -> str:
        """Makes a log set, and in it a topic of the kind that takes execution logs, but for what `fields` say."""
        place = self.place(region)
        kind: dict[str, Any] = {
            "source": log_pb2.LogTopic.SOURCE_CLOUD_PRODUCT,
            "product": log_pb2.LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
            "log_type": log_pb2.LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
        }
        made = self.clients.logs.CreateLogSet(
            log_service_pb2.CreateLogSetRequest(
                parent=place, log_set_id=log_set, log_set=log_pb2.LogSet(display_name=log_set)
            )
        )
        request = log_service_pb2.CreateLogTopicRequest(
            parent=made.name, log_topic_id=topic, log_topic=log_pb2.LogTopic(display_name=topic, **kind | fields)
        )
        return str(self.clients.logs.CreateLogTopic(request).name)

    def entries(self, topic: str) -> list[log_pb2.LogEntry]:
        request = log_service_pb2.ListLogEntriesRequest(parent=topic, page_size=100)
        return list(self.clients.logs.ListLogEntries(request).entries)

    def images(self, region: str = NORTH) -> list[compute_pb2.Image]:
        request = image_service_pb2.ListImagesRequest(parent=self.place(region), page_size=100)
        return list(self.clients.images.ListImages(request).images)

    def executions(self, policy: str) -> list[Any]:
        """Newest first."""
        request = execution_service_pb2.ListExecutionsRequest(parent=policy, page_size=100)
        return list(self.clients.executions.ListExecutions(request).executions)

    def tasks(self, execution: str) -> list[Any]:
        request = execution_service_pb2.ListImageTasksRequest(parent=execution, page_size=100)
        return list(self.clients.executions.ListImageTasks(request).image_tasks)

    def quota(self, kind: str, limit: int | None = None, region: str = NORTH) -> compute_pb2.Quota:
        """The quota, after its limit was set if one is given."""
        name = f"{self.place(region)}/quotas/{kind}"
        if limit is not None:
            quota = compute_pb2.Quota(name=name, limit=limit)
            self.clients.quotas.UpdateQuota(quota_service_pb2.UpdateQuotaRequest(quota=quota))
        found: compute_pb2.Quota = self.clients.quotas.GetQuota(quota_service_pb2.GetQuotaRequest(name=name))
        return found

    def go_to(self, moment: datetime) -> None:
        """Steps product time there and waits until the suite has done all that is due at that moment."""
        self.now = moment
        write_clock(self._clock, moment)
        self._driver().rest()

    def live_to(self, *moments: datetime) -> None:
        """Goes to these moments, one after the other, and finishes the builds of each."""
        for moment in moments:
            self.go_to(moment)
            self.finish_builds()

    def finish_builds(self) -> None:
        """Steps on until nothing is being built."""
        driver = self._driver()
        driver.drain()
        self.now = driver.now

    def _driver(self) -> Driver:
        return Driver(self.clients, self._clock, Model({}, {}), [], now=self.now, look=lambda _: None)


@contextmanager
def running_product(folder: Path, addresses: Mapping[str, str] | None = None) -> Iterator[tuple[Clients, Path]]:
    """A suite on stepped time for several scenarios, from where it was stopped if it was: its clients and its clock."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    if not clock.exists():
        write_clock(clock, START)
    with running_suite(folder, "--clock", "stepped", addresses=addresses) as suite, suite_clients(suite) as clients:
        yield clients, clock


def ids(names: Sequence[str]) -> list[str]:
    """The last segments of names."""
    return [name.rpartition("/")[2] for name in names]
