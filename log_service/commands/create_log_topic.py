"""Creates a log topic (rule L1)."""

from dataclasses import dataclass

from log_service.dependencies import Dependencies
from log_service.domain.errors import LogTopicExists
from log_service.domain.logs import LogTopic, TopicKind
from log_service.domain.names import LogSetName
from log_service.store import log_topics, schema
from servicekit.idempotency import Idempotency, remember, remembered


@dataclass(frozen=True)
class NewLogTopic:
    """A log topic that someone wants; an empty id lets the service choose one."""

    log_set: LogSetName
    id: str
    display_name: str
    kind: TopicKind


def create_log_topic(deps: Dependencies, new: NewLogTopic, asked: Idempotency) -> LogTopic:
    """Raises LogSetNotFound, LogTopicExists, DisplayNameTaken, LogTopicLimit or RequestIdReused."""
    while True:
        topic_id = new.id or deps.ids.new("lt")
        try:
            return _create(deps, topic_id, new, asked)
        except LogTopicExists:
            if new.id:
                raise


def _create(deps: Dependencies, topic_id: str, new: NewLogTopic, asked: Idempotency) -> LogTopic:
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        done = remembered(connection, schema.requests, asked, now)
        if done is not None:
            return log_topics.get(connection, new.log_set.topic(done))
        topic = LogTopic(new.log_set.topic(topic_id), new.display_name, new.kind, create_time=now)
        log_topics.insert(connection, topic)
        remember(connection, schema.requests, asked, topic_id, now)
    return topic
