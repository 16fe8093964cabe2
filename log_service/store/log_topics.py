"""Rows of log topics. A topic without a log set is deleted, and seen only by `store.purge`."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from log_service.domain.errors import (
    DisplayNameTaken,
    LogSetNotFound,
    LogTopicExists,
    LogTopicLimit,
    LogTopicNotFound,
)
from log_service.domain.limits import TOPICS_PER_LOG_SET
from log_service.domain.logs import LogTopic, TopicKind, TopicState
from log_service.domain.names import LogSetName, LogTopicName
from log_service.store import log_sets, schema
from servicekit.database import constraint_name
from servicekit.timestamps import from_micros, to_micros

_NAME = (schema.log_sets.c.account, schema.log_sets.c.region, schema.log_sets.c.log_set, schema.log_topics.c.log_topic)
_COLUMNS = (
    schema.log_topics.c.display_name,
    schema.log_topics.c.source,
    schema.log_topics.c.product,
    schema.log_topics.c.log_type,
    schema.log_topics.c.create_micros,
)
_STATE = (
    schema.log_topics.c.key,
    schema.log_topics.c.last_sequence,
    schema.log_sets.c.retention_days,
    schema.log_sets.c.gone_before_micros,
)
_WITH_SET = schema.log_topics.join(schema.log_sets, schema.log_topics.c.log_set_key == schema.log_sets.c.key)


def insert(connection: sa.Connection, topic: LogTopic) -> None:
    """Raises LogSetNotFound, LogTopicExists, DisplayNameTaken or LogTopicLimit."""
    row = {
        "log_set_key": _log_set_key(connection, topic.name.parent),
        "log_topic": topic.name.log_topic,
        "display_name": topic.display_name,
        "source": topic.kind.source,
        "product": topic.kind.product,
        "log_type": topic.kind.log_type,
        "last_sequence": 0,
        "create_micros": to_micros(topic.create_time),
    }
    try:
        connection.execute(sa.insert(schema.log_topics).values(row))
    except IntegrityError as error:
        raise _taken(error, topic.name, topic.display_name) from error
    counted = connection.execute(
        sa.update(schema.log_sets)
        .where(schema.log_sets.c.key == row["log_set_key"], schema.log_sets.c.topic_count < TOPICS_PER_LOG_SET)
        .values(topic_count=schema.log_sets.c.topic_count + 1)
    )
    if counted.rowcount == 0:
        raise LogTopicLimit(topic.name.parent)


def _log_set_key(connection: sa.Connection, name: LogSetName) -> int:
    key = connection.execute(sa.select(schema.log_sets.c.key).where(log_sets.named(name))).scalar()
    if key is None:
        raise LogSetNotFound(name)
    return int(key)


def _taken(error: IntegrityError, name: LogTopicName, display_name: str) -> Exception:
    match constraint_name(error, schema.metadata):
        case "uq_log_topics_name":
            return LogTopicExists(name)
        case "uq_log_topics_display_name":
            return DisplayNameTaken("log topic", name.parent, display_name)
        case "fk_log_topics_log_set_key":  # deleted since it was looked up
            return LogSetNotFound(name.parent)
    return error


def rename(connection: sa.Connection, name: LogTopicName, display_name: str) -> None:
    """Raises LogTopicNotFound or DisplayNameTaken."""
    row = locked(connection, [name]).get(name)
    if row is None:
        raise LogTopicNotFound(name)
    try:
        connection.execute(
            sa.update(schema.log_topics).where(schema.log_topics.c.key == row.key).values(display_name=display_name)
        )
    except IntegrityError as error:
        raise _taken(error, name, display_name) from error


def delete(connection: sa.Connection, name: LogTopicName) -> None:
    """Cheap however many entries there are: they are purged later. Raises LogTopicNotFound."""
    row = locked(connection, [name]).get(name)
    if row is None:
        raise LogTopicNotFound(name)
    connection.execute(sa.update(schema.log_topics).where(schema.log_topics.c.key == row.key).values(log_set_key=None))
    connection.execute(
        sa.update(schema.log_sets)
        .where(log_sets.named(name.parent))
        .values(topic_count=schema.log_sets.c.topic_count - 1)
    )


def get(connection: sa.Connection, name: LogTopicName) -> LogTopic:
    """Raises LogTopicNotFound."""
    topic = get_many(connection, [name]).get(name)
    if topic is None:
        raise LogTopicNotFound(name)
    return topic


def get_many(connection: sa.Connection, names: Collection[LogTopicName]) -> dict[LogTopicName, LogTopic]:
    """Those that exist, of at most 500."""
    rows = connection.execute(_select(_COLUMNS, names)) if names else ()
    return {topic.name: topic for topic in map(_log_topic, rows)}


def page(connection: sa.Connection, parent: LogSetName, after: str, limit: int) -> list[LogTopic]:
    """The first `limit` of the log set whose id comes after this one, in the order of ids. Raises LogSetNotFound."""
    rows = connection.execute(
        sa.select(*_NAME, *_COLUMNS)
        .select_from(_WITH_SET)
        .where(
            schema.log_topics.c.log_set_key == _log_set_key(connection, parent), schema.log_topics.c.log_topic > after
        )
        .order_by(schema.log_topics.c.log_topic)
        .limit(limit)
    )
    return [_log_topic(row) for row in rows]


def find(connection: sa.Connection, name: LogTopicName) -> TopicState:
    """Raises LogTopicNotFound."""
    row = connection.execute(_select(_STATE, [name])).one_or_none()
    if row is None:
        raise LogTopicNotFound(name)
    return _topic_state(row)


def locked(connection: sa.Connection, names: Collection[LogTopicName]) -> dict[LogTopicName, TopicState]:
    """Those that exist, of at most 500: until the transaction ends nobody else writes to them or deletes them."""
    select = _select(_STATE, names).order_by(schema.log_topics.c.key).with_for_update(of=schema.log_topics)
    return {_name(row): _topic_state(row) for row in connection.execute(select)}


def set_last_sequences(connection: sa.Connection, by_key: Mapping[int, int]) -> None:
    """Of topics that are `locked`."""
    rows = [{"topic_key": key, "sequence": sequence} for key, sequence in by_key.items()]
    connection.execute(_SET_LAST_SEQUENCE, rows)


_SET_LAST_SEQUENCE = (
    sa.update(schema.log_topics)
    .where(schema.log_topics.c.key == sa.bindparam("topic_key"))
    .values(last_sequence=sa.bindparam("sequence"))
)


def _select(columns: tuple[sa.Column[Any], ...], names: Collection[LogTopicName]) -> sa.Select[Any]:
    """The topics of these names, their names first. Joined with a list of values, each is looked up by index."""
    wanted = (
        sa.values(*(sa.column(part, sa.Text) for part in LogTopicName._fields), name="wanted")
        .data([tuple(name) for name in names])
        .cte("wanted")
    )
    is_wanted = sa.and_(*(column == wanted.c[column.name] for column in _NAME))
    return sa.select(*_NAME, *columns).select_from(_WITH_SET.join(wanted, is_wanted))


def _name(row: Any) -> LogTopicName:
    return LogTopicName(row.account, row.region, row.log_set, row.log_topic)


def _topic_state(row: Any) -> TopicState:
    return TopicState(key=row.key, last_sequence=row.last_sequence, retention=log_sets.retention(row))


def _log_topic(row: Any) -> LogTopic:
    return LogTopic(
        name=_name(row),
        display_name=row.display_name,
        kind=TopicKind(row.source, row.product, row.log_type),
        create_time=from_micros(row.create_micros),
    )
