"""A request id makes a mutation happen once: its answer is kept for 24 hours, in the command's own transaction."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.exc import IntegrityError

from servicekit.database import Micros
from servicekit.errors import DatabaseUnavailable, RequestIdReused
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


def remembered(connection: sa.Connection, table: sa.Table, asked: Idempotency, now: datetime) -> str | None:
    """The response to the same request within the last 24 hours (`now` is product time), or None.

    The id with another body raises RequestIdReused.
    """
    if not asked.request_id:
        return None
    row = connection.execute(
        sa.select(table.c.fingerprint, table.c.response).where(
            table.c.scope == asked.scope,
            table.c.request_id == asked.request_id,
            table.c.expire_micros > to_micros(now),
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != asked.fingerprint:
        raise RequestIdReused(asked.request_id)
    return str(row.response)


def remember(connection: sa.Connection, table: sa.Table, asked: Idempotency, response: str, now: datetime) -> None:
    """Keeps the response, in the same transaction as what it tells of. Does nothing without a request id.

    Of two of the same request at the same moment the later one raises DatabaseUnavailable, and finds the answer when it
    comes again.
    """
    if not asked.request_id:
        return
    row = {"scope": asked.scope, "request_id": asked.request_id}
    is_expired_self = sa.and_(*(table.c[column] == value for column, value in row.items()))
    connection.execute(sa.delete(table).where(is_expired_self, table.c.expire_micros <= to_micros(now)))
    expire = to_micros(now + KEPT)
    try:
        connection.execute(
            sa.insert(table).values(**row, fingerprint=asked.fingerprint, response=response, expire_micros=expire)
        )
    except IntegrityError as error:
        raise DatabaseUnavailable("DATABASE_LOCKED", "the same request is being served just now") from error


def purge(connection: sa.Connection, table: sa.Table, now: datetime, limit: int = _PURGE_LIMIT) -> int:
    """Deletes at most `limit` expired rows, and says how many: as many as `limit` means that more may be left."""
    key = sa.tuple_(table.c.scope, table.c.request_id)
    expired = (
        sa.select(table.c.scope, table.c.request_id)
        .where(table.c.expire_micros <= to_micros(now))
        .order_by(table.c.expire_micros)
        .limit(limit)
    )
    return connection.execute(sa.delete(table).where(key.in_(expired))).rowcount
