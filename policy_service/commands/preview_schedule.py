"""Tells when a policy would trigger."""

from dataclasses import replace

from policy_service.dependencies import Dependencies
from policy_service.domain import preview
from policy_service.domain.editing import edit
from policy_service.domain.policy import PolicyKey, check_start_time, enable
from policy_service.domain.preview import PreviewedTime
from policy_service.domain.schedule import Schedule
from policy_service.domain.triggers import due_points, take_up
from policy_service.store import policies

_START_TIME = "schedule.start_time"


def preview_schedule(deps: Dependencies, schedule: Schedule, count: int) -> list[PreviewedTime]:
    """The first times of a policy that would be created with this schedule. Raises StartTimeOutOfRange."""
    check_start_time(schedule.start_time, deps.clocks.product.now(), _START_TIME)
    return preview.of_schedule(schedule, count)


def preview_policy(deps: Dependencies, key: PolicyKey, schedule: Schedule | None, count: int) -> list[PreviewedTime]:
    """The next times of a policy: as it is or, with a schedule, as an update would leave it.

    What is due is left out: it is settled by then. A disabled policy is enabled for it.
    Raises PolicyNotFound, StartTimeOutOfRange, ExecutionsTooClose, ScheduleExhausted.
    """
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        policy = policies.get(connection, key)
    was_enabled = policy.enabled
    if due_points(policy, now) is not None:
        policy, _ = take_up(policy, "", (), now)
    if schedule is not None:
        policy = edit(policy, replace(policy.spec, schedule=schedule), now, start_field=_START_TIME)
    return preview.of_policy(policy if was_enabled else enable(policy, now), count)
