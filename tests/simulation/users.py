"""What users do. Each operation is a function; it draws what it is about from what its account has at that moment.

A user repeats a call until somebody answers, with the same request id, and writes down what the answer was.
"""

import random
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.compute.v1 import compute_pb2, image_service_pb2, instance_service_pb2, quota_service_pb2
from autoimage.compute.v1.image_service_pb2_grpc import ImageServiceStub
from autoimage.compute.v1.instance_service_pb2_grpc import InstanceServiceStub
from autoimage.compute.v1.quota_service_pb2_grpc import QuotaServiceStub
from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.log.v1.log_service_pb2_grpc import LogServiceStub
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.policy.v1.policy_service_pb2_grpc import PolicyServiceStub
from autoimage.scheduler.v1 import execution_pb2, execution_service_pb2
from autoimage.scheduler.v1.execution_service_pb2_grpc import ExecutionServiceStub
from autoimage.type.v1 import retention_pb2
from servicekit.errors import AlreadyExists, InvalidArgument, NotFound, ServiceError, Unavailable
from servicekit.timestamps import from_proto, to_proto
from tests.simulation.kernel import MINUTE, SECOND, Kernel, Owner
from tests.simulation.ledger import KnownPolicy, Ledger
from tests.simulation.machines import moment
from tests.simulation.network import SimulatedClient
from tests.simulation.world import NORTH, SOUTH, World

_PATIENCE = (SECOND, 4 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE)
_RETRY_BUSY = 3 * SECOND
_MINUTE = timedelta(minutes=1)
_CATCH_UPS = (policy_pb2.Schedule.CATCH_UP_LATEST,) * 4 + (policy_pb2.Schedule.CATCH_UP_NONE,)
_SPREADS = (None,) * 6 + (Duration(seconds=1200),)
INTERVALS = (
    (policy_pb2.Interval.UNIT_HOUR, 12, timedelta(hours=12)),
    (policy_pb2.Interval.UNIT_DAY, 1, timedelta(days=1)),
    (policy_pb2.Interval.UNIT_DAY, 1, timedelta(days=1)),
    (policy_pb2.Interval.UNIT_DAY, 2, timedelta(days=2)),
)


class User(Owner):
    """Somebody of an account, in one region."""

    def __init__(self, world: World, ledger: Ledger, account: str, draw: random.Random) -> None:
        super().__init__()
        self.account = account
        self.place = f"accounts/{account}/regions/{NORTH}"
        self.draw = draw
        self.world = world
        self.ledger = ledger
        self._client = SimulatedClient(world.network, account)
        self.stub = self._client.stub
        self.policies = self._client.stub(PolicyServiceStub)
        self.instances = self._client.stub(InstanceServiceStub)
        self.images = self._client.stub(ImageServiceStub)
        self.quotas = self._client.stub(QuotaServiceStub)
        self.logs = self._client.stub(LogServiceStub)
        self.executions = self._client.stub(ExecutionServiceStub)

    @property
    def kernel(self) -> Kernel:
        return self.world.kernel

    @property
    def now(self) -> int:
        return self.world.kernel.now

    @property
    def topic(self) -> str:
        return f"{self.place}/logSets/backups/logTopics/executions"

    def tell(self, what: str) -> None:
        self.world.story.tell(self.account, what)

    def call(self, method: Any, request: Any) -> Any:
        """The answer, however long it takes to get one; raises what the service refuses with."""
        tries = 0
        while True:
            try:
                return self._client.call(method, request)
            except Unavailable:
                self.kernel.sleep(_PATIENCE[min(tries, len(_PATIENCE) - 1)])
                tries += 1

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.draw.getrandbits(128), version=4))

    @contextmanager
    def alone_with(self, names: Collection[str]) -> Iterator[None]:
        """Nobody else changes these meanwhile: else nobody could say what the last change was."""
        while self.ledger.busy & set(names):
            self.kernel.sleep(_RETRY_BUSY)
        self.ledger.busy |= set(names)
        try:
            yield
        finally:
            self.ledger.busy -= set(names)

    def a_policy(self, wanted: Callable[[KnownPolicy], bool] = lambda _: True) -> KnownPolicy | None:
        found = [policy for policy in self.ledger.living_policies(self.place) if wanted(policy)]
        return self.draw.choice(sorted(found, key=lambda policy: policy.name)) if found else None

    def own_instances(self) -> list[str]:
        return sorted(name for name in self.ledger.instances if name.startswith(f"{self.place}/"))

    def some_instances(self, most: int) -> list[str]:
        own = self.own_instances()
        return self.draw.sample(own, min(self.draw.randint(1, most), len(own)))

    def linked_to(self, policy: KnownPolicy) -> list[str]:
        return sorted(name for name, (uid, _) in self.ledger.known.associations.items() if uid == policy.uid)


