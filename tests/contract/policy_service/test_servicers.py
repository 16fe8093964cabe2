"""The servicers without a network: what reaches the wire from each method, under grpcio-testing."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from autoimage.policy.v1 import policy_service_pb2 as users
from autoimage.policy.v1 import trigger_service_pb2 as schedulers
from autoimage.policy.v1.policy_pb2 import Logging, Policy, PolicyLimit
from autoimage.type.v1.retention_pb2 import Retention
from policy_service.servicers.policies import PolicyServicer
from policy_service.servicers.triggers import TriggerServicer
from servicekit.timestamps import to_proto
from tests.support import START, clocks
from tests.support.policy_service import (
    FIRST,
    LIMIT,
    PLACE,
    POLICY,
    REGIONS,
    TOPIC,
    FakeCompute,
    FakeLogs,
    closing_database,
    dependencies,
    instance_name,
    peers,
    policy,
    schedule,
)

KEEP = Retention(keep_days=30, keep_last=7)
UID = "11111111-2222-4333-8444-555555555555"
USERS = users.DESCRIPTOR.services_by_name["PolicyService"]
SCHEDULERS = schedulers.DESCRIPTOR.services_by_name["TriggerService"]


class Caller:
    """Calls the servicers' methods through a server that is none."""

    def __init__(self, server: Any, logs: FakeLogs) -> None:
        self._server = server
        self.logs = logs

    def __call__(self, request: Message) -> Any:
        """The response; a refusal fails the test."""
        response, code, details = self.outcome(request)
        assert code is grpc.StatusCode.OK, details
        return response

    def outcome(self, request: Message) -> tuple[Any, grpc.StatusCode, str]:
        name = request.DESCRIPTOR.name.removesuffix("Request")
        method: MethodDescriptor = USERS.methods_by_name.get(name) or SCHEDULERS.methods_by_name[name]
        call = self._server.invoke_unary_unary(method, (), request, None)
        response, _, code, details = call.termination()
        return response, code, details


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Caller]:
    compute, logs = FakeCompute(), FakeLogs()  # type: ignore[abstract]
    compute.add(instance_name("web"))
    time = clocks()
    with peers(compute, logs) as client, closing_database(tmp_path) as own:
        deps = dependencies(own, time, client)
        servicers = {USERS: PolicyServicer(deps, REGIONS), SCHEDULERS: TriggerServicer(deps, REGIONS)}
        yield Caller(grpc_testing.server_from_dictionary(servicers, grpc_testing.strict_real_time()), logs)


def test_policy_lives_from_create_to_delete(call: Caller) -> None:
    created = call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    assert (created.name, created.next_execution_time) == (POLICY, to_proto(FIRST))
    assert call(users.GetPolicyRequest(name=POLICY)) == created
    assert list(call(users.ListPoliciesRequest(parent=PLACE)).policies) == [created]
    changed = call(users.UpdatePolicyRequest(policy=Policy(name=POLICY, description="x", etag=created.etag)))
    assert (changed.description, changed.next_execution_time) == ("x", created.next_execution_time)
    assert not call(users.DisablePolicyRequest(name=POLICY)).HasField("next_execution_time")
    assert call(users.EnablePolicyRequest(name=POLICY)).next_execution_time == to_proto(FIRST)
    assert call(users.DeletePolicyRequest(name=POLICY)) == Empty()
    assert call.outcome(users.GetPolicyRequest(name=POLICY))[1] is grpc.StatusCode.NOT_FOUND


def test_schedule_is_previewed_with_and_without_a_policy(call: Caller) -> None:
    call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    stored = call(users.PreviewScheduleRequest(parent=PLACE, policy=POLICY, count=2))
    assert [each.time for each in stored.times] == [to_proto(FIRST), to_proto(FIRST + timedelta(days=1))]
    assert call(users.PreviewScheduleRequest(parent=PLACE, schedule=schedule(), count=2)) == stored


def test_instances_come_and_go(call: Caller) -> None:
    call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    instances = [instance_name("web"), instance_name("gone")]
    linked, refused = call(users.AssociateInstancesRequest(policy=POLICY, instances=instances)).results
    assert (linked.association.instance, linked.HasField("error")) == (instances[0], False)
    assert (refused.HasField("association"), refused.error.code) == (False, grpc.StatusCode.NOT_FOUND.value[0])
    assert list(call(users.ListAssociationsRequest(parent=POLICY)).associations) == [linked.association]
    results = call(users.DisassociateInstancesRequest(policy=POLICY, instances=instances)).results
    assert [result.previous_policy for result in results] == [POLICY, ""]


