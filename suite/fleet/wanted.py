"""What a fleet file wants, as messages of the contracts, and how what is there differs from it."""

import functools
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from autoimage.compute.v1 import compute_pb2
from autoimage.log.v1 import log_pb2
from autoimage.policy.v1 import policy_pb2
from servicekit.timestamps import to_proto
from suite.fleet.model import SYSTEM_DISK, Instance, LogSet, Place, Policy, Topic

DEFAULT_QUOTAS = {"images": 5, "snapshots": 15, "instances": 20, "disks": 40}
"""What an account may have in a region unless someone decided otherwise, as the contract says."""


def log_set(log_set: LogSet) -> log_pb2.LogSet:
    return log_pb2.LogSet(display_name=log_set.display_name, retention_days=log_set.retention_days)


def topic(topic: Topic) -> log_pb2.LogTopic:
    """A topic that takes the execution logs of policies."""
    return log_pb2.LogTopic(
        display_name=topic.display_name,
        source=log_pb2.LogTopic.SOURCE_CLOUD_PRODUCT,
        product=log_pb2.LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
        log_type=log_pb2.LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
    )


def instance(instance: Instance) -> compute_pb2.Instance:
    cloud, local = compute_pb2.InstanceDisk.KIND_CLOUD, compute_pb2.InstanceDisk.KIND_LOCAL
    return compute_pb2.Instance(
        display_name=instance.display_name,
        state=compute_pb2.Instance.STATE_RUNNING if instance.is_running else compute_pb2.Instance.STATE_STOPPED,
        disks=[
            compute_pb2.InstanceDisk(device_name=device, kind=cloud if disk.is_cloud else local, size_gib=disk.size_gib)
            for device, disk in instance.disks.items()
        ],
    )


def policy(policy: Policy, place: Place, start_time: datetime) -> policy_pb2.Policy:
    message = policy_pb2.Policy(
        display_name=policy.display_name,
        description=policy.description,
        state=policy_pb2.Policy.STATE_ENABLED if policy.is_enabled else policy_pb2.Policy.STATE_DISABLED,
        schedule=policy_pb2.Schedule(
            start_time=to_proto(start_time),
            interval=policy_pb2.Interval(
                count=policy.interval.count, unit=policy_pb2.Interval.Unit.Value(f"UNIT_{policy.interval.unit}")
            ),
            time_zone=policy.time_zone,
            execution_limit=policy.execution_limit,
            catch_up=policy_pb2.Schedule.CatchUp.Value(f"CATCH_UP_{policy.catch_up}"),
        ),
        disks=policy_pb2.DiskSelection(all=not policy.devices, devices=policy.devices),
    )
    if policy.spread:
        message.schedule.spread.FromTimedelta(policy.spread)
    if policy.keep_days or policy.keep_last:
        message.retention.keep_days = policy.keep_days
        message.retention.keep_last = policy.keep_last
    if policy.log is not None:
        message.logging.log_topic = "{}/logSets/{}/logTopics/{}".format(place.name, *policy.log)
    return message


def differences(wanted: Message, there: Message) -> list[str]:
    """The keys of a fleet file under which the two say different things; times of start aside."""
    own, other = _facts(wanted), _facts(there)
    return [key for key in own if own[key] != other[key]]


@functools.singledispatch
def _facts(message: Any) -> dict[str, object]:
    """What a fleet file can say of such a thing, by the key that says it."""
    raise TypeError(type(message))


@_facts.register
def _(message: log_pb2.LogSet) -> dict[str, object]:
    return {"display_name": message.display_name, "retention_days": message.retention_days}


@_facts.register
def _(message: log_pb2.LogTopic) -> dict[str, object]:
    kind = (message.source, message.product, message.log_type)
    return {"display_name": message.display_name, "kind of log": kind}


@_facts.register
def _(message: compute_pb2.Instance) -> dict[str, object]:
    disks = {disk.device_name: (disk.kind, disk.size_gib) for disk in message.disks}
    return {"display_name": message.display_name, "state": message.state, "disks": disks}


@_facts.register
def _(message: policy_pb2.Policy) -> dict[str, object]:
    schedule, retention = message.schedule, message.retention
    return {
        "display_name": message.display_name,
        "description": message.description,
        "every": (schedule.interval.count, schedule.interval.unit),
        "zone": schedule.time_zone,
        "disks": {SYSTEM_DISK, *message.disks.devices} if message.disks.devices else "all",
        "state": message.state,
        "log": message.logging.log_topic,
        "keep_days": retention.keep_days,
        "keep_last": retention.keep_last,
        "limit": schedule.execution_limit,
        "catch_up": schedule.catch_up,
        "spread": schedule.spread.ToTimedelta(),
    }