# Setting up


def set_up(user: User, instances: int, policies: int, slots: Sequence[int]) -> None:
    """Instances, room for images, a log topic, and policies with instances."""
    for kind, limit in (("images", 200), ("snapshots", 400), ("instances", 60), ("disks", 200)):
        _set_limit(user, kind, limit)
    requests = [_new_instance(user, f"i-{number}") for number in range(instances)]
    request = instance_service_pb2.BatchCreateInstancesRequest(parent=user.place, requests=requests)
    for result in user.call(user.instances.BatchCreateInstances, request).results:
        user.ledger.instances.add(result.instance.name)
    _make_topic(user)
    names = user.own_instances()
    for number in range(policies):
        policy = _create_policy(user, f"p-{number}", user.draw.choice(slots))
        mine = names[number::policies]
        if policy is not None and mine:
            _associate(user, policy, mine)


def _new_instance(user: User, instance_id: str) -> instance_service_pb2.CreateInstanceRequest:
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


def _create_policy(user: User, policy_id: str, start: int) -> KnownPolicy | None:
    """None if the start time is refused: the service's clock may be another."""
    name = f"{user.place}/policies/{policy_id}"
    unit, count, length = user.draw.choice(INTERVALS)
    logged = user.draw.random() < 0.7
    retention = _a_retention(user)
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
            known.open(from_proto(made.next_execution_time), sent)
        user.ledger.known.policies[made.uid] = known
        return known


def _a_retention(user: User) -> retention_pb2.Retention:
    """Mostly for ever; a newest image that may go is rare, since little can be said of it then."""
    keep_last = user.draw.choice([0, 0, 1, 1, 2])
    keep_days = user.draw.choice([0, 0, 0, 1])
    newest = bool(keep_last or keep_days) and user.draw.random() < 0.1
    return retention_pb2.Retention(keep_last=keep_last, keep_days=keep_days, may_delete_newest=newest)


def _associate(user: User, policy: KnownPolicy, instances: Sequence[str]) -> None:
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


def _set_limit(user: User, kind: str, limit: int) -> None:
    quota = compute_pb2.Quota(name=f"{user.place}/quotas/{kind}", limit=limit)
    with user.alone_with([quota.name]):
        answer = user.call(user.quotas.UpdateQuota, quota_service_pb2.UpdateQuotaRequest(quota=quota))
        user.ledger.used_when_set[user.place, kind] = answer.used


# Operations


def create_policy(user: User) -> None:
    start = user.now + user.draw.randint(32, 300) * MINUTE
    policy = _create_policy(user, f"q-{user.draw.randint(0, 10**9)}", start)
    if policy is not None:
        user.tell(f"has created {policy.name}")
        if instances := user.some_instances(2):
            _associate(user, policy, instances)


def disable(user: User) -> None:
    policy = user.a_policy(lambda policy: policy.enabled)
    if policy is None:
        return
    with user.alone_with([policy.name]):
        sent = user.now
        user.tell(f"disables {policy.name}")
        user.call(user.policies.DisablePolicy, policy_service_pb2.DisablePolicyRequest(name=policy.name))
        policy.close(sent, user.now)


def enable(user: User) -> None:
    policy = user.a_policy(lambda policy: not policy.enabled)
    if policy is None:
        return
    with user.alone_with([policy.name]):
        sent = user.now
        user.tell(f"enables {policy.name}")
        enabled = user.call(user.policies.EnablePolicy, policy_service_pb2.EnablePolicyRequest(name=policy.name))
        policy.open(from_proto(enabled.next_execution_time), sent)


def delete_policy(user: User) -> None:
    policy = user.a_policy()
    if policy is None:
        return
    with user.alone_with([policy.name]), user.alone_with(user.linked_to(policy)):
        sent = user.now
        user.tell(f"deletes {policy.name}")
        with suppress(NotFound):  # an earlier try was served, and its answer lost
            user.call(user.policies.DeletePolicy, policy_service_pb2.DeletePolicyRequest(name=policy.name))
        policy.close(sent, user.now)
        policy.deleted = True
        user.ledger.say_farewell(user.linked_to(policy), user.now, "a deletion")


