"""Many instances due at one instant: the worst that a schedule can do."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from autoimage.compute.v1 import compute_pb2, instance_service_pb2, quota_service_pb2
from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.scheduler.v1 import execution_service_pb2
from servicekit.clock import write_clock
from servicekit.timestamps import from_proto, to_proto
from suite.clients import Clients
from suite.demo.world import read_world

_ACCOUNTS = 4
_PER_POLICY = 100
_PER_CALL = 500
_PATIENCE_SECONDS = 300.0
_DISKS = [
    compute_pb2.InstanceDisk(device_name="vda", kind=compute_pb2.InstanceDisk.KIND_CLOUD, size_gib=40),
    compute_pb2.InstanceDisk(device_name="vdb", kind=compute_pb2.InstanceDisk.KIND_CLOUD, size_gib=20),
]


class Burst:
    """Instances of two disks each, 100 to a policy, in four accounts, all due an hour after `start`, all logged."""

    def __init__(self, clients: Clients, clock: Path, start: datetime, instances: int) -> None:
        self._clients = clients
        self._clock = clock
        self._start = start
        self._due = start + timedelta(hours=1)
        per_account = instances // _ACCOUNTS
        self._total = per_account * _ACCOUNTS
        self._places = {f"accounts/a{number}/regions/cn-north-1": per_account for number in range(_ACCOUNTS)}

    def load(self) -> None:
        for place, count in self._places.items():
            self._quotas(place)
            self._topic(place)
            ids = [f"i-{number}" for number in range(count)]
            for chunk in _chunks(ids, _PER_CALL):
                self._instances(place, chunk)
            for number, chunk in enumerate(_chunks(ids, _PER_POLICY)):
                self._policy(place, f"p-{number}", chunk)

    def accept(self) -> None:
        """From the instant at which all are due until compute has accepted every build."""
        write_clock(self._clock, self._due)
        self._until(lambda status: status.building_tasks == self._total)

    def finish(self) -> None:
        """Steps product time on until every build has ended and every log entry is delivered."""
        now = self._due
        while (status := self._status()).running_executions:
            due = from_proto(status.next_due_time)
            if now < due < self._due + timedelta(hours=1):
                now = due
                write_clock(self._clock, now)
            time.sleep(0.02)
        self._until(lambda status: status.undelivered_log_entries == 0)

    def wrong(self) -> list[str]:
        """Read back by the public RPCs: each instance has one image, quotas say so, each log entry is there once."""
        found = []
        for place, count in self._places.items():
            world = read_world(self._clients, [place], [f"{place}/logSets/ops/logTopics/images"])
            sources = {image.source_instance for image in world.images.values()}
            entries = [entry.insert_id for its in world.entries.values() for entry in its]
            facts = {
                "images": len(world.images),
                "instances with an image": len(sources),
                "images used": world.quotas[f"{place}/quotas/images"].used,
                "snapshots used / 2": world.quotas[f"{place}/quotas/snapshots"].used / 2,
                "log entries of tasks / 2": (len(set(entries)) - 2 * len(world.executions)) / 2,
            }
            found += [f"{place}: {fact} is {value}, not {count}" for fact, value in facts.items() if value != count]
        return found

    def _status(self) -> Any:
        request = execution_service_pb2.GetSchedulerStatusRequest()
        return self._clients.executions.GetSchedulerStatus(request)

    def _until(self, done: Any) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not done(status := self._status()):
            if time.monotonic() > end:
                raise TimeoutError(f"not done after {_PATIENCE_SECONDS:.0f} s: {status}")
            time.sleep(0.05)

    def _quotas(self, place: str) -> None:
        for kind in ("images", "snapshots", "instances", "disks"):
            quota = compute_pb2.Quota(name=f"{place}/quotas/{kind}", limit=1_000_000)
            self._clients.quotas.UpdateQuota(quota_service_pb2.UpdateQuotaRequest(quota=quota))
        limit = policy_pb2.PolicyLimit(name=f"{place}/policyLimit", limit=1_000_000)
        self._clients.policies.UpdatePolicyLimit(policy_service_pb2.UpdatePolicyLimitRequest(policy_limit=limit))

    def _topic(self, place: str) -> None:
        log_set = log_pb2.LogSet(display_name="operations")
        self._clients.logs.CreateLogSet(
            log_service_pb2.CreateLogSetRequest(parent=place, log_set_id="ops", log_set=log_set)
        )
        topic = log_pb2.LogTopic(
            display_name="images",
            source=log_pb2.LogTopic.SOURCE_CLOUD_PRODUCT,
            product=log_pb2.LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
            log_type=log_pb2.LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
        )
        parent = f"{place}/logSets/ops"
        self._clients.logs.CreateLogTopic(
            log_service_pb2.CreateLogTopicRequest(parent=parent, log_topic_id="images", log_topic=topic)
        )

    def _instances(self, place: str, ids: list[str]) -> None:
        requests = [
            instance_service_pb2.CreateInstanceRequest(
                parent=place, instance_id=id, instance=compute_pb2.Instance(disks=_DISKS)
            )
            for id in ids
        ]
        batch = instance_service_pb2.BatchCreateInstancesRequest(parent=place, requests=requests)
        _all_well(self._clients.instances.BatchCreateInstances(batch).results)

    def _policy(self, place: str, policy_id: str, ids: list[str]) -> None:
        schedule = policy_pb2.Schedule(
            start_time=to_proto(self._due), interval=policy_pb2.Interval(count=1, unit=policy_pb2.Interval.UNIT_DAY)
        )
        logging = policy_pb2.Logging(log_topic=f"{place}/logSets/ops/logTopics/images")
        policy = policy_pb2.Policy(display_name=policy_id, schedule=schedule, logging=logging)
        request = policy_service_pb2.CreatePolicyRequest(parent=place, policy_id=policy_id, policy=policy)
        made = self._clients.policies.CreatePolicy(request)
        instances = [f"{place}/instances/{id}" for id in ids]
        associate = policy_service_pb2.AssociateInstancesRequest(policy=made.name, instances=instances)
        _all_well(self._clients.policies.AssociateInstances(associate).results)


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _all_well(results: Any) -> None:
    for result in results:
        if result.HasField("error"):
            raise RuntimeError(f"cannot load: {result.error}")
