"""What users do. Each operation is a function: it draws what it is about from what its account has at that moment.

It writes down what the answer was.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.compute.v1 import compute_pb2, image_service_pb2, instance_service_pb2, quota_service_pb2
from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from autoimage.scheduler.v1 import execution_pb2, execution_service_pb2
from servicekit.errors import AlreadyExists, NotFound, ServiceError
from servicekit.timestamps import from_proto, to_proto
from tests.simulation.kernel import MINUTE
from tests.simulation.ledger import KnownPolicy
from tests.simulation.machines import moment
from tests.simulation.setting_up import INTERVALS, a_retention, link, make_policy, new_instance, set_limit
from tests.simulation.users import User
from tests.simulation.world import SOUTH


def create_policy(user: User) -> None:
    start = user.now + user.draw.randint(32, 300) * MINUTE
    policy = make_policy(user, f"q-{user.draw.randint(0, 10**9)}", start)
    if policy is not None:
        user.tell(f"has created {policy.name}")
        if instances := user.some_instances(2):
            link(user, policy, instances)


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
            start = from_proto(schedule.start_time) if schedule.HasField("start_time") else None
            policy.open(from_proto(answer.next_execution_time), sent, start)


def edit_retention(user: User) -> None:
    policy = user.a_policy()
    if policy is None:
        return
    retention = a_retention(user)
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
    with user.alone_with([image]):
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
        link(user, policy, instances)


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
    set_limit(user, "images", limit)


def delete_image(user: User) -> None:
    request = image_service_pb2.ListImagesRequest(parent=user.place, page_size=100)
    images = user.call(user.images.ListImages, request).images
    if not images:
        return
    image = user.draw.choice(list(images))
    user.tell(f"deletes {image.name}")
    user.ledger.deleted_images[image.name] = image.source_instance
    try:
        user.call(user.images.DeleteImage, image_service_pb2.DeleteImageRequest(name=image.name))
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
    request = new_instance(user, f"j-{user.draw.randint(0, 10**9)}")
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
