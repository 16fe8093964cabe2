"""What the log service refuses, and why."""

from datetime import datetime

from log_service.domain.limits import LOG_SETS_PER_PLACE, TOPICS_PER_LOG_SET
from log_service.domain.names import LogSetName, LogTopicName, Place
from servicekit.errors import AlreadyExists, FailedPrecondition, NotFound, QuotaExceeded


class LogSetNotFound(NotFound):
    def __init__(self, name: LogSetName) -> None:
        super().__init__("log set", str(name))


class LogTopicNotFound(NotFound):
    def __init__(self, name: LogTopicName) -> None:
        super().__init__("log topic", str(name))


class PastRetention(FailedPrecondition):
    """The entry would be gone as soon as it is written."""

    def __init__(self, topic: LogTopicName, kept_since: datetime) -> None:
        super().__init__(
            "PAST_RETENTION",
            f"log topic {topic} keeps entries since {kept_since.isoformat()} only",
            subject=str(topic),
            metadata={"kept_since": kept_since.isoformat()},
        )


class LogSetExists(AlreadyExists):
    def __init__(self, name: LogSetName) -> None:
        super().__init__("log set", str(name))


class LogTopicExists(AlreadyExists):
    def __init__(self, name: LogTopicName) -> None:
        super().__init__("log topic", str(name))


class DisplayNameTaken(AlreadyExists):
    """Another log set of the place, or topic of the log set, is called so."""

    def __init__(self, type: str, parent: Place | LogSetName, display_name: str) -> None:
        super().__init__(type, f"{parent} with display_name {display_name}")
        self.metadata = {"parent": str(parent), "display_name": display_name}


class LogSetNotEmpty(FailedPrecondition):
    def __init__(self, name: LogSetName) -> None:
        super().__init__("LOG_SET_NOT_EMPTY", f"log set {name} still has topics; delete them first", subject=str(name))


class LogSetLimit(QuotaExceeded):
    def __init__(self, place: Place) -> None:
        super().__init__(
            "LOG_SET_LIMIT",
            f"{place} has {LOG_SETS_PER_PLACE} log sets, which is as many as it may have",
            subject=str(place),
            metadata={"limit": str(LOG_SETS_PER_PLACE)},
        )


class LogTopicLimit(QuotaExceeded):
    def __init__(self, log_set: LogSetName) -> None:
        super().__init__(
            "LOG_TOPIC_LIMIT",
            f"log set {log_set} has {TOPICS_PER_LOG_SET} topics, which is as many as it may have",
            subject=str(log_set),
            metadata={"limit": str(TOPICS_PER_LOG_SET)},
        )
