"""Between the contract's messages and the log service's own values."""

from collections.abc import Sequence

from autoimage.log.v1 import log_pb2, log_service_pb2
from log_service.commands.create_log_set import NewLogSet
from log_service.commands.create_log_topic import NewLogTopic
from log_service.commands.update_log_set import LogSetChange
from log_service.domain.limits import DEFAULT_RETENTION_DAYS, LOG_SET_FIELDS, LOG_TOPIC_FIELDS
from log_service.domain.logs import EntryFilter, LogSet, LogTopic, NewEntry, Position, StoredEntry, TopicKind
from log_service.domain.names import LogSetName, LogTopicName, Place
from servicekit import masks
from servicekit.names import ACCOUNT_REGION, LOG_SET, LOG_TOPIC
from servicekit.paging import Key
from servicekit.timestamps import from_proto, to_proto


def place(name: str) -> Place:
    return Place(**ACCOUNT_REGION.parse(name))


def log_set_name(name: str) -> LogSetName:
    return LogSetName(**LOG_SET.parse(name))


def log_topic_name(name: str) -> LogTopicName:
    return LogTopicName(**LOG_TOPIC.parse(name))


def new_log_set(request: log_service_pb2.CreateLogSetRequest) -> NewLogSet:
    return NewLogSet(
        place=place(request.parent),
        id=request.log_set_id,
        display_name=request.log_set.display_name,
        retention_days=request.log_set.retention_days or DEFAULT_RETENTION_DAYS,
    )


def log_set(log_set: LogSet) -> log_pb2.LogSet:
    return log_pb2.LogSet(
        name=str(log_set.name),
        display_name=log_set.display_name,
        retention_days=log_set.retention_days,
        create_time=to_proto(log_set.create_time),
        topic_count=log_set.topic_count,
    )


def log_set_change(request: log_service_pb2.UpdateLogSetRequest) -> LogSetChange:
    """What validation found right. A retention that is cleared is the default."""
    changed = masks.chosen(request.log_set, request.update_mask, LOG_SET_FIELDS)
    retention_days = request.log_set.retention_days or DEFAULT_RETENTION_DAYS
    return LogSetChange(
        name=log_set_name(request.log_set.name),
        display_name=request.log_set.display_name if "display_name" in changed else None,
        retention_days=retention_days if "retention_days" in changed else None,
    )


def new_display_name(request: log_service_pb2.UpdateLogTopicRequest) -> str | None:
    changed = masks.chosen(request.log_topic, request.update_mask, LOG_TOPIC_FIELDS)
    return request.log_topic.display_name if "display_name" in changed else None


def new_log_topic(request: log_service_pb2.CreateLogTopicRequest) -> NewLogTopic:
    topic = request.log_topic
    return NewLogTopic(
        log_set=log_set_name(request.parent),
        id=request.log_topic_id,
        display_name=topic.display_name,
        kind=TopicKind(
            source=log_pb2.LogTopic.Source.Name(topic.source),
            product=log_pb2.LogTopic.Product.Name(topic.product),
            log_type=log_pb2.LogTopic.LogType.Name(topic.log_type),
        ),
    )


def log_topic(topic: LogTopic) -> log_pb2.LogTopic:
    return log_pb2.LogTopic(
        name=str(topic.name),
        display_name=topic.display_name,
        source=log_pb2.LogTopic.Source.Value(topic.kind.source),
        product=log_pb2.LogTopic.Product.Value(topic.kind.product),
        log_type=log_pb2.LogTopic.LogType.Value(topic.kind.log_type),
        create_time=to_proto(topic.create_time),
    )


def new_entry(entry: log_pb2.LogEntry) -> NewEntry:
    return NewEntry(
        topic=log_topic_name(entry.log_topic),
        insert_id=entry.insert_id,
        event_time=from_proto(entry.event_time),
        severity=entry.severity,
        policy=entry.policy,
        execution=entry.execution,
        instance=entry.instance,
        message=entry.message,
        payload=entry.SerializeToString(),
    )


def entry(stored: StoredEntry) -> log_pb2.LogEntry:
    entry = log_pb2.LogEntry.FromString(stored.payload)
    entry.sequence = stored.sequence
    entry.receive_time.CopyFrom(to_proto(stored.receive_time))
    return entry


def position(key: Key) -> Position:
    return Position(*map(int, key))


def key(position: Position) -> Key:
    return position.topic_key, position.sequence


def tail_response(entries: Sequence[StoredEntry], resume_token: str) -> log_service_pb2.TailLogEntriesResponse:
    return log_service_pb2.TailLogEntriesResponse(entries=map(entry, entries), resume_token=resume_token)


def entry_filter(filter: log_service_pb2.LogEntryFilter) -> EntryFilter:
    return EntryFilter(
        start_time=from_proto(filter.start_time) if filter.HasField("start_time") else None,
        end_time=from_proto(filter.end_time) if filter.HasField("end_time") else None,
        policy=filter.policy,
        execution=filter.execution,
        instance=filter.instance,
        minimum_severity=filter.minimum_severity,
        text=filter.text,
    )
