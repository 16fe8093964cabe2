"""PolicyService, for users."""

from collections.abc import Callable, Iterable
from functools import partial

import grpc
from google.protobuf.empty_pb2 import Empty

from autoimage.policy.v1 import policy_service_pb2_grpc
from autoimage.policy.v1.policy_pb2 import Policy, PolicyLimit
from autoimage.policy.v1.policy_service_pb2 import (
    AssociateInstancesRequest,
    AssociateInstancesResponse,
    CreatePolicyRequest,
    DeletePolicyRequest,
    DisablePolicyRequest,
    DisassociateInstancesRequest,
    DisassociateInstancesResponse,
    EnablePolicyRequest,
    ExecutePolicyRequest,
    ExecutePolicyResponse,
    GetPolicyLimitRequest,
    GetPolicyRequest,
    ListAssociableInstancesRequest,
    ListAssociableInstancesResponse,
    ListAssociationsRequest,
    ListAssociationsResponse,
    ListPoliciesRequest,
    ListPoliciesResponse,
    ListScheduleEventsRequest,
    ListScheduleEventsResponse,
    PreviewScheduleRequest,
    PreviewScheduleResponse,
    ReplicatePolicyRequest,
    ReplicatePolicyResponse,
    ReplicationResult,
    ReplicationTarget,
    UpdatePolicyLimitRequest,
    UpdatePolicyRequest,
)
from policy_service import convert, validation
from policy_service.commands.associate_instances import associate_instances
from policy_service.commands.create_policy import create_policy
from policy_service.commands.delete_policy import delete_policy
from policy_service.commands.disable_policy import disable_policy
from policy_service.commands.disassociate_instances import disassociate_instances
from policy_service.commands.enable_policy import enable_policy
from policy_service.commands.execute_policy import execute_policy
from policy_service.commands.get_policy import get_policy
from policy_service.commands.list_associable_instances import list_associable_instances
from policy_service.commands.list_associations import list_associations
from policy_service.commands.list_policies import list_policies
from policy_service.commands.list_schedule_events import list_schedule_events
from policy_service.commands.policy_limits import get_policy_limit, update_policy_limit
from policy_service.commands.policy_warnings import warnings_of
from policy_service.commands.preview_schedule import preview_policy, preview_schedule
from policy_service.commands.replicate_policy import replicate_policy
from policy_service.commands.update_policy import update_policy
from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Place
from policy_service.domain.policy import Policy as StoredPolicy
from servicekit.errors import InvalidArgument, ServiceError
from servicekit.idempotency import Idempotency
from servicekit.paging import next_token, parse_page
from servicekit.rpc import invalid, rpc, violations
from servicekit.status import to_status
from servicekit.timestamps import to_micros, to_proto

