"""The adapter to the policy service, against a server that speaks the real contract and answers as told."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from autoimage.policy.v1 import policy_pb2, trigger_service_pb2
from autoimage.type.v1 import missed_pb2, reason_pb2, retention_pb2
from scheduler_service.domain.executions import Kind, Missed, Trigger, TriggeredInstance
from scheduler_service.domain.retention import KEEP_FOREVER, Retention
from scheduler_service.peers.policies import Associated, Leased, Policies
from servicekit.timestamps import to_proto
from tests.support import START
from tests.support.scheduler_peers import Peer
from tests.support.scheduler_values import PLACE, TOPIC, a_task, an_execution, association, instance_name, uid

SECOND = timedelta(seconds=1)
POLICY = f"{PLACE}/policies/daily"
LATEST = START + timedelta(seconds=30, microseconds=1)


@pytest.mark.rule("D2")
def test_a_leased_trigger_comes_whole(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.LeaseTriggersResponse(
        triggers=[
            trigger_service_pb2.Trigger(
                uid=uid("trigger"),
                kind=trigger_service_pb2.Trigger.KIND_CATCH_UP,
                policy=POLICY,
                policy_uid=uid("daily"),
                policy_display_name="Daily",
                disks=policy_pb2.DiskSelection(devices=["vdb", "vdc"]),
                log_topic=TOPIC,
                associations=[
                    trigger_service_pb2.TriggeredAssociation(uid=association(id), instance=instance_name(id))
                    for id in ("i-1", "i-2")
                ],
                scheduled_time=to_proto(START),
                trigger_time=to_proto(START + SECOND),
                missed=missed_pb2.MissedPoints(
                    first_time=to_proto(START - 3 * SECOND),
                    last_time=to_proto(START - SECOND),
                    count=3,
                    reason=reason_pb2.REASON_NOT_TAKEN_UP,
                ),
                lease_expire_time=to_proto(LATEST),
                lease_count=2,
                spread=Duration(seconds=1800),
                retention=retention_pb2.Retention(keep_days=7, keep_last=2, may_delete_newest=True),
            )
        ],
        next_due_time=to_proto(START + timedelta(hours=1)),
    )
    expected = Trigger(
        uid=uid("trigger"),
        kind=Kind.CATCH_UP,
        account="acme",
        region="cn-north-1",
        policy_id="daily",
        policy_uid=uid("daily"),
        devices=("vdb", "vdc"),
        log_topic=TOPIC,
        scheduled_time=START,
        run_id="",
        trigger_time=START + SECOND,
        instances=tuple(TriggeredInstance(instance_name(id), association(id)) for id in ("i-1", "i-2")),
        missed=Missed(START - 3 * SECOND, START - SECOND, 3, "NOT_TAKEN_UP"),
        spread=timedelta(minutes=30),
        retention=Retention(7, 2, may_delete_newest=True),
    )
    assert policies.lease_triggers("host/1") == Leased([expected], START + timedelta(hours=1))
    assert peer.requests == [trigger_service_pb2.LeaseTriggersRequest(scheduler="host/1", max_instances=5000)]


def test_what_a_trigger_lacks_is_empty(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.LeaseTriggersResponse(
        triggers=[
            trigger_service_pb2.Trigger(
                uid=uid("run"),
                kind=trigger_service_pb2.Trigger.KIND_RUN_NOW,
                policy=POLICY,
                policy_uid=uid("daily"),
                disks=policy_pb2.DiskSelection(all=True),
                scheduled_time=to_proto(START),
                run_id=uid("run id"),
                trigger_time=to_proto(START),
            ),
            trigger_service_pb2.Trigger(
                uid=uid("missed"),
                kind=trigger_service_pb2.Trigger.KIND_MISSED,
                policy=POLICY,
                policy_uid=uid("daily"),
                trigger_time=to_proto(START),
                missed=missed_pb2.MissedPoints(
                    first_time=to_proto(START),
                    last_time=to_proto(START),
                    count=1,
                    reason=reason_pb2.REASON_POISONED,
                ),
            ),
        ]
    )
    leased = policies.lease_triggers("host/1")
    run, missed = leased.triggers
    assert leased.next_due_time is None
    assert (run.kind, run.run_id, run.devices, run.instances, run.missed) == (
        Kind.RUN_NOW,
        uid("run id"),
        (),
        (),
        None,
    )
    assert (missed.kind, missed.scheduled_time, missed.log_topic) == (Kind.MISSED, None, "")
    assert missed.missed == Missed(START, START, 1, "POISONED")
    assert run.retention == missed.retention == KEEP_FOREVER


@pytest.mark.rule("D3")
def test_triggers_are_acknowledged_by_uid(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.AckTriggersResponse()
    policies.acknowledge([uid(1), uid(2)])
    assert peer.requests == [trigger_service_pb2.AckTriggersRequest(trigger_uids=[uid(1), uid(2)])]


@pytest.mark.rule("X6", "A9")
def test_associations_are_asked_after_and_reported_with_their_policies(peer: Peer, policies: Policies) -> None:
    tasks = [a_task("i-1"), a_task("i-2", an_execution("weekly"))]
    references = [
        trigger_service_pb2.AssociationReference(policy_uid=uid("daily"), association_uid=association("i-1")),
        trigger_service_pb2.AssociationReference(
            policy_uid=uid("weekly"), association_uid=association("i-2", "weekly")
        ),
    ]
    peer.answer = trigger_service_pb2.FilterAssociatedResponse(
        association_uids=[association("i-1")], deleted_policy_uids=[uid("weekly")]
    )
    assert policies.filter_associated(tasks) == Associated(frozenset({association("i-1")}), frozenset({uid("weekly")}))
    peer.answer = trigger_service_pb2.ReportMissingInstancesResponse()
    policies.report_missing(tasks)
    assert peer.requests == [
        trigger_service_pb2.FilterAssociatedRequest(associations=references),
        trigger_service_pb2.ReportMissingInstancesRequest(associations=references),
    ]


@pytest.mark.rule("L4")
def test_topics_that_are_gone_are_reported_with_their_policies(peer: Peer, policies: Policies) -> None:
    peer.answer = trigger_service_pb2.DisableLoggingResponse()
    policies.disable_logging([(POLICY, TOPIC)])
    assert peer.requests == [
        trigger_service_pb2.DisableLoggingRequest(
            missing_log_topics=[trigger_service_pb2.MissingLogTopic(policy=POLICY, log_topic=TOPIC)]
        )
    ]


@pytest.mark.rule("X9")
def test_retentions_are_looked_up_and_those_of_unknown_policies_are_left_out(peer: Peer, policies: Policies) -> None:
    daily, weekly, unknown = sorted([uid("daily"), uid("weekly"), uid("unknown")])
    response = trigger_service_pb2.LookUpRetentionsResponse()
    response.policy_retentions.add(policy_uid=weekly, deleted=True)
    response.policy_retentions.add(policy_uid=daily, retention=retention_pb2.Retention(keep_last=3))
    peer.answer = response
    found = policies.look_up_retentions({unknown, weekly, daily})
    assert found == {weekly: KEEP_FOREVER, daily: Retention(keep_last=3)}
    assert peer.requests == [trigger_service_pb2.LookUpRetentionsRequest(policy_uids=[daily, weekly, unknown])]
