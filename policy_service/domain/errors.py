"""What this service refuses beyond what every service does."""

from datetime import datetime

from servicekit.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
)


class StartTimeOutOfRange(InvalidArgument):
    """The start time, in this field of the request, is too near or too far."""

    def __init__(self, field: str, earliest: datetime, latest: datetime) -> None:
        first, last = _rfc3339(earliest), _rfc3339(latest)
        violation = FieldViolation(field, f"must be from {first} to {last}", "START_TIME_OUT_OF_RANGE")
        super().__init__([violation], metadata={"earliest": first, "latest": last})


class NotInvited(PermissionDenied):
    """While the product is by invitation only, other accounts change nothing (P17)."""

    reason = "NOT_INVITED"

    def __init__(self, account: str, contact: str) -> None:
        message = f"account {account} is not invited to use automatic image policies; to apply, {contact}"
        super().__init__(message, metadata={"account": account, "contact": contact})


class ExecutionsTooClose(FailedPrecondition):
    """Two scheduled times of a policy are at least 12 hours apart."""

    def __init__(self, policy: str, earliest: datetime) -> None:
        first = _rfc3339(earliest)
        super().__init__(
            "EXECUTIONS_TOO_CLOSE",
            f"policy {policy} would be executed less than 12 hours after the time before; the earliest time is {first}",
            subject=policy,
            metadata={"policy": policy, "earliest": first},
        )


class ScheduleExhausted(FailedPrecondition):
    """There is no point left that a date can express."""

    def __init__(self, policy: str) -> None:
        message = f"the schedule of policy {policy} has no time left before the year 10000"
        super().__init__("SCHEDULE_EXHAUSTED", message, subject=policy, metadata={"policy": policy})


class PolicyNotFound(NotFound):
    """There is no policy of this name."""

    def __init__(self, name: str) -> None:
        super().__init__("policy", name)


class PolicyLimitReached(QuotaExceeded):
    """The account has as many policies in the region as it may have."""

    def __init__(self, name: str, *, limit: int, used: int) -> None:
        super().__init__(
            "POLICY_LIMIT",
            f"{limit} policies are allowed, {used} exist",
            subject=name,
            metadata={"limit": str(limit), "used": str(used)},
        )


class LogTopicNotFound(FailedPrecondition):
    """The log topic does not exist."""

    def __init__(self, topic: str) -> None:
        message = f"log topic {topic} does not exist"
        super().__init__("LOG_TOPIC_NOT_FOUND", message, subject=topic, metadata={"log_topic": topic})


class LogTopicUnsuitable(FailedPrecondition):
    """The log topic is for other entries."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            "LOG_TOPIC_UNSUITABLE",
            f"log topic {topic} must have log source Cloud Product, product Automatic Task Policy and log type "
            "Automatic Image Policy Execution Log",
            subject=topic,
            metadata={"log_topic": topic},
        )


class PolicyDisabled(FailedPrecondition):
    """A disabled policy does not run."""

    def __init__(self, policy: str) -> None:
        message = f"policy {policy} is disabled; enable it first"
        super().__init__("POLICY_DISABLED", message, subject=policy, metadata={"policy": policy})


class RunNowPending(FailedPrecondition):
    """One run-now at a time."""

    def __init__(self, policy: str) -> None:
        message = f"an earlier run-now of policy {policy} is not taken up yet; try again later"
        super().__init__("RUN_NOW_PENDING", message, subject=policy, metadata={"policy": policy})


class InstanceElsewhere(InvalidArgument):
    """Policies reach the instances of their own account and region only."""

    def __init__(self, field: str, place: str) -> None:
        super().__init__([FieldViolation(field, f"must be an instance of {place}", "INSTANCE_ELSEWHERE")])


class InstanceNotFound(NotFound):
    """Compute does not know the instance."""

    reason = "INSTANCE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("instance", name)


class LocalSystemDisk(FailedPrecondition):
    """No image can be made of an instance with a local system disk."""

    def __init__(self, instance: str) -> None:
        message = f"the system disk of instance {instance} is local, so no image can be made of it"
        super().__init__("LOCAL_SYSTEM_DISK", message, subject=instance, metadata={"instance": instance})


class AssociationLimit(QuotaExceeded):
    """The policy is full."""

    def __init__(self, policy: str, limit: int) -> None:
        super().__init__(
            "ASSOCIATION_LIMIT",
            f"policy {policy} has {limit} instances, as many as it may have",
            subject=policy,
            metadata={"limit": str(limit), "used": str(limit)},
        )


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
