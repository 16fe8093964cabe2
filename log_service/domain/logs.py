"""What the log service keeps."""

from dataclasses import dataclass
from datetime import datetime

from log_service.domain.limits import EPOCH, kept_since
from log_service.domain.names import LogSetName, LogTopicName


@dataclass(frozen=True)
class Retention:
    """How long entries are kept: those of the last `days`, but for what happened before `gone_before`."""

    days: int
    gone_before: datetime = EPOCH

    def kept_since(self, now: datetime) -> datetime:
        """Entries of this moment and later are kept; what happened before is neither seen nor, in time, on disk."""
        return max(kept_since(self.days, now), self.gone_before)

    def changed(self, days: int, now: datetime) -> "Retention":
        """What is past the retention until now is gone for good: a longer one does not bring it back."""
        return Retention(days, self.kept_since(now))


@dataclass(frozen=True)
class LogSet:
    """Log topics that are kept for the same time."""

    name: LogSetName
    display_name: str
    retention_days: int
    create_time: datetime
    topic_count: int = 0


@dataclass(frozen=True)
class TopicKind:
    """What a topic takes: names of the contract's LogTopic.Source, LogTopic.Product and LogTopic.LogType."""

    source: str
    product: str
    log_type: str


@dataclass(frozen=True)
class LogTopic:
    """A sequence of log entries of one kind."""

    name: LogTopicName
    display_name: str
    kind: TopicKind
    create_time: datetime


@dataclass(frozen=True)
class TopicState:
    """What reading and writing a topic's entries takes; `key` is what they are kept under."""

    key: int
    last_sequence: int
    retention: Retention


@dataclass(frozen=True)
class NewEntry:
    """An entry that someone wants written.

    `payload` is all of the entry, opaque here; the other fields are those that entries are chosen by. `severity` is
    the number of the contract's LogEntry.Severity, which grows with gravity.
    """

    topic: LogTopicName
    insert_id: str
    event_time: datetime
    severity: int
    policy: str
    execution: str
    instance: str
    message: str
    payload: bytes


@dataclass(frozen=True)
class NumberedEntry:
    """An entry with its place in its topic."""

    topic_key: int
    sequence: int
    entry: NewEntry


@dataclass(frozen=True)
class Position:
    """A place in a topic's entries, after `sequence`; the key tells the topic from a later one of the same name."""

    topic_key: int
    sequence: int


@dataclass(frozen=True)
class StoredEntry:
    """An entry as it was accepted."""

    sequence: int
    receive_time: datetime
    payload: bytes


@dataclass(frozen=True)
class EntryFilter:
    """Chooses entries; one must fit all that is set. Times: from `start_time` on, before `end_time`."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    policy: str = ""
    execution: str = ""
    instance: str = ""
    minimum_severity: int = 0
    text: str = ""
