"""What was answered to a request with an id is answered again after a restart, and nothing is done twice."""

from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from autoimage.policy.v1.policy_service_pb2 import CreatePolicyRequest, ListPoliciesRequest, ReplicationTarget
from tests.support.policy_service import PLACE, PolicyService, instance_name, policy, running_policy_service

REQUESTS = [f"11111111-2222-4333-8444-55555555555{digit}" for digit in "abcd"]


def ask(service: PolicyService) -> list[Any]:
    """Everything that takes a request id, with the same ids each time."""
    create, associate, execute, replicate = REQUESTS
    service.compute.add(instance_name("web"))
    created = service.policies.CreatePolicy(
        CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy(), request_id=create)
    )
    target = ReplicationTarget(region="cn-south-1")
    return [
        created.name,
        service.associate(instance_name("web"), request_id=associate),
        service.execute(request_id=execute),
        service.replicate(target, request_id=replicate),
    ]


def state(service: PolicyService) -> list[Message | list[str]]:
    lists = [
        service.policies.ListPolicies(ListPoliciesRequest(parent=f"accounts/acme/regions/{region}"))
        for region in ("cn-north-1", "cn-south-1")
    ]
    return [*lists, service.events(f"{PLACE}/policies/-"), service.linked()]


def test_repeated_requests_answer_the_same_after_a_restart(tmp_path: Path) -> None:
    with running_policy_service(tmp_path) as service:
        answers = ask(service)
        before = state(service)
    with running_policy_service(tmp_path) as again:
        assert ask(again) == answers
        assert state(again) == before
