"""What keeps a policy from doing what it seems to promise (P19)."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from policy_service.domain.policy import Policy

_MISSED_POINTS = 3
"""So many of the latest points were not on time: fewer can happen to anybody."""


class WarningKind(enum.StrEnum):
    """Names of the contract."""

    NO_INSTANCES = "NO_INSTANCES"
    RETENTION_EXCEEDS_QUOTA = "RETENTION_EXCEEDS_QUOTA"
    LOG_TOPIC_GONE = "LOG_TOPIC_GONE"
    POINTS_MISSED = "POINTS_MISSED"


@dataclass(frozen=True)
class PolicyWarning:
    """Something that a user may not expect; the message is for people."""

    kind: WarningKind
    message: str


def depends_on_quotas(policy: Policy) -> bool:
    """Whether the quotas make a difference to the policy's warnings."""
    return _kept_images(policy) > 0


def warnings(policy: Policy, quotas: Mapping[str, int] | None, late_points: int) -> Iterator[PolicyWarning]:
    """`quotas` are the limits of the policy's place by id, None if they are not known.

    `late_points` is how many points came after the last one that was triggered on time.
    """
    if policy.instance_count == 0:
        yield PolicyWarning(WarningKind.NO_INSTANCES, "the policy has no instances, so it makes no images")
    if quotas is not None:
        yield from _quota_warnings(policy, quotas)
    if policy.spec.logging is not None and policy.spec.logging.topic_gone:
        text = f"log topic {policy.spec.logging.topic} does not exist any more, so nothing is logged"
        yield PolicyWarning(WarningKind.LOG_TOPIC_GONE, text)
    if late_points >= _MISSED_POINTS:
        text = f"none of the latest {late_points} points was taken up on time"
        yield PolicyWarning(WarningKind.POINTS_MISSED, text)


def _quota_warnings(policy: Policy, quotas: Mapping[str, int]) -> Iterator[PolicyWarning]:
    """An image has one snapshot at least, that of the system disk: what is warned of cannot fit, whatever the disks."""
    needed = _kept_images(policy)
    short = [f"{quotas[kind]} {kind}" for kind in ("images", "snapshots") if needed > quotas.get(kind, needed)]
    if short:
        text = (
            f"to keep the last images of {policy.instance_count} instances, and one more of each while it is made, "
            f"takes {needed} images and at least as many snapshots; the quota allows {' and '.join(short)}"
        )
        yield PolicyWarning(WarningKind.RETENTION_EXCEEDS_QUOTA, text)


def _kept_images(policy: Policy) -> int:
    """How many there may come to be, since new ones are made before old ones go; 0: their number does not matter."""
    retention = policy.spec.retention
    if retention is None or not retention.keep_last:
        return 0
    return (retention.keep_last + 1) * policy.instance_count