def test_run_goes_from_trigger_to_acknowledgement(call: Caller) -> None:
    created = call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    call(users.AssociateInstancesRequest(policy=POLICY, instances=[instance_name("web")]))
    run = call(users.ExecutePolicyRequest(name=POLICY, request_id=UID))
    assert (run.run_id, run.trigger_time) == (UID, to_proto(START))
    (trigger,) = call(schedulers.LeaseTriggersRequest(scheduler="s")).triggers
    assert (trigger.run_id, trigger.policy_uid) == (UID, created.uid)
    assert call(schedulers.AckTriggersRequest(trigger_uids=[trigger.uid])) == schedulers.AckTriggersResponse()
    references = [schedulers.AssociationReference(policy_uid=created.uid, association_uid=trigger.associations[0].uid)]
    held = call(schedulers.FilterAssociatedRequest(associations=references))
    assert list(held.association_uids) == [trigger.associations[0].uid]
    call(schedulers.ReportMissingInstancesRequest(associations=references))
    assert list(call(schedulers.FilterAssociatedRequest(associations=references)).association_uids) == []


def test_limit_counts_policies_and_can_be_changed(call: Caller) -> None:
    call(users.CreatePolicyRequest(parent=PLACE, policy=policy()))
    before = call(users.GetPolicyLimitRequest(name=LIMIT))
    assert (before.name, before.limit, before.used) == (LIMIT, 20, 1)
    request = users.UpdatePolicyLimitRequest(policy_limit=PolicyLimit(name=LIMIT, limit=0))
    changed = call(request)
    assert (changed.limit, changed.used) == (0, 1)
    assert call(users.GetPolicyLimitRequest(name=LIMIT)) == changed


def test_retention_is_told_of_a_policy_and_of_what_is_left_of_it(call: Caller) -> None:
    created = call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy(retention=KEEP)))
    request = schedulers.LookUpRetentionsRequest(policy_uids=[UID, created.uid])
    expected = schedulers.PolicyRetention(policy_uid=created.uid, retention=KEEP)
    assert list(call(request).policy_retentions) == [expected]
    call(users.DeletePolicyRequest(name=POLICY))
    expected.deleted = True
    assert list(call(request).policy_retentions) == [expected]


def test_history_is_listed(call: Caller) -> None:
    created = call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    (event,) = call(users.ListScheduleEventsRequest(parent=f"{PLACE}/policies/-")).schedule_events
    assert (event.policy_uid, event.schedule, event.next_execution_time) == (
        created.uid,
        created.schedule,
        created.next_execution_time,
    )


def test_logging_is_disabled_where_its_topic_is_gone(call: Caller) -> None:
    call.logs.add()
    call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy(logging=Logging(log_topic=TOPIC))))
    missing = schedulers.MissingLogTopic(policy=POLICY, log_topic=TOPIC)
    call(schedulers.DisableLoggingRequest(missing_log_topics=[missing]))
    assert call(users.GetPolicyRequest(name=POLICY)).logging.state == Logging.STATE_DISABLED


def test_instances_to_pick_are_listed_with_their_policies(call: Caller) -> None:
    call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    call(users.AssociateInstancesRequest(policy=POLICY, instances=[instance_name("web")]))
    (found,) = call(users.ListAssociableInstancesRequest(parent=PLACE)).associable_instances
    assert (found.instance, found.policy) == (instance_name("web"), POLICY)


def test_policy_is_replicated_where_it_can_be(call: Caller) -> None:
    call(users.CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy()))
    targets = [users.ReplicationTarget(region=region, policy_id="copy") for region in ("cn-south-1", "not-served")]
    south, nowhere = call(users.ReplicatePolicyRequest(name=POLICY, targets=targets)).results
    assert (south.region, south.policy.replicated_from) == ("cn-south-1", POLICY)
    assert (nowhere.region, nowhere.error.code) == ("not-served", grpc.StatusCode.INVALID_ARGUMENT.value[0])


def test_bad_request_is_refused_with_a_code_and_a_message(call: Caller) -> None:
    response, code, details = call.outcome(users.GetPolicyRequest(name="nonsense"))
    assert (response, code) == (None, grpc.StatusCode.INVALID_ARGUMENT)
    assert details.startswith("invalid request: name: ")
