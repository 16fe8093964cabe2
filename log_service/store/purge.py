"""Takes from the disk what nobody can see any more, in pieces, so that no transaction is long."""

from datetime import datetime

import sqlalchemy as sa

from log_service.domain.limits import RETENTION_DAYS, kept_since
from log_service.store import schema
from servicekit.sql import rows_in
from servicekit.timestamps import to_micros

_HAS_ENTRIES = sa.exists().where(schema.log_entries.c.topic_key == schema.log_topics.c.key)
_IS_DELETED = schema.log_topics.c.log_set_key.is_(None)


def expired_entries(connection: sa.Connection, now: datetime, limit: int) -> int:
    """Deletes at most `limit` entries past their retention for each length of retention; how many."""
    return sum(_expired(connection, days, to_micros(kept_since(days, now)), limit) for days in RETENTION_DAYS)


def _expired(connection: sa.Connection, retention_days: int, kept_since_micros: int, limit: int) -> int:
    gone_before = schema.log_sets.c.gone_before_micros
    kept_since = sa.case((gone_before > kept_since_micros, gone_before), else_=kept_since_micros)
    chosen = (
        sa.select(schema.log_entries.c.topic_key, schema.log_entries.c.sequence)
        .select_from(
            schema.log_sets.join(schema.log_topics, schema.log_topics.c.log_set_key == schema.log_sets.c.key).join(
                schema.log_entries, schema.log_entries.c.topic_key == schema.log_topics.c.key
            )
        )
        .where(schema.log_sets.c.retention_days == retention_days, schema.log_entries.c.event_micros < kept_since)
        .limit(limit)
    )
    return _delete_entries(connection, chosen)


def deleted_topics(connection: sa.Connection, limit: int) -> int:
    """Deletes at most `limit` entries of deleted topics, and those topics that have none left; how many entries."""
    chosen = (
        sa.select(schema.log_entries.c.topic_key, schema.log_entries.c.sequence)
        .select_from(
            schema.log_topics.join(schema.log_entries, schema.log_entries.c.topic_key == schema.log_topics.c.key)
        )
        .where(_IS_DELETED)
        .limit(limit)
    )
    deleted = _delete_entries(connection, chosen)
    connection.execute(sa.delete(schema.log_topics).where(_IS_DELETED, ~_HAS_ENTRIES))
    return deleted


def _delete_entries(connection: sa.Connection, chosen: sa.Select[tuple[int, int]]) -> int:
    """Passes over those that a replica is just deleting."""
    entries = schema.log_entries
    locked = chosen.with_for_update(of=entries, skip_locked=True)
    keys = [(row.topic_key, row.sequence) for row in connection.execute(locked)]
    is_chosen = rows_in((entries.c.topic_key, entries.c.sequence), keys)
    return connection.execute(sa.delete(entries).where(is_chosen)).rowcount
