"""The policy service: what is due, which associations still hold, and how long images are kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from autoimage.policy.v1 import trigger_service_pb2 as pb
from autoimage.policy.v1 import trigger_service_pb2_grpc as rpc
from autoimage.type.v1 import missed_pb2, reason_pb2, retention_pb2
from scheduler_service.domain.executions import Kind, Missed, Trigger, TriggeredInstance
from scheduler_service.domain.retention import Retention
from scheduler_service.domain.tasks import Task
from servicekit import names
from servicekit.client import Client
from servicekit.timestamps import from_proto

LEASE_INSTANCES = 5_000
"""How many instances to lease at most in one poll."""


@dataclass(frozen=True, slots=True)
class Leased:
    """Triggers that are ours for a while, and when a policy is due next (None: no policy is enabled)."""

    triggers: Sequence[Trigger]
    next_due_time: datetime | None


@dataclass(frozen=True, slots=True)
class Associated:
    """The uids of associations that hold, and of policies that are deleted."""

    associations: frozenset[str]
    deleted_policies: frozenset[str]


class Policies:
    """Every method raises Unavailable when the policy service does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stub = client.stub(rpc.TriggerServiceStub)

    def lease_triggers(self, scheduler: str) -> Leased:
        request = pb.LeaseTriggersRequest(scheduler=scheduler, max_instances=LEASE_INSTANCES)
        response = self._client.call(self._stub.LeaseTriggers, request)
        due = from_proto(response.next_due_time) if response.HasField("next_due_time") else None
        return Leased([_trigger(trigger) for trigger in response.triggers], due)

    def acknowledge(self, trigger_uids: Collection[str]) -> None:
        self._client.call(self._stub.AckTriggers, pb.AckTriggersRequest(trigger_uids=trigger_uids))

    def filter_associated(self, tasks: Collection[Task]) -> Associated:
        response = self._client.call(
            self._stub.FilterAssociated, pb.FilterAssociatedRequest(associations=_references(tasks))
        )
        return Associated(frozenset(response.association_uids), frozenset(response.deleted_policy_uids))

    def disable_logging(self, topics: Collection[tuple[str, str]]) -> None:
        """Reports log topics that do not exist any more, each with a policy that logs to it; up to 500."""
        missing = [pb.MissingLogTopic(policy=policy, log_topic=topic) for policy, topic in topics]
        self._client.call(self._stub.DisableLogging, pb.DisableLoggingRequest(missing_log_topics=missing))

    def report_missing(self, tasks: Collection[Task]) -> None:
        self._client.call(
            self._stub.ReportMissingInstances, pb.ReportMissingInstancesRequest(associations=_references(tasks))
        )

    def look_up_retentions(self, policy_uids: Collection[str]) -> dict[str, Retention]:
        """How long the images of these policies (at most 500) are kept, as it is now; those of unknown ones are not
        in the answer, and nothing is known of them.
        """
        request = pb.LookUpRetentionsRequest(policy_uids=sorted(policy_uids))
        response = self._client.call(self._stub.LookUpRetentions, request)
        return {found.policy_uid: retention_of(found.retention) for found in response.policy_retentions}


def retention_of(message: retention_pb2.Retention) -> Retention:
    """What is unset keeps for ever."""
    return Retention(message.keep_days, message.keep_last, message.may_delete_newest)


def _references(tasks: Collection[Task]) -> list[pb.AssociationReference]:
    return [pb.AssociationReference(policy_uid=task.policy_uid, association_uid=task.association_uid) for task in tasks]


def _trigger(trigger: pb.Trigger) -> Trigger:
    place = names.POLICY.parse(trigger.policy)
    return Trigger(
        uid=trigger.uid,
        kind=Kind(pb.Trigger.Kind.Name(trigger.kind).removeprefix("KIND_")),
        account=place["account"],
        region=place["region"],
        policy_id=place["policy"],
        policy_uid=trigger.policy_uid,
        devices=tuple(trigger.disks.devices),
        log_topic=trigger.log_topic,
        scheduled_time=from_proto(trigger.scheduled_time) if trigger.HasField("scheduled_time") else None,
        run_id=trigger.run_id,
        trigger_time=from_proto(trigger.trigger_time),
        instances=tuple(TriggeredInstance(item.instance, item.uid) for item in trigger.associations),
        missed=_missed(trigger.missed) if trigger.HasField("missed") else None,
        spread=trigger.spread.ToTimedelta(),
        retention=retention_of(trigger.retention),
    )


def _missed(missed: missed_pb2.MissedPoints) -> Missed:
    reason = reason_pb2.Reason.Name(missed.reason).removeprefix("REASON_")
    return Missed(from_proto(missed.first_time), from_proto(missed.last_time), missed.count, reason)
