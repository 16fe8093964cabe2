"""What an account has when a run begins, and the calls that make it; operations make more of the same."""

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from autoimage.compute.v1 import compute_pb2, instance_service_pb2, quota_service_pb2
from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.type.v1 import retention_pb2
from servicekit.errors import InvalidArgument, NotFound
from servicekit.timestamps import from_proto, to_proto
from tests.simulation.ledger import KnownPolicy
from tests.simulation.machines import moment
from tests.simulation.users import User

_CATCH_UPS = (policy_pb2.Schedule.CATCH_UP_LATEST,) * 4 + (policy_pb2.Schedule.CATCH_UP_NONE,)
_SPREADS = (None,) * 6 + (Duration(seconds=1200),)
INTERVALS = (
    (policy_pb2.Interval.UNIT_HOUR, 12, timedelta(hours=12)),
    (policy_pb2.Interval.UNIT_DAY, 1, timedelta(days=1)),
    (policy_pb2.Interval.UNIT_DAY, 1, timedelta(days=1)),
    (policy_pb2.Interval.UNIT_DAY, 2, timedelta(days=2)),
)


def set_up(user: User, instances: int, policies: int, slots: Sequence[int]) -> None:
    """Instances, room for images, a log topic, and policies with instances."""
    for kind, limit in (("images", 200), ("snapshots", 400), ("instances", 60), ("disks", 200)):
        set_limit(user, kind, limit)
    requests = [new_instance(user, f"i-{number}") for number in range(instances)]
    request = instance_service_pb2.BatchCreateInstancesRequest(parent=user.place, requests=requests)
    for result in user.call(user.instances.BatchCreateInstances, request).results:
        user.ledger.instances.add(result.instance.name)
    _make_topic(user)
    names = user.own_instances()
    for number in range(policies):
        policy = make_policy(user, f"p-{number}", user.draw.choice(slots))
        mine = names[number::policies]
        if policy is not None and mine:
            link(user, policy, mine)


def new_instance(user: User, instance_id: str) -> instance_service_pb2.CreateInstanceRequest:
    cloud, local = compute_pb2.InstanceDisk.KIND_CLOUD, compute_pb2.InstanceDisk.KIND_LOCAL
    disks = [compute_pb2.InstanceDisk(device_name="vda", kind=cloud, size_gib=40)]
    for device, kind in (("vdb", cloud), ("vdc", local)):
        if user.draw.random() < 0.3:
            disks.append(compute_pb2.InstanceDisk(device_name=device, kind=kind, size_gib=20))
    return instance_service_pb2.CreateInstanceRequest(
        parent=user.place,
        instance_id=instance_id,
        instance=compute_pb2.Instance(disks=disks),
        request_id=user.uuid(),
    )


def _make_topic(user: User) -> None:
    log_set = log_service_pb2.CreateLogSetRequest(
        parent=user.place, log_set_id="backups", log_set=log_pb2.LogSet(display_name="backups")
    )
    user.call(user.logs.CreateLogSet, log_set)
    topic = log_service_pb2.CreateLogTopicRequest(
        parent=f"{user.place}/logSets/backups",
        log_topic_id="executions",
        log_topic=log_pb2.LogTopic(
            display_name="executions",
            source=log_pb2.LogTopic.SOURCE_CLOUD_PRODUCT,
            product=log_pb2.LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
            log_type=log_pb2.LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
        ),
    )
    user.call(user.logs.CreateLogTopic, topic)


def make_policy(user: User, policy_id: str, start: int) -> KnownPolicy | None:
    """None if the start time is refused: the service's clock may be another."""
    name = f"{user.place}/policies/{policy_id}"
    unit, count, length = user.draw.choice(INTERVALS)
    logged = user.draw.random() < 0.7
    retention = a_retention(user)
    request = policy_service_pb2.CreatePolicyRequest(
        parent=user.place,
        policy_id=policy_id,
        policy=policy_pb2.Policy(
            display_name="simulated",
            schedule=policy_pb2.Schedule(
                start_time=to_proto(moment(start)),
                interval=policy_pb2.Interval(count=count, unit=unit),
                catch_up=user.draw.choice(_CATCH_UPS),
                spread=user.draw.choice(_SPREADS),
            ),
            retention=retention,
            logging=policy_pb2.Logging(log_topic=user.topic) if logged else None,
            state=policy_pb2.Policy.STATE_DISABLED if user.draw.random() < 0.1 else policy_pb2.Policy.STATE_ENABLED,
        ),
        request_id=user.uuid(),
    )
    with user.alone_with([name]):
        sent = user.now
        try:
            made = user.call(user.policies.CreatePolicy, request)
        except InvalidArgument:
            user.tell(f"is refused {policy_id}: its start time is out of range")
            return None
        known = KnownPolicy(name, made.uid, length // timedelta(microseconds=1), retention.may_delete_newest)
        if made.HasField("next_execution_time"):
            known.open(from_proto(made.next_execution_time), sent, moment(start))
        user.ledger.known.policies[made.uid] = known
        return known


def a_retention(user: User) -> retention_pb2.Retention:
    """Mostly for ever; a newest image that may go is rare, since little can be said of it then."""
    keep_last = user.draw.choice([0, 0, 1, 1, 2])
    keep_days = user.draw.choice([0, 0, 0, 1])
    newest = bool(keep_last or keep_days) and user.draw.random() < 0.1
    return retention_pb2.Retention(keep_last=keep_last, keep_days=keep_days, may_delete_newest=newest)


def link(user: User, policy: KnownPolicy, instances: Sequence[str]) -> None:
    request = policy_service_pb2.AssociateInstancesRequest(
        policy=policy.name, instances=instances, request_id=user.uuid()
    )
    with user.alone_with([policy.name, *instances]):
        try:
            response = user.call(user.policies.AssociateInstances, request)
        except NotFound:
            return
        for result in response.results:
            linked = user.ledger.known.associations
            if result.HasField("error"):
                continue
            before = linked.get(result.instance)
            if before is not None and before[1] != result.association.uid:
                user.ledger.say_farewell([result.instance], user.now, "a move")
            linked[result.instance] = (policy.uid, result.association.uid)


def set_limit(user: User, kind: str, limit: int) -> None:
    quota = compute_pb2.Quota(name=f"{user.place}/quotas/{kind}", limit=limit)
    with user.alone_with([quota.name]):
        answer = user.call(user.quotas.UpdateQuota, quota_service_pb2.UpdateQuotaRequest(quota=quota))
        user.ledger.used_when_set[user.place, kind] = answer.used
