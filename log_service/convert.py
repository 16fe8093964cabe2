"""Between the contract's messages and the log service's own values."""

from autoimage.log.v1 import log_pb2, log_service_pb2
from log_service.commands.create_log_set import NewLogSet
from log_service.commands.create_log_topic import NewLogTopic
from log_service.domain.limits import DEFAULT_RETENTION_DAYS
from log_service.domain.logs import EntryFilter, LogSet, LogTopic, NewEntry, StoredEntry, TopicKind
from log_service.domain.names import LogSetName, LogTopicName, Place
from servicekit.names import ACCOUNT_REGION, LOG_SET, LOG_TOPIC
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
