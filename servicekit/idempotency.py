"""A request id makes a mutation happen once: its answer is kept for 24 hours, in the command's own transaction."""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.exc import IntegrityError

from servicekit.database import Micros
from servicekit.errors import DatabaseUnavailable, RequestIdReused
from servicekit.sql import rows_in, rows_text, take_turns
from servicekit.timestamps import to_micros

KEPT = timedelta(hours=24)
_PURGE_LIMIT = 500


@dataclass(frozen=True)
class Idempotency:
    """What makes a request the same: its id (empty: never the same), unique in a scope, and its body's fingerprint."""

    scope: str
    request_id: str
    fingerprint: str

    @classmethod
    def of(cls, request: Message, *, scope: str | None = None) -> Self:
        """Of a request with `request_id`. The scope is its `parent` or `name` unless given."""
        fields: Any = request
        if scope is None:
            scope = fields.parent if "parent" in request.DESCRIPTOR.fields_by_name else fields.name
        return cls(scope, fields.request_id.lower(), fingerprint(request))


def fingerprint(request: Message) -> str:
    """SHA-256 of what the client sent, but for its request id."""
    bare = type(request)()
    bare.CopyFrom(request)
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        bare.ClearField("request_id")
    content = request.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()


def request_table(metadata: sa.MetaData, name: str = "requests") -> sa.Table:
    """The table of a service's answered requests. `response` is a text of the command's choice, mostly a name."""
    return sa.Table(
        name,
        metadata,
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("expire_micros", Micros, nullable=False),
        sa.PrimaryKeyConstraint("scope", "request_id"),
        sa.Index(None, "expire_micros"),
    )


Outcome = str | RequestIdReused | None
"""What is remembered of a request: its response, that its id was used for another body, or nothing."""


def remembered(connection: sa.Connection, table: sa.Table, asked: Idempotency, now: datetime) -> str | None:
    """The response to the same request within the last 24 hours (`now` is product time), or None.

    The id with another body raises RequestIdReused. In a transaction that writes, a request of the same id that is just
    being served is waited for (see `sql.take_turns`).
    """
    (outcome,) = remembered_many(connection, table, [asked], now)
    if isinstance(outcome, RequestIdReused):
        raise outcome
    return outcome


def remembered_many(
    connection: sa.Connection, table: sa.Table, asked: Sequence[Idempotency], now: datetime
) -> list[Outcome]:
    """The same for up to 500 requests in one statement; an id with another body is an outcome here, not an error."""
    keys = {_key(one) for one in asked if one.request_id}
    if not keys:
        return [None] * len(asked)
    take_turns(connection, table.name, [f"{scope} {request_id}" for scope, request_id in keys])
    rows = connection.execute(_valid_query(table), {"keys": rows_text(sorted(keys)), "now": to_micros(now)})
    found = {(row.scope, row.request_id): row for row in rows}
    return [_outcome(one, found.get(_key(one))) for one in asked]


@functools.cache
def _valid_query(table: sa.Table) -> sa.Select[Any]:
    is_one_of = rows_in((table.c.scope, table.c.request_id), "keys")
    return sa.select(table).where(is_one_of, table.c.expire_micros > sa.bindparam("now"))


def _outcome(asked: Idempotency, row: Any) -> Outcome:
    if row is None:
        return None
    return str(row.response) if row.fingerprint == asked.fingerprint else RequestIdReused(asked.request_id)


def remember(connection: sa.Connection, table: sa.Table, asked: Idempotency, response: str, now: datetime) -> None:
    """Keeps the response, in the same transaction as what it tells of. Does nothing without a request id.

    Of two of the same request at the same moment the later one, had it not asked before, raises DatabaseUnavailable,
    and finds the answer when it comes again.
    """
    remember_many(connection, table, [(asked, response)], now)


def remember_many(
    connection: sa.Connection, table: sa.Table, answered: Iterable[tuple[Idempotency, str]], now: datetime
) -> None:
    """The same for up to 500 requests in two statements. Of the same id twice the first is kept."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    expire = to_micros(now + KEPT)
    for asked, response in answered:
        if asked.request_id:
            rows.setdefault(_key(asked), {**asdict(asked), "response": response, "expire_micros": expire})
    if not rows:
        return
    is_expired = table.c.expire_micros <= to_micros(now)
    connection.execute(sa.delete(table).where(_is_one_of(table, rows), is_expired))
    try:
        connection.execute(sa.insert(table), list(rows.values()))
    except IntegrityError as error:
        raise DatabaseUnavailable("DATABASE_LOCKED", "the same request is being served just now") from error


def _key(asked: Idempotency) -> tuple[str, str]:
    return asked.scope, asked.request_id


def _is_one_of(table: sa.Table, keys: Iterable[tuple[str, str]]) -> rows_in:
    return rows_in((table.c.scope, table.c.request_id), sorted(keys))


def purge(connection: sa.Connection, table: sa.Table, now: datetime, limit: int = _PURGE_LIMIT) -> int:
    """Deletes at most `limit` expired rows, and says how many: as many as `limit` means that more may be left."""
    expired = (
        sa.select(table.c.scope, table.c.request_id)
        .where(table.c.expire_micros <= to_micros(now))
        .order_by(table.c.expire_micros)
        .limit(limit)
        .with_for_update(skip_locked=True)  # a replica that purges too takes others
    )
    keys = [(scope, request_id) for scope, request_id in connection.execute(expired)]
    return connection.execute(sa.delete(table).where(_is_one_of(table, keys))).rowcount
