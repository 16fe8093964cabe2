"""Associations, and instances that may have one."""

from autoimage.policy.v1 import policy_pb2, policy_service_pb2
from policy_service.commands.list_associable_instances import Associable
from policy_service.domain import association as associations
from policy_service.domain.policy import Place, PolicyKey
from servicekit.errors import ServiceError
from servicekit.names import ASSOCIATION
from servicekit.status import to_status
from servicekit.timestamps import to_proto


def association(association: associations.Association) -> policy_pb2.Association:
    key = association.policy
    return policy_pb2.Association(
        name=ASSOCIATION.format(
            account=key.account, region=key.region, policy=key.policy_id, instance=association.instance_id
        ),
        uid=association.uid,
        instance=association.instance,
        create_time=to_proto(association.create_time),
    )


def instance_filter(filter: policy_service_pb2.AssociableInstanceFilter) -> associations.InstanceFilter:
    return associations.InstanceFilter(filter.instance_id, filter.display_name)


def associable_instance(place: Place, found: Associable) -> policy_service_pb2.AssociableInstance:
    return policy_service_pb2.AssociableInstance(
        instance=associations.instance_name(place, found.instance.instance_id),
        display_name=found.instance.display_name,
        policy=found.policy.name if found.policy else "",
    )


def associate_result(
    instance: str, outcome: associations.Linked | ServiceError
) -> policy_service_pb2.AssociateInstanceResult:
    if isinstance(outcome, ServiceError):
        return policy_service_pb2.AssociateInstanceResult(instance=instance, error=to_status(outcome))
    return policy_service_pb2.AssociateInstanceResult(
        instance=instance,
        association=association(outcome.association),
        previous_policy=outcome.previous.name if outcome.previous else "",
    )


def disassociate_result(
    instance: str, outcome: PolicyKey | ServiceError | None
) -> policy_service_pb2.DisassociateInstanceResult:
    if isinstance(outcome, ServiceError):
        return policy_service_pb2.DisassociateInstanceResult(instance=instance, error=to_status(outcome))
    return policy_service_pb2.DisassociateInstanceResult(
        instance=instance, previous_policy=outcome.name if outcome else ""
    )
