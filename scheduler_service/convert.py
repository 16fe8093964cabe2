"""Domain values as the contract tells them."""

from collections.abc import Sequence
from datetime import datetime

from autoimage.scheduler.v1 import execution_pb2 as pb
from autoimage.scheduler.v1 import execution_service_pb2
from autoimage.type.v1 import disks_pb2, missed_pb2, reason_pb2
from scheduler_service.domain.executions import Execution, Missed, TaskCounts
from scheduler_service.domain.replicas import Replica
from scheduler_service.domain.tasks import Task
from scheduler_service.plans import Planned
from scheduler_service.queries import SchedulerStatus
from servicekit import zones
from servicekit.names import REGION
from servicekit.timestamps import to_proto, to_proto_or_none


def execution(value: Execution) -> pb.Execution:
    return pb.Execution(
        name=value.name,
        policy_uid=value.policy_uid,
        kind=pb.Execution.Kind.Value(f"KIND_{value.kind.value}"),
        state=pb.Execution.State.Value(f"STATE_{value.state.value}"),
        scheduled_time=to_proto(value.scheduled_time),
        run_id=value.run_id,
        trigger_time=to_proto(value.trigger_time),
        start_time=to_proto(value.start_time),
        end_time=to_proto_or_none(value.end_time),
        task_counts=_counts(value.counts),
        missed=_missed(value.missed) if value.missed else None,
        log_topic=value.log_topic,
    )


def image_task(execution: Execution, task: Task) -> pb.ImageTask:
    return pb.ImageTask(
        name=f"{execution.name}/imageTasks/{task.instance_id}",
        instance=task.instance,
        state=pb.ImageTask.State.Value(f"STATE_{task.state.value}"),
        reason=_reason(task.reason),
        image=task.image,
        included_disks=task.included,
        left_out_disks=[
            disks_pb2.LeftOutDisk(device_name=disk.device, reason=_reason(disk.reason)) for disk in task.left_out
        ],
        request_id=task.request_id,
        attempt_count=task.attempt_count,
        create_time=to_proto(task.create_time),
        build_start_time=to_proto_or_none(task.build_start_time),
        end_time=to_proto_or_none(task.end_time),
        late_image_time=to_proto_or_none(task.late_image_time),
        planned_start_time=to_proto(task.planned_start_time),
        image_delete_time=to_proto_or_none(task.image_delete_time),
    )


def scheduler_status(value: SchedulerStatus) -> execution_service_pb2.SchedulerStatus:
    status = execution_service_pb2.SchedulerStatus(
        product_time=to_proto(value.product_time),
        next_due_time=to_proto_or_none(value.next_due_time),
        last_poll_time=to_proto_or_none(value.last_poll_time),
        running_executions=value.running_executions,
        pending_tasks=value.pending_tasks,
        building_tasks=value.building_tasks,
        oldest_pending_time=to_proto_or_none(value.oldest_pending_time),
        undelivered_log_entries=value.undelivered_log_entries,
        dropped_log_entries=value.dropped_log_entries,
        time_zone_data_version=zones.VERSION,
        replicas=[_replica(replica) for replica in value.replicas],
        paused_regions=[region_status(region, since) for region, since in value.paused_regions.items()],
    )
    if value.lateness is not None:
        status.lateness.FromTimedelta(value.lateness)
    return status


def _replica(value: Replica) -> execution_service_pb2.SchedulerReplica:
    return execution_service_pb2.SchedulerReplica(
        name=value.name, last_seen_time=to_proto(value.last_seen), version=value.version
    )


def region_status(region: str, paused_since: datetime | None) -> execution_service_pb2.RegionStatus:
    """None: the region is not paused."""
    return execution_service_pb2.RegionStatus(
        name=REGION.format(region=region),
        paused=paused_since is not None,
        pause_time=to_proto_or_none(paused_since),
    )


def watch_response(executions: Sequence[Execution], resume_token: str) -> execution_service_pb2.WatchExecutionsResponse:
    return execution_service_pb2.WatchExecutionsResponse(
        executions=map(execution, executions), resume_token=resume_token
    )


def retention_verdict(planned: Planned) -> execution_service_pb2.RetentionVerdict:
    image = planned.image
    return execution_service_pb2.RetentionVerdict(
        image=image.name,
        source_instance=image.instance,
        scheduled_time=to_proto(image.scheduled_time),
        verdict=execution_service_pb2.RetentionVerdict.Verdict.Value(f"VERDICT_{planned.verdict.value}"),
        expire_time=to_proto_or_none(planned.expire_time),
    )


def _counts(counts: TaskCounts) -> pb.TaskCounts:
    return pb.TaskCounts(
        total=counts.total,
        open=counts.open,
        succeeded=counts.succeeded,
        failed=counts.failed,
        skipped=counts.skipped,
        cancelled=counts.cancelled,
    )


def _missed(missed: Missed) -> missed_pb2.MissedPoints:
    return missed_pb2.MissedPoints(
        first_time=to_proto(missed.first),
        last_time=to_proto(missed.last),
        count=missed.count,
        reason=_reason(missed.reason),
    )


def _reason(reason: str) -> reason_pb2.Reason.ValueType:
    return reason_pb2.Reason.Value(f"REASON_{reason}") if reason else reason_pb2.REASON_UNSPECIFIED
