"""Rows of log entries."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from log_service.domain.logs import EntryFilter, NumberedEntry, StoredEntry
from log_service.store import schema
from servicekit.sql import contains
from servicekit.timestamps import from_micros, to_micros

_E = schema.log_entries.c
MAX_SEQUENCE = 2**63 - 1


def existing(
    connection: sa.Connection, topic_keys: Collection[int], insert_ids: Collection[str]
) -> set[tuple[int, str]]:
    """Topic and id of the entries of these topics that have one of these ids; at most 500 of each."""
    rows = connection.execute(_EXISTING, {"topic_keys": list(topic_keys), "insert_ids": list(insert_ids)})
    return {(row.topic_key, row.insert_id) for row in rows}


_EXISTING = sa.select(_E.topic_key, _E.insert_id).where(
    _E.insert_id.in_(sa.bindparam("insert_ids", expanding=True)),
    _E.topic_key.in_(sa.bindparam("topic_keys", expanding=True)),
)


def insert(connection: sa.Connection, numbered: Iterable[NumberedEntry], receive_time: datetime) -> None:
    """Into topics that are locked."""
    receive_micros = to_micros(receive_time)
    connection.execute(sa.insert(schema.log_entries), [_row(each, receive_micros) for each in numbered])


def _row(numbered: NumberedEntry, receive_micros: int) -> dict[str, Any]:
    entry = numbered.entry
    return {
        "topic_key": numbered.topic_key,
        "sequence": numbered.sequence,
        "insert_id": entry.insert_id,
        "event_micros": to_micros(entry.event_time),
        "receive_micros": receive_micros,
        "severity": entry.severity,
        "policy": entry.policy,
        "execution": entry.execution,
        "instance": entry.instance,
        "folded_message": entry.message.casefold(),
        "payload": entry.payload,
    }


def page(
    connection: sa.Connection,
    topic_key: int,
    *,
    kept_since: datetime,
    chosen: EntryFilter,
    after: int,
    limit: int,
    until: int = MAX_SEQUENCE,
) -> list[StoredEntry]:
    """The first `limit` of `kept_since` or later that are chosen, with a sequence above `after` up to `until`."""
    rows = connection.execute(
        sa.select(_E.sequence, _E.receive_micros, _E.payload)
        .where(
            _E.topic_key == topic_key,
            _E.sequence > after,
            _E.sequence <= until,
            _E.event_micros >= to_micros(kept_since),
            *_conditions(chosen),
        )
        .order_by(_E.sequence)
        .limit(limit)
    )
    return [StoredEntry(row.sequence, from_micros(row.receive_micros), row.payload) for row in rows]


def _conditions(chosen: EntryFilter) -> Iterable[sa.ColumnElement[bool]]:
    if chosen.start_time is not None:
        yield _E.event_micros >= to_micros(chosen.start_time)
    if chosen.end_time is not None:
        yield _E.event_micros < to_micros(chosen.end_time)
    if chosen.minimum_severity:
        yield _E.severity >= chosen.minimum_severity
    for column, value in ((_E.policy, chosen.policy), (_E.execution, chosen.execution), (_E.instance, chosen.instance)):
        if value:
            yield column == value
    if chosen.text:
        yield contains(_E.folded_message, chosen.text.casefold())
