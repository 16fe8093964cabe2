"""The product page, step by step, against the real suite: operation by operation, by the public RPCs.

Each test is a section of the page. They share a suite on stepped time, and take accounts of their own.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autoimage.compute.v1 import compute_pb2
from autoimage.log.v1 import log_pb2
from autoimage.policy.v1 import policy_pb2
from autoimage.policy.v1 import policy_service_pb2 as pb
from autoimage.scheduler.v1 import execution_pb2
from autoimage.type.v1 import reason_pb2
from servicekit.errors import Code, ServiceError
from servicekit.status import from_status
from servicekit.timestamps import from_proto, to_proto
from suite.clients import Clients
from tests.support.product import SOUTH, Product, ids, running_product

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Clients, Path]]:
    with running_product(tmp_path_factory.mktemp("product")) as running:
        yield running


@pytest.fixture
def product(suite: tuple[Clients, Path], request: pytest.FixtureRequest) -> Product:
    account = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    return Product(*suite, account)


def refusal(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[Code, str]:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **keywords)
    return caught.value.code, caught.value.reason


@pytest.mark.rule("A2", "C1", "P5", "X3")
def test_service_restrictions(product: Product) -> None:
    # Only for virtual machines whose system disk is a cloud disk.
    local = product.instance("local", "local")
    policy = product.policy("p").name
    assert from_status(product.associate(policy, local)[0].error).reason == "LOCAL_SYSTEM_DISK"

    # Local data disks are not in the images. Without quota there is no image.
    product.quota("images", 1)
    web, other = product.instance("web", "cloud", "local"), product.instance("other")
    product.associate(policy, web)
    product.go_to(product.now + HOUR)
    product.finish_builds()
    image = product.images()[0]
    assert ([disk.device_name for disk in image.disks], ids([image.source_instance])) == (["vda"], ["web"])
    assert [disk.device_name for disk in image.left_out_disks] == ["vdb"]

    product.associate(policy, other)
    product.go_to(product.now + DAY)
    product.finish_builds()
    tasks = product.tasks(product.executions(policy)[0].name)
    assert {task.reason for task in tasks} == {reason_pb2.REASON_IMAGE_QUOTA_EXCEEDED}
    assert len(product.images()) == 1


@pytest.mark.rule("P1", "P2", "P3", "P4", "P5", "P6", "P7")
def test_create_automatic_image_policy(product: Product) -> None:
    # 3. A policy can't be associated with machines of another region.
    away = product.instance("away", region=SOUTH)
    policy = product.policy("first").name
    assert from_status(product.associate(policy, away)[0].error).reason == "INSTANCE_ELSEWHERE"

    # 4. and 5. Name and description.
    assert product.policy(display_name="自动镜像_Policy-1", description="d" * 256).display_name == "自动镜像_Policy-1"
    for wrong in ({"display_name": "n" * 33}, {"display_name": "a b"}, {"description": "d" * 257}):
        assert refusal(product.policy, **wrong) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")

    # 6. The start is at least 30 minutes ahead.
    def starting(ahead: timedelta) -> policy_pb2.Schedule:
        daily = policy_pb2.Interval(count=1, unit=policy_pb2.Interval.UNIT_DAY)
        return policy_pb2.Schedule(start_time=to_proto(product.now + ahead), interval=daily)

    earliest = product.policy(schedule=starting(30 * MINUTE))
    assert from_proto(earliest.next_execution_time) == product.now + 30 * MINUTE
    too_early = starting(30 * MINUTE - timedelta(seconds=1))
    assert refusal(product.policy, schedule=too_early) == (Code.INVALID_ARGUMENT, "START_TIME_OUT_OF_RANGE")

    # 7. The interval is 12 hours to one year, in hours, days or weeks.
    units = policy_pb2.Interval
    for unit, least, most in ((units.UNIT_HOUR, 12, 8760), (units.UNIT_DAY, 1, 365), (units.UNIT_WEEK, 1, 52)):
        for count in (least, most, least - 1, most + 1):
            schedule = starting(HOUR)
            schedule.interval.CopyFrom(policy_pb2.Interval(count=count, unit=unit))
            if least <= count <= most:
                assert product.policy(schedule=schedule).schedule.interval.count == count
            else:
                assert refusal(product.policy, schedule=schedule)[0] is Code.INVALID_ARGUMENT

    # 8. Disks: all, or some; the system disk is always in.
    assert product.policy().disks.all
    assert set(product.policy(disks=policy_pb2.DiskSelection(devices=["vdb"])).disks.devices) == {"vda", "vdb"}

    # 9. Enabled or disabled.
    disabled = product.policy(state=policy_pb2.Policy.STATE_DISABLED)
    assert not disabled.HasField("next_execution_time")

    # 10. The log topic must be made for these logs.
    good = product.topic()
    bad = product.topic(log_set="other", log_type=log_pb2.LogTopic.LOG_TYPE_AUDIT)
    assert product.policy(logging=policy_pb2.Logging(log_topic=good)).logging.log_topic == good
    wrong_topic = policy_pb2.Logging(log_topic=bad)
    assert refusal(product.policy, logging=wrong_topic) == (Code.FAILED_PRECONDITION, "LOG_TOPIC_UNSUITABLE")


@pytest.mark.rule("P11", "P12")
def test_modify_automatic_image_policy(product: Product) -> None:
    policy = product.policy("modified").name
    product.go_to(product.now + HOUR)
    last = product.now

    # 1. and 2. Rules and information can be modified; start time and interval move the next execution.
    updated = product.update(policy, display_name="modified", disks=policy_pb2.DiskSelection(devices=["vdb"]))
    assert (updated.display_name, from_proto(updated.next_execution_time)) == ("modified", last + DAY)
    weekly = policy_pb2.Interval(count=1, unit=policy_pb2.Interval.UNIT_WEEK)
    updated = product.update(policy, schedule=policy_pb2.Schedule(interval=weekly))
    assert from_proto(updated.next_execution_time) == last + 7 * DAY

    # One execution and the next are 12 hours apart at least.
    def starting(moment: datetime) -> policy_pb2.Schedule:
        return policy_pb2.Schedule(start_time=to_proto(moment))

    too_close = starting(last + 12 * HOUR - timedelta(seconds=1))
    assert refusal(product.update, policy, schedule=too_close) == (Code.FAILED_PRECONDITION, "EXECUTIONS_TOO_CLOSE")
    updated = product.update(policy, schedule=starting(last + 12 * HOUR))
    assert from_proto(updated.next_execution_time) == last + 12 * HOUR
    product.go_to(last + 12 * HOUR)
    times = [from_proto(execution.scheduled_time) for execution in product.executions(policy)]
    assert times == [last + 12 * HOUR, last]
    assert from_proto(product.get(policy).next_execution_time) == last + 12 * HOUR + 7 * DAY


@pytest.mark.rule("A1", "A2", "A4", "A6", "A7")
def test_associate_resources(product: Product) -> None:
    web = product.instance("i-web")
    database = product.instance("i-database")
    local = product.instance("i-local", "local")
    first, second = product.policy("first").name, product.policy("second").name

    # Each machine has one policy: associating it with another one moves it.
    product.associate(first, web)
    assert product.associate(second, web)[0].previous_policy == first
    assert (product.associated(first), product.associated(second)) == ([], [web])

    # Machines are found by a part of their name, in any case, or by their id; those with local system disks are not.
    product.instance("i-ledger", name="Ledger_2")
    assert product.pickable() == [(database, ""), (product.place() + "/instances/i-ledger", ""), (web, second)]
    assert [product.pickable(display_name=part) for part in ("r_2", "%", "r.2", "LEDGER_")] == [
        product.pickable(instance_id="i-ledger"),
        [],
        [],
        product.pickable(instance_id="i-ledger"),
    ]
    assert (product.pickable(instance_id="i-web"), product.pickable(instance_id="i-we")) == ([(web, second)], [])
    assert product.pickable(instance_id="i-local") == []

    # On the machines: several at a time; one that can't be associated does not spoil the others.
    results = product.associate(first, database, local)
    assert [bool(result.error.code) for result in results] == [False, True]
    assert product.associated(first) == [database]


@pytest.mark.rule("A5", "A8")
def test_disassociate_associated_resources(product: Product) -> None:
    policy = product.policy("p").name
    names = [product.instance(id) for id in ("a", "b", "c")]
    product.associate(policy, *names)
    product.go_to(product.now + HOUR)

    # From the policy, one or several; images that are being made are not affected.
    assert {image.state for image in product.images()} == {compute_pb2.Image.STATE_CREATING}
    product.disassociate(policy, names[0])
    # From the machine, whichever policy it has.
    assert product.disassociate(f"{product.place()}/policies/-", names[1])[0].previous_policy == policy
    assert product.associated(policy) == [names[2]]

    product.finish_builds()
    assert [image.state for image in product.images()] == [compute_pb2.Image.STATE_AVAILABLE] * 3
    product.go_to(product.now + DAY)
    assert [task.instance for task in product.tasks(product.executions(policy)[0].name)] == [names[2]]


@pytest.mark.rule("P6", "P13")
def test_disabled_and_enabled_policy_status(product: Product) -> None:
    policy = product.policy("p").name
    product.associate(policy, product.instance("web"))
    start = product.now + HOUR

    # A disabled policy makes no images.
    product.clients.policies.DisablePolicy(pb.DisablePolicyRequest(name=policy))
    product.go_to(start + 2 * DAY + HOUR)
    assert product.executions(policy) == []

    # An enabled one makes them at the times of its rules.
    enabled = product.clients.policies.EnablePolicy(pb.EnablePolicyRequest(name=policy))
    assert from_proto(enabled.next_execution_time) == start + 3 * DAY
    product.go_to(start + 3 * DAY)
    product.finish_builds()
    execution = product.executions(policy)[0]
    assert (from_proto(execution.scheduled_time), execution.state) == (
        start + 3 * DAY,
        execution_pb2.Execution.STATE_SUCCEEDED,
    )


@pytest.mark.rule("P14")
def test_inter_regional_policy_replication(product: Product) -> None:
    source = product.policy("p", display_name="web-nightly", description="All web servers")
    product.associate(source.name, product.instance("web"))
    elsewhere = product.instance("other", region=SOUTH)

    # The replica has the source's name by default, and its description says where it comes from.
    request = pb.ReplicatePolicyRequest(name=source.name, targets=[pb.ReplicationTarget(region=SOUTH)])
    replica = product.clients.policies.ReplicatePolicy(request).results[0].policy
    assert replica.name.startswith(f"{product.place(SOUTH)}/policies/pol-")
    assert (replica.display_name, replica.replicated_from) == ("web-nightly", source.name)
    assert replica.description.startswith("All web servers")
    assert "cn-north-1/p" in replica.description
    assert (replica.schedule, replica.disks, replica.state) == (source.schedule, source.disks, source.state)

    # It is the other region's own: it backs up machines of that region, none of the source's.
    assert replica.instance_count == 0
    product.associate(replica.name, elsewhere)
    product.go_to(product.now + HOUR)
    product.finish_builds()
    assert [image.source_instance for image in product.images(SOUTH)] == [elsewhere]


@pytest.mark.rule("A8", "P15", "X6")
def test_delete_policy(product: Product) -> None:
    policy = product.policy("p").name
    web = product.instance("web")
    product.associate(policy, web)
    product.go_to(product.now + HOUR)

    # The machines are unlinked; an image that is being made is finished; none is made any more.
    product.clients.policies.DeletePolicy(pb.DeletePolicyRequest(name=policy))
    assert refusal(product.get, policy) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    product.finish_builds()
    assert [image.state for image in product.images()] == [compute_pb2.Image.STATE_AVAILABLE]
    product.go_to(product.now + 2 * DAY)
    assert len(product.images()) == len(product.executions(policy)) == 1


@pytest.mark.rule("L2", "P7")
def test_policy_log(product: Product) -> None:
    topic = product.topic()
    policy = product.policy("p", logging=policy_pb2.Logging(log_topic=topic)).name
    product.associate(policy, product.instance("web"))
    product.go_to(product.now + HOUR)
    product.finish_builds()

    events = [log_pb2.LogEntry.Event.Name(entry.event).removeprefix("EVENT_") for entry in product.entries(topic)]
    assert events == ["EXECUTION_STARTED", "IMAGE_TASK_STARTED", "IMAGE_TASK_ENDED", "EXECUTION_ENDED"]
