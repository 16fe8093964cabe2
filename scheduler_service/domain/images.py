"""What an automatic image is called and marked with (X8)."""

from scheduler_service.domain.executions import Execution


def display_name(instance_id: str, execution: Execution) -> str:
    """`auto-{instance}-{YYYYMMDDhhmm}`, the scheduled time in UTC."""
    return f"auto-{instance_id}-{execution.scheduled_time:%Y%m%d%H%M}"


def labels(execution: Execution) -> dict[str, str]:
    """The policy, the execution and the scheduled time, for people and reports; nothing in the suite goes by them."""
    return {
        "policy": execution.policy,
        "execution": execution.name,
        "scheduled-time": execution.scheduled_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
