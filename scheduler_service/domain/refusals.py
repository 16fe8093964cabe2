"""What a refusal by compute means to a task (X3, X4, X5)."""

from datetime import timedelta

from scheduler_service.domain.tasks import Refusal, Trouble

_BY_REASON = {
    "IMAGE_QUOTA_EXCEEDED": Trouble.SKIP,
    "SNAPSHOT_QUOTA_EXCEEDED": Trouble.SKIP,
    "INSTANCE_NOT_FOUND": Trouble.SKIP,
    "INSTANCE_BUSY": Trouble.BUSY,
    "REQUEST_TOO_LATE": Trouble.TOO_LATE,
}
_TRANSIENT = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED", "UNKNOWN", "INTERNAL"}
)
"""Canonical codes that may pass. RESOURCE_EXHAUSTED is one: a quota is told by its reason, all else is throttling."""

COMPUTE_UNAVAILABLE = "COMPUTE_UNAVAILABLE"
COMPUTE_REFUSED = "COMPUTE_REFUSED"


def refusal(code: str, reason: str, *, known_reason: bool, retry_after: timedelta | None) -> Refusal:
    """What to do after compute refused with this canonical code and reason; unknown reasons are COMPUTE_REFUSED."""
    trouble = _BY_REASON.get(reason)
    if trouble is not None:
        return Refusal(trouble, reason)
    if code in _TRANSIENT:
        return Refusal(Trouble.TRANSIENT, COMPUTE_UNAVAILABLE, retry_after or timedelta(0))
    return Refusal(Trouble.PERMANENT, reason if known_reason else COMPUTE_REFUSED)