def edit_schedule(user: User) -> None:
    """Another start time, another interval, or both."""
    policy = user.a_policy()
    if policy is None:
        return
    unit, count, length = user.draw.choice(INTERVALS)
    schedule, mask = policy_pb2.Schedule(), list[str]()
    if user.draw.random() < 0.6:
        schedule.start_time.CopyFrom(to_proto(moment(user.now + user.draw.randint(32, 1500) * MINUTE)))
        mask.append("schedule.start_time")
    if not mask or user.draw.random() < 0.3:
        schedule.interval.CopyFrom(policy_pb2.Interval(count=count, unit=unit))
        mask.append("schedule.interval")
    edited = policy_pb2.Policy(name=policy.name, schedule=schedule)
    request = policy_service_pb2.UpdatePolicyRequest(policy=edited, update_mask=FieldMask(paths=mask))
    with user.alone_with([policy.name]):
        sent = user.now
        user.tell(f"edits {', '.join(mask)} of {policy.name}")
        try:
            answer = user.call(user.policies.UpdatePolicy, request)
        except ServiceError as error:
            user.tell(f"is refused: {error.reason}")
            return
        policy.close(sent, user.now)
        if "schedule.interval" in mask:
            policy.interval = length // timedelta(microseconds=1)
        if answer.HasField("next_execution_time"):
            policy.open(from_proto(answer.next_execution_time), sent)


def edit_retention(user: User) -> None:
    policy = user.a_policy()
    if policy is None:
        return
    retention = _a_retention(user)
    edited = policy_pb2.Policy(name=policy.name, retention=retention)
    request = policy_service_pb2.UpdatePolicyRequest(policy=edited, update_mask=FieldMask(paths=["retention"]))
    with user.alone_with([policy.name]):
        user.tell(f"has {policy.name} keep {retention.keep_last} images, {retention.keep_days} days")
        policy.may_delete_newest |= retention.may_delete_newest
        user.call(user.policies.UpdatePolicy, request)


def replicate(user: User) -> None:
    """To the other region."""
    policy = user.a_policy()
    if policy is None:
        return
    policy_id = f"r-{user.draw.randint(0, 10**9)}"
    target = policy_service_pb2.ReplicationTarget(region=SOUTH, policy_id=policy_id)
    request = policy_service_pb2.ReplicatePolicyRequest(name=policy.name, targets=[target], request_id=user.uuid())
    with user.alone_with([policy.name]):
        sent = user.now
        user.tell(f"copies {policy.name} to {SOUTH}")
        (result,) = user.call(user.policies.ReplicatePolicy, request).results
        if not result.HasField("policy"):
            user.tell(f"is refused: {result.error.message}")
            return
        copy = result.policy
        user.ledger.known.policies[copy.uid] = known = KnownPolicy(copy.name, copy.uid, policy.interval)
        if copy.HasField("next_execution_time"):
            known.open(from_proto(copy.next_execution_time), sent)


def cancel(user: User) -> None:
    """An execution that is under way, if there is one."""
    executions = execution_service_pb2.ListExecutionsRequest(
        parent=f"{user.place}/policies/-",
        filter=execution_service_pb2.ExecutionFilter(states=[execution_pb2.Execution.STATE_RUNNING]),
    )
    running = user.call(user.executions.ListExecutions, executions).executions
    if running:
        name = user.draw.choice(list(running)).name
        user.tell(f"cancels {name}")
        user.call(user.executions.CancelExecution, execution_service_pb2.CancelExecutionRequest(name=name))


def protect_image(user: User) -> None:
    """For good: users who let go of it would have to be followed."""
    images = user.call(user.images.ListImages, image_service_pb2.ListImagesRequest(parent=user.place, page_size=100))
    if not images.images:
        return
    image = user.draw.choice(list(images.images)).name
    protected = compute_pb2.Image(name=image, deletion_protected=True)
    request = image_service_pb2.UpdateImageRequest(image=protected, update_mask=FieldMask(paths=["deletion_protected"]))
    user.tell(f"protects {image}")
    user.call(user.images.UpdateImage, request)
    user.ledger.protected_images.add(image)


