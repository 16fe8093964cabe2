"""How much the log service keeps, for how long, and what of it can be changed (rule L1)."""

from datetime import UTC, datetime, timedelta

LOG_SETS_PER_PLACE = 20
TOPICS_PER_LOG_SET = 20
RETENTION_DAYS = (7, 15, 30)
DEFAULT_RETENTION_DAYS = 7
LOG_SET_FIELDS = frozenset({"display_name", "retention_days"})
"""What can be changed of a log set."""
LOG_TOPIC_FIELDS = frozenset({"display_name"})
"""What can be changed of a log topic."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def kept_since(retention_days: int, now: datetime) -> datetime:
    """Entries of this moment and later are kept; what happened before is neither listed nor, in time, on disk."""
    return now - timedelta(days=retention_days)