_DEFAULT_PREVIEW = 10


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """`admit` raises for accounts that may change nothing; None: all may."""

    def __init__(self, deps: Dependencies, regions: frozenset[str], admit: Callable[[str], None] | None = None) -> None:
        self._deps = deps
        self.regions = regions
        self.admit = admit

    def _answer(self, policy: StoredPolicy) -> Policy:
        return convert.policies.policy(policy, warnings_of(self._deps, [policy])[policy.uid])

    @rpc(validation.policies.create_policy)
    def CreatePolicy(self, request: CreatePolicyRequest, context: grpc.ServicerContext) -> Policy:
        policy = create_policy(
            self._deps,
            convert.names.place(request.parent),
            request.policy_id,
            convert.policies.policy_spec(request.policy),
            enabled=convert.policies.enabled(request.policy),
            asked=Idempotency.of(request),
        )
        return self._answer(policy)

    @rpc(validation.policies.policy_name)
    def GetPolicy(self, request: GetPolicyRequest, context: grpc.ServicerContext) -> Policy:
        return self._answer(get_policy(self._deps, convert.names.policy_key(request.name)))

    @rpc(validation.policies.list_policies)
    def ListPolicies(self, request: ListPoliciesRequest, context: grpc.ServicerContext) -> ListPoliciesResponse:
        query = convert.pages.query(request.parent, request.filter)
        page = parse_page(request.page_size, request.page_token, query)
        filter = convert.policies.policy_filter(request.filter)
        policies, more = list_policies(self._deps, convert.names.place(request.parent), filter, page)
        warnings = warnings_of(self._deps, policies)
        return ListPoliciesResponse(
            policies=[convert.policies.policy(policy, warnings[policy.uid]) for policy in policies],
            next_page_token=next_token((policies[-1].key.policy_id,), query) if more else "",
        )

    @rpc(validation.policies.update_policy)
    def UpdatePolicy(self, request: UpdatePolicyRequest, context: grpc.ServicerContext) -> Policy:
        policy = update_policy(
            self._deps,
            convert.names.policy_key(request.policy.name),
            request.policy.etag,
            lambda spec: validation.policies.updated_spec(spec, request),
        )
        return self._answer(policy)

    @rpc(validation.policies.policy_name)
    def DeletePolicy(self, request: DeletePolicyRequest, context: grpc.ServicerContext) -> Empty:
        delete_policy(self._deps, convert.names.policy_key(request.name), request.etag)
        return Empty()

    @rpc(validation.policies.policy_name)
    def EnablePolicy(self, request: EnablePolicyRequest, context: grpc.ServicerContext) -> Policy:
        return self._answer(enable_policy(self._deps, convert.names.policy_key(request.name), request.etag))

    @rpc(validation.policies.policy_name)
    def DisablePolicy(self, request: DisablePolicyRequest, context: grpc.ServicerContext) -> Policy:
        return self._answer(disable_policy(self._deps, convert.names.policy_key(request.name), request.etag))

    @rpc(validation.policies.replicate_policy, per_item="targets")
    def ReplicatePolicy(
        self, request: ReplicatePolicyRequest, context: grpc.ServicerContext
    ) -> ReplicatePolicyResponse:
        policy = convert.names.policy_key(request.name)
        malformed = self._malformed_targets(policy.account, request.targets)
        wanted = [target for index, target in enumerate(request.targets) if index not in malformed]
        targets = [convert.policies.replication_target(target) for target in wanted]
        outcomes = replicate_policy(self._deps, policy, targets, Idempotency.of(request))
        return ReplicatePolicyResponse(
            results=[
                self._replicated(target.region, malformed.get(index) or outcomes[target.region])
                for index, target in enumerate(request.targets)
            ]
        )

    def _malformed_targets(self, account: str, targets: Iterable[ReplicationTarget]) -> dict[int, InvalidArgument]:
        """What is wrong with those targets that are not well-formed, by their index."""
        validator = partial(validation.policies.replication_target, account=account, served=self.regions)
        malformed = {}
        for index, target in enumerate(targets):
            path = f"targets[{index}]."
            found = violations(target, validator, regions=self.regions, create=False, path=path)
            if found:
                malformed[index] = invalid(found, self.regions)
        return malformed

    def _replicated(self, region: str, outcome: StoredPolicy | ServiceError) -> ReplicationResult:
        if isinstance(outcome, ServiceError):
            return ReplicationResult(region=region, error=to_status(outcome))
        return ReplicationResult(region=region, policy=self._answer(outcome))

    @rpc(validation.policies.execute_policy)
    def ExecutePolicy(self, request: ExecutePolicyRequest, context: grpc.ServicerContext) -> ExecutePolicyResponse:
        run = execute_policy(self._deps, convert.names.policy_key(request.name), Idempotency.of(request))
        return ExecutePolicyResponse(run_id=run.run_id, trigger_time=to_proto(run.trigger_time))

    @rpc(validation.associations.associate_instances, per_item="instances")
    def AssociateInstances(
        self, request: AssociateInstancesRequest, context: grpc.ServicerContext
    ) -> AssociateInstancesResponse:
        policy = convert.names.policy_key(request.policy)
        malformed = _malformed(policy.place, request.instances)
        wanted = [convert.names.instance_id(name) for name in request.instances if name not in malformed]
        outcomes = associate_instances(self._deps, policy, wanted, Idempotency.of(request, scope=request.policy))
        return AssociateInstancesResponse(
            results=[
                convert.associations.associate_result(
                    name, malformed.get(name) or outcomes[convert.names.instance_id(name)]
                )
                for name in request.instances
            ]
        )

    @rpc(validation.associations.disassociate_instances, per_item="instances")
    def DisassociateInstances(
        self, request: DisassociateInstancesRequest, context: grpc.ServicerContext
    ) -> DisassociateInstancesResponse:
        place, policy_id = convert.names.place_and_policy(request.policy)
        malformed = _malformed(place, request.instances)
        wanted = [convert.names.instance_id(name) for name in request.instances if name not in malformed]
        previous = disassociate_instances(self._deps, place, policy_id, wanted)
        return DisassociateInstancesResponse(
            results=[
                convert.associations.disassociate_result(
                    name, malformed.get(name) or previous.get(convert.names.instance_id(name))
                )
                for name in request.instances
            ]
        )

    @rpc(validation.associations.list_associations)
    def ListAssociations(
        self, request: ListAssociationsRequest, context: grpc.ServicerContext
    ) -> ListAssociationsResponse:
        query = convert.pages.query(request.parent)
        page = parse_page(request.page_size, request.page_token, query)
        associations, more = list_associations(self._deps, convert.names.policy_key(request.parent), page)
        return ListAssociationsResponse(
            associations=map(convert.associations.association, associations),
            next_page_token=next_token((associations[-1].instance_id,), query) if more else "",
        )

    @rpc(validation.associations.list_associable_instances)
    def ListAssociableInstances(
        self, request: ListAssociableInstancesRequest, context: grpc.ServicerContext
    ) -> ListAssociableInstancesResponse:
        query = convert.pages.query(request.parent, request.filter)
        page = parse_page(request.page_size, request.page_token, query)
        place = convert.names.place(request.parent)
        filter = convert.associations.instance_filter(request.filter)
        found, token = list_associable_instances(self._deps, place, filter, page)
        return ListAssociableInstancesResponse(
            associable_instances=[convert.associations.associable_instance(place, each) for each in found],
            next_page_token=next_token((token,), query) if token else "",
        )

    @rpc(validation.schedules.list_schedule_events)
    def ListScheduleEvents(
        self, request: ListScheduleEventsRequest, context: grpc.ServicerContext
    ) -> ListScheduleEventsResponse:
        query = convert.pages.query(request.parent, request.filter)
        page = parse_page(request.page_size, request.page_token, query)
        place, policy_id = convert.names.place_and_policy(request.parent)
        filter = convert.schedules.ledger_filter(request.filter)
        entries, more = list_schedule_events(self._deps, place, policy_id, filter, page)
        last = (to_micros(entries[-1][1].time), entries[-1][0]) if more else ()
        return ListScheduleEventsResponse(
            schedule_events=[convert.schedules.schedule_event(entry) for _, entry in entries],
            next_page_token=next_token(last, query) if more else "",
        )

    @rpc(validation.policies.get_policy_limit)
    def GetPolicyLimit(self, request: GetPolicyLimitRequest, context: grpc.ServicerContext) -> PolicyLimit:
        return convert.policies.policy_limit(get_policy_limit(self._deps, convert.names.place_of_limit(request.name)))

    @rpc(validation.policies.update_policy_limit)
    def UpdatePolicyLimit(self, request: UpdatePolicyLimitRequest, context: grpc.ServicerContext) -> PolicyLimit:
        place = convert.names.place_of_limit(request.policy_limit.name)
        return convert.policies.policy_limit(update_policy_limit(self._deps, place, request.policy_limit.limit))

    @rpc(validation.schedules.preview_schedule)
    def PreviewSchedule(
        self, request: PreviewScheduleRequest, context: grpc.ServicerContext
    ) -> PreviewScheduleResponse:
        schedule = convert.schedules.schedule(request.schedule) if request.HasField("schedule") else None
        count = request.count or _DEFAULT_PREVIEW
        if request.policy:
            times = preview_policy(self._deps, convert.names.policy_key(request.policy), schedule, count)
        else:
            assert schedule is not None, "validation asks for one of the two"
            times = preview_schedule(self._deps, schedule, count)
        return convert.schedules.preview_response(times)


def _malformed(place: Place, instances: Iterable[str]) -> dict[str, InvalidArgument]:
    """What is wrong with the names of a batch that are none of an instance of the place (A1, A6)."""
    check = partial(validation.associations.instance_of, place)
    checked = {name: check(f"instances[{index}]", name) for index, name in enumerate(instances)}
    return {name: error for name, error in checked.items() if error is not None}
