"""Rule P19, through the public RPCs."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from autoimage.compute.v1.quota_service_pb2 import ListQuotasRequest
from autoimage.policy.v1.policy_pb2 import Logging, Policy
from autoimage.policy.v1.policy_pb2 import Warning as PolicyWarning
from autoimage.policy.v1.policy_service_pb2 import ListPoliciesRequest
from autoimage.policy.v1.trigger_service_pb2 import DisableLoggingRequest, MissingLogTopic
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.errors import Unavailable
from tests.support.policy_service import FIRST, PLACE, POLICY, TOPIC, PolicyService, running_policy_service

DAY = timedelta(days=1)
LATE = timedelta(minutes=5, microseconds=1)
KEEP_2 = Retention(keep_last=2)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


def kinds(policy: Policy) -> list[str]:
    return [PolicyWarning.Kind.Name(warning.kind).removeprefix("KIND_") for warning in policy.warnings]


def listed(service: PolicyService) -> list[Policy]:
    return list(service.policies.ListPolicies(ListPoliciesRequest(parent=PLACE)).policies)


@pytest.mark.rule("P19")
def test_policy_warns_while_it_has_no_instances_in_every_answer(service: PolicyService) -> None:
    created = service.create()
    expected = PolicyWarning(
        kind=PolicyWarning.KIND_NO_INSTANCES, message="the policy has no instances, so it makes no images"
    )
    for answer in (
        created,
        service.get(),
        service.update(description="new"),
        service.disable(),
        service.enable(),
        *listed(service),
    ):
        assert list(answer.warnings) == [expected]
    service.link("web")
    assert [kinds(answer) for answer in (service.get(), *listed(service))] == [[], []]


@pytest.mark.rule("P19")
@pytest.mark.parametrize(
    ("images", "snapshots", "said"),
    [
        (6, 6, ""),
        (5, 6, "5 images"),
        (6, 5, "5 snapshots"),
        (5, 5, "5 images and 5 snapshots"),
        (0, 1_000_000, "0 images"),
    ],
)
def test_policy_warns_when_what_it_keeps_and_one_image_more_of_each_instance_exceed_the_quota(
    service: PolicyService, images: int, snapshots: int, said: str
) -> None:
    service.compute.quotas = {"images": images, "snapshots": snapshots}
    service.create(retention=KEEP_2)
    service.link("web", "db")
    found = service.get()
    assert kinds(found) == (["RETENTION_EXCEEDS_QUOTA"] if said else [])
    assert [warning.message for warning in found.warnings] == [
        "to keep the last images of 2 instances, and one more of each while it is made, takes 6 images and at least as "
        f"many snapshots; the quota allows {said}"
        for _ in [said]
        if said
    ]


@pytest.mark.rule("P19")
def test_policy_without_a_number_of_images_to_keep_does_not_depend_on_the_quota(service: PolicyService) -> None:
    service.compute.quotas = {"images": 0, "snapshots": 0}
    service.create(retention=Retention(keep_days=36_500))
    service.link("web")
    service.create("empty", retention=KEEP_2)
    assert [kinds(answer) for answer in listed(service)] == [["NO_INSTANCES"], []]
    assert service.compute.quota_requests == []


@pytest.mark.rule("P19")
def test_list_asks_for_quotas_once_for_all_its_policies(service: PolicyService) -> None:
    for number in range(3):
        service.create(f"policy-{number}", retention=KEEP_2)
        service.link(f"web-{number}", f"db-{number}", policy_id=f"policy-{number}")
    service.compute.quota_requests.clear()
    assert [kinds(answer) for answer in listed(service)] == [["RETENTION_EXCEEDS_QUOTA"]] * 3
    assert service.compute.quota_requests == [ListQuotasRequest(parent=PLACE, page_size=100)]


@pytest.mark.rule("P19")
def test_what_compute_does_not_tell_is_left_out_and_all_else_answered(service: PolicyService) -> None:
    service.compute.quotas = {"images": 0, "snapshots": 0}
    service.create(retention=KEEP_2)
    service.link("web")
    service.create("empty")
    service.compute.error = Unavailable("OVERLOADED")
    assert kinds(service.get()) == []
    assert [kinds(answer) for answer in listed(service)] == [["NO_INSTANCES"], []]
    service.compute.error = None
    service.compute.quotas = {}
    assert kinds(service.get()) == []


@pytest.mark.rule("P19")
def test_policy_warns_while_its_log_topic_is_gone(service: PolicyService) -> None:
    service.logs.add()
    service.create(logging=Logging(log_topic=TOPIC))
    service.link("web")
    assert kinds(service.get()) == []
    missing = MissingLogTopic(policy=POLICY, log_topic=TOPIC)
    service.triggers.DisableLogging(DisableLoggingRequest(missing_log_topics=[missing]))
    (warning,) = service.get().warnings
    assert warning.kind == PolicyWarning.KIND_LOG_TOPIC_GONE
    assert TOPIC in warning.message


@pytest.mark.rule("P19")
def test_policy_warns_from_the_third_point_in_a_row_that_was_not_taken_up_on_time(service: PolicyService) -> None:
    service.create()
    service.link("web")
    seen: list[list[str]] = []
    for late in (timedelta(0), LATE, LATE, LATE, timedelta(0), LATE):
        service.time.product.set(FIRST + len(seen) * DAY + late)
        service.lease()
        seen.append(kinds(service.get()))
    assert seen == [[], [], [], ["POINTS_MISSED"], [], []]


@pytest.mark.rule("P19")
def test_points_that_were_missed_count_each_and_run_now_does_not(service: PolicyService) -> None:
    service.create()
    service.link("web")
    service.time.product.set(FIRST + 2 * DAY + LATE)
    service.execute()
    service.lease()
    (warning,) = service.get().warnings
    assert warning == PolicyWarning(
        kind=PolicyWarning.KIND_POINTS_MISSED, message="none of the latest 3 points was taken up on time"
    )
