"""How much the log service keeps, and for how long (rule L1)."""

from datetime import datetime, timedelta

LOG_SETS_PER_PLACE = 20
TOPICS_PER_LOG_SET = 20
RETENTION_DAYS = (7, 15, 30)
DEFAULT_RETENTION_DAYS = 7


def kept_since(retention_days: int, now: datetime) -> datetime:
    """Entries of this moment and later are kept; what happened before is neither listed nor, in time, on disk."""
    return now - timedelta(days=retention_days)
