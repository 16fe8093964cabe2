"""Rule P14, through the public RPCs."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from autoimage.policy.v1.policy_pb2 import DiskSelection, Interval, Logging, Policy, Schedule
from autoimage.policy.v1.policy_service_pb2 import (
    DeletePolicyRequest,
    ListPoliciesRequest,
    ReplicationResult,
    ReplicationTarget,
)
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.errors import Code, ServiceError, Unavailable
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.policy_service import (
    FIRST,
    POLICY,
    TOPIC,
    PolicyService,
    policy_name,
    running_policy_service,
    schedule,
)

DAY = timedelta(days=1)
SOUTH = "accounts/acme/regions/cn-south-1"
SOUTH_TOPIC = f"{SOUTH}/logSets/backups/logTopics/executions"
NOTE = "[replicated from cn-north-1/nightly]"
REQUEST = "11111111-2222-4333-8444-55555555555a"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        running.logs.add()
        yield running


def to(region: str = "cn-south-1", policy_id: str = "copy", **fields: str) -> ReplicationTarget:
    return ReplicationTarget(region=region, policy_id=policy_id, **fields)


def south(service: PolicyService) -> list[Policy]:
    """All policies there."""
    return list(service.policies.ListPolicies(ListPoliciesRequest(parent=SOUTH)).policies)


def refusal(result: ReplicationResult) -> ServiceError:
    """Why there is no copy."""
    assert result == ReplicationResult(region=result.region, error=result.error)
    return from_status(result.error)


@pytest.mark.rule("P14")
def test_copy_has_all_of_the_policy_but_instances_and_log_topic(service: PolicyService) -> None:
    source = service.create(
        display_name="每日备份",
        description="All of it.",
        schedule=schedule(
            count=2,
            unit=Interval.UNIT_WEEK,
            time_zone="Europe/Berlin",
            execution_limit=7,
            catch_up=Schedule.CATCH_UP_NONE,
            catch_up_window={"seconds": 3600},
            spread={"seconds": 60},
        ),
        disks=DiskSelection(devices=["vdb"]),
        retention=Retention(keep_days=30, keep_last=2, may_delete_newest=True),
        logging=Logging(log_topic=TOPIC),
    )
    service.link("web")
    (result,) = service.replicate(to())
    copy = service.get("copy", SOUTH)
    assert (result.region, result.policy) == ("cn-south-1", copy)
    assert copy.uid != source.uid
    assert copy == Policy(
        name=policy_name("copy", SOUTH),
        uid=copy.uid,
        display_name="每日备份",
        description=f"All of it. {NOTE}",
        state=Policy.STATE_ENABLED,
        schedule=source.schedule,
        disks=source.disks,
        retention=source.retention,
        next_execution_time=to_proto(FIRST),
        create_time=to_proto(START),
        update_time=to_proto(START),
        etag=copy.etag,
        replicated_from=POLICY,
        warnings=copy.warnings,
    )
    assert service.linked() == ["web"]


@pytest.mark.rule("P14")
def test_copy_of_a_disabled_policy_is_disabled(service: PolicyService) -> None:
    service.create(state=Policy.STATE_DISABLED)
    (result,) = service.replicate(to())
    assert (result.policy.state, result.policy.HasField("next_execution_time")) == (Policy.STATE_DISABLED, False)


@pytest.mark.rule("P14")
def test_target_says_how_the_copy_is_called_and_where_it_logs(service: PolicyService) -> None:
    service.logs.add(SOUTH_TOPIC)
    service.create()
    named, drawn = service.replicate(to(display_name="南方", log_topic=SOUTH_TOPIC), to("cn-east-2", ""))
    assert (named.policy.display_name, named.policy.name) == ("南方", policy_name("copy", SOUTH))
    assert named.policy.logging == Logging(log_topic=SOUTH_TOPIC, state=Logging.STATE_ENABLED)
    assert drawn.policy.display_name == "nightly"
    assert drawn.policy.name.startswith("accounts/acme/regions/cn-east-2/policies/pol-")


@pytest.mark.rule("P14")
def test_copy_begins_at_the_first_point_that_is_30_minutes_ahead(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST + 3 * DAY - timedelta(minutes=30))
    (at_the_edge,) = service.replicate(to())
    assert at_the_edge.policy.schedule.start_time == to_proto(FIRST + 3 * DAY)
    service.time.product.advance(timedelta(microseconds=1))
    (beyond,) = service.replicate(to("cn-east-2"))
    assert beyond.policy.schedule.start_time == beyond.policy.next_execution_time == to_proto(FIRST + 4 * DAY)
    assert service.get().schedule.start_time == to_proto(FIRST)


@pytest.mark.rule("P14")
def test_copy_and_source_go_their_own_ways(service: PolicyService) -> None:
    service.create()
    service.replicate(to())
    service.delete()
    copy = service.get("copy", SOUTH)
    assert (copy.replicated_from, copy.state) == (POLICY, Policy.STATE_ENABLED)


@pytest.mark.rule("P14")
@pytest.mark.parametrize(
    ("target", "reason", "fields"),
    [
        (to("not-served"), "REGION_NOT_SERVED", ["region"]),
        (to("Nowhere"), "INVALID_ARGUMENT", ["region"]),
        (to(""), "INVALID_ARGUMENT", ["region"]),
        (to(policy_id="A"), "INVALID_ARGUMENT", ["policy_id"]),
        (to(display_name="a b"), "INVALID_ARGUMENT", ["display_name"]),
        (to(log_topic=TOPIC), "INVALID_ARGUMENT", ["log_topic"]),
        (
            to(policy_id="A", log_topic="x", display_name="?"),
            "INVALID_ARGUMENT",
            ["policy_id", "display_name", "log_topic"],
        ),
        (to(log_topic=SOUTH_TOPIC), "LOG_TOPIC_NOT_FOUND", []),
        (to(), "RESOURCE_EXISTS", []),
    ],
)
def test_each_target_stands_or_falls_alone(
    service: PolicyService, target: ReplicationTarget, reason: str, fields: list[str]
) -> None:
    service.create()
    service.create("copy", parent=SOUTH)
    good, bad = service.replicate(to("cn-east-2", ""), target)
    assert good.policy.replicated_from == POLICY
    error = refusal(bad)
    assert (bad.region, error.reason) == (target.region, reason)
    assert [each.field for each in error.violations] == [f"targets[1].{field}" for field in fields]
    assert [each.name for each in south(service)] == [policy_name("copy", SOUTH)]


@pytest.mark.rule("P14")
def test_unserved_region_tells_those_that_are_served(service: PolicyService) -> None:
    service.create()
    (result,) = service.replicate(to("not-served"))
    assert refusal(result).metadata == {"regions": "cn-east-2,cn-north-1,cn-south-1"}


@pytest.mark.rule("P8", "P14")
def test_limit_of_the_target_region_counts(service: PolicyService) -> None:
    service.create()
    for number in range(20):
        service.create(f"policy-{number}", parent=SOUTH)
    full, free = service.replicate(to(), to("cn-east-2"))
    error = refusal(full)
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "POLICY_LIMIT")
    assert error.metadata == {"limit": "20", "used": "20"}
    assert free.policy.replicated_from == POLICY


@pytest.mark.rule("P14")
@pytest.mark.parametrize("regions", [["cn-north-1"], ["cn-south-1", "cn-south-1"], ["cn-south-1", "cn-north-1"]])
def test_own_region_and_one_region_twice_are_refused_and_nothing_copied(
    service: PolicyService, regions: list[str]
) -> None:
    service.create()
    error = error_of(service.replicate, *[to(region, f"copy-{number}") for number, region in enumerate(regions)])
    assert error.code == Code.INVALID_ARGUMENT
    assert [each.field for each in error.violations] == [f"targets[{len(regions) - 1}].region"]
    assert south(service) == []


@pytest.mark.rule("P14")
def test_unknown_policy_is_not_copied(service: PolicyService) -> None:
    assert error_of(service.replicate, to()).metadata == {"name": POLICY}
    assert south(service) == []


@pytest.mark.rule("P14")
def test_repeated_request_answers_the_same_copies_and_tries_the_others_again(service: PolicyService) -> None:
    service.create()
    service.logs.error = Unavailable("OVERLOADED")
    targets = [to("cn-east-2", ""), to(policy_id="", log_topic=SOUTH_TOPIC)]
    first, failed = service.replicate(*targets, request_id=REQUEST)
    assert (refusal(failed).code, refusal(failed).reason) == (Code.UNAVAILABLE, "OVERLOADED")
    service.logs.error = None
    service.logs.add(SOUTH_TOPIC)
    again, second = service.replicate(*targets, request_id=REQUEST.upper())
    assert again == first
    assert service.replicate(*targets, request_id=REQUEST) == [first, second]
    assert south(service) == [second.policy]


@pytest.mark.rule("P14")
def test_request_id_with_another_body_is_refused_and_copies_nothing(service: PolicyService) -> None:
    service.create()
    service.replicate(to("cn-east-2"), request_id=REQUEST)
    error = error_of(service.replicate, to("cn-south-1"), request_id=REQUEST)
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert south(service) == []


@pytest.mark.rule("P14")
def test_copy_that_was_deleted_meanwhile_is_not_made_again_by_a_repeat(service: PolicyService) -> None:
    service.create()
    service.replicate(to(), request_id=REQUEST)
    service.policies.DeletePolicy(DeletePolicyRequest(name=policy_name("copy", SOUTH)))
    (result,) = service.replicate(to(), request_id=REQUEST)
    assert refusal(result).metadata == {"name": policy_name("copy", SOUTH)}
    assert south(service) == []


@pytest.mark.rule("P14")
def test_same_request_many_times_at_once_makes_one_copy(service: PolicyService) -> None:
    service.create()
    outcomes = at_once([lambda: service.replicate(to(policy_id=""), request_id=REQUEST) for _ in range(16)])
    (copy,) = south(service)
    assert {result.policy.name for results in outcomes for result in results} == {copy.name}  # type: ignore[union-attr]