def create_image(user: User) -> None:
    """By hand, with the labels of an automatic one: nobody goes by them."""
    instances = user.some_instances(1)
    if not instances:
        return
    image = compute_pb2.Image(source_instance=instances[0], labels={"scheduled-time": "2020-01-01T00:00:00Z"})
    request = image_service_pb2.CreateImageRequest(parent=user.place, image=image, request_id=user.uuid())
    made = user.call(user.images.CreateImage, request)
    user.ledger.foreign_images.add(made.name)
    user.ledger.foreign_requests.add(request.request_id)
    user.tell(f"has made {made.name} of {instances[0]}")


def associate(user: User) -> None:
    """Instances that have a policy move."""
    policy = user.a_policy()
    instances = user.some_instances(3)
    if policy is not None and instances:
        user.tell(f"associates {len(instances)} instances with {policy.name}")
        _associate(user, policy, instances)


def disassociate(user: User) -> None:
    linked = sorted(name for name in user.ledger.known.associations if name in user.own_instances())
    if not linked:
        return
    instance = user.draw.choice(linked)
    with user.alone_with([instance]):
        if instance not in user.ledger.known.associations:
            return
        user.tell(f"disassociates {instance}")
        request = policy_service_pb2.DisassociateInstancesRequest(
            policy=f"{user.place}/policies/-", instances=[instance]
        )
        user.call(user.policies.DisassociateInstances, request)
        user.ledger.say_farewell([instance], user.now, "a disassociation")


def run_now(user: User) -> None:
    policy = user.a_policy(lambda policy: policy.enabled)
    if policy is None:
        return
    run_id = user.uuid()
    request = policy_service_pb2.ExecutePolicyRequest(name=policy.name, request_id=run_id)
    user.tell(f"runs {policy.name} now")
    try:
        run = user.call(user.policies.ExecutePolicy, request)
    except ServiceError as error:
        user.tell(f"is refused: {error.reason}")
    else:
        user.ledger.runs[run.run_id] = policy.uid


def change_limit(user: User) -> None:
    """Mostly to a little more than what is used, so that the next builds come to it."""
    used = user.call(user.quotas.GetQuota, quota_service_pb2.GetQuotaRequest(name=f"{user.place}/quotas/images")).used
    limit = user.draw.choice([0, used + 1, used + 2, used + 3, 200, 200])
    user.tell(f"sets its limit of images to {limit}")
    _set_limit(user, "images", limit)


def delete_image(user: User) -> None:
    request = image_service_pb2.ListImagesRequest(parent=user.place, page_size=100)
    images = user.call(user.images.ListImages, request).images
    if not images:
        return
    image = user.draw.choice(list(images)).name
    user.tell(f"deletes {image}")
    user.ledger.deleted_images.add(image)
    try:
        user.call(user.images.DeleteImage, image_service_pb2.DeleteImageRequest(name=image))
    except ServiceError as error:
        user.tell(f"is refused: {error.reason}")


def delete_instance(user: User) -> None:
    instances = user.some_instances(1)
    if not instances:
        return
    with user.alone_with(instances):
        user.tell(f"deletes {instances[0]}")
        user.ledger.instances.discard(instances[0])
        try:
            user.call(user.instances.DeleteInstance, instance_service_pb2.DeleteInstanceRequest(name=instances[0]))
        except NotFound:
            pass
        except ServiceError as error:
            user.tell(f"is refused: {error.reason}")
            user.ledger.instances.add(instances[0])


def create_instance(user: User) -> None:
    request = _new_instance(user, f"j-{user.draw.randint(0, 10**9)}")
    try:
        made = user.call(user.instances.CreateInstance, request)
    except AlreadyExists as error:
        user.tell(f"is refused: {error.reason}")
    else:
        user.tell(f"has created {made.name}")
        user.ledger.instances.add(made.name)


OPERATIONS: dict[Callable[[User], None], int] = {
    create_policy: 2,
    edit_schedule: 4,
    edit_retention: 2,
    replicate: 1,
    cancel: 2,
    protect_image: 1,
    create_image: 1,
    disable: 3,
    enable: 3,
    delete_policy: 2,
    associate: 5,
    disassociate: 3,
    run_now: 4,
    change_limit: 2,
    delete_image: 2,
    delete_instance: 1,
    create_instance: 1,
}
"""What users do, and how often beside each other."""
