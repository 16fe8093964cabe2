"""TriggerService, for schedulers."""

import grpc

from autoimage.policy.v1 import trigger_service_pb2_grpc
from autoimage.policy.v1.trigger_service_pb2 import (
    AckTriggersRequest,
    AckTriggersResponse,
    DisableLoggingRequest,
    DisableLoggingResponse,
    FilterAssociatedRequest,
    FilterAssociatedResponse,
    LeaseTriggersRequest,
    LeaseTriggersResponse,
    LookUpRetentionsRequest,
    LookUpRetentionsResponse,
    ReportMissingInstancesRequest,
    ReportMissingInstancesResponse,
)
from policy_service import convert, validation
from policy_service.commands.ack_triggers import ack_triggers
from policy_service.commands.disable_logging import disable_logging
from policy_service.commands.dissolve_associations import dissolve_associations
from policy_service.commands.filter_associated import filter_associated
from policy_service.commands.lease_triggers import lease_triggers
from policy_service.commands.look_up_retentions import look_up_retentions
from policy_service.dependencies import Dependencies
from servicekit.rpc import rpc

_MAX_INSTANCES = 5000
"""Instances of the triggers leased at once: the default, and the most."""


class TriggerServicer(trigger_service_pb2_grpc.TriggerServiceServicer):
    def __init__(self, deps: Dependencies, regions: frozenset[str]) -> None:
        self._deps = deps
        self.regions = regions

    @rpc(validation.triggers.lease_triggers, audit=False)
    def LeaseTriggers(self, request: LeaseTriggersRequest, context: grpc.ServicerContext) -> LeaseTriggersResponse:
        most = min(request.max_instances or _MAX_INSTANCES, _MAX_INSTANCES)
        return convert.triggers.lease_response(lease_triggers(self._deps, request.scheduler, most))

    @rpc(validation.triggers.ack_triggers, audit=False)
    def AckTriggers(self, request: AckTriggersRequest, context: grpc.ServicerContext) -> AckTriggersResponse:
        ack_triggers(self._deps, request.trigger_uids)
        return AckTriggersResponse()

    @rpc(validation.triggers.references, audit=False)
    def FilterAssociated(
        self, request: FilterAssociatedRequest, context: grpc.ServicerContext
    ) -> FilterAssociatedResponse:
        held = filter_associated(self._deps, convert.triggers.references(request.associations))
        return FilterAssociatedResponse(
            association_uids=held.association_uids, deleted_policy_uids=held.deleted_policy_uids
        )

    @rpc(validation.triggers.references)
    def ReportMissingInstances(
        self, request: ReportMissingInstancesRequest, context: grpc.ServicerContext
    ) -> ReportMissingInstancesResponse:
        reported = convert.triggers.references(request.associations)
        dissolve_associations(self._deps, {one.association_uid: one.policy_uid for one in reported})
        return ReportMissingInstancesResponse()

    @rpc(validation.triggers.look_up_retentions, audit=False)
    def LookUpRetentions(
        self, request: LookUpRetentionsRequest, context: grpc.ServicerContext
    ) -> LookUpRetentionsResponse:
        found = look_up_retentions(self._deps, request.policy_uids)
        return LookUpRetentionsResponse(policy_retentions=map(convert.triggers.policy_retention, found))

    @rpc(validation.triggers.disable_logging)
    def DisableLogging(self, request: DisableLoggingRequest, context: grpc.ServicerContext) -> DisableLoggingResponse:
        disable_logging(self._deps, convert.triggers.missing_log_topics(request.missing_log_topics))
        return DisableLoggingResponse()
