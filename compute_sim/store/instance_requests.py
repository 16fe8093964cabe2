"""Request ids of instances, for many requests at once, in the table of `servicekit.idempotency`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from compute_sim.store.schema import requests
from servicekit.idempotency import KEPT, Idempotency, purge
from servicekit.timestamps import to_micros


@dataclass(frozen=True, slots=True)
class Answer:
    """The request as it was asked, and the id of the instance that it was answered with."""

    asked: Idempotency
    instance_id: str


AnswerKey = tuple[str, str]
"""Scope and request id."""


def key_of(asked: Idempotency) -> AnswerKey:
    return asked.scope, asked.request_id


def get(connection: sa.Connection, asked: Collection[Idempotency], now: datetime) -> dict[AnswerKey, Answer]:
    """The answers given within the last 24 hours to requests with these ids, whatever their bodies."""
    if not any(request.request_id for request in asked):
        return {}
    select = sa.select(requests.c.scope, requests.c.request_id, requests.c.fingerprint, requests.c.response)
    select = select.where(_is_among(asked), requests.c.expire_micros > to_micros(now))
    found = (
        Answer(Idempotency(row.scope, row.request_id, row.fingerprint), row.response)
        for row in connection.execute(select)
    )
    return {key_of(answer.asked): answer for answer in found}


def insert(connection: sa.Connection, answers: Sequence[Answer], now: datetime) -> None:
    """Remembers answers for 24 hours; and forgets some that are older, these ids' own among them."""
    if not answers:
        return
    purge(connection, requests, now)
    is_own = _is_among(answer.asked for answer in answers)
    connection.execute(sa.delete(requests).where(is_own, requests.c.expire_micros <= to_micros(now)))
    rows = [
        {
            "scope": answer.asked.scope,
            "request_id": answer.asked.request_id,
            "fingerprint": answer.asked.fingerprint,
            "response": answer.instance_id,
            "expire_micros": to_micros(now + KEPT),
        }
        for answer in answers
    ]
    connection.execute(sa.insert(requests), rows)


def _is_among(asked: Iterable[Idempotency]) -> sa.ColumnElement[bool]:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for request in asked:
        ids[request.scope].add(request.request_id)
    return sa.or_(
        sa.false(),
        *(sa.and_(requests.c.scope == scope, requests.c.request_id.in_(sorted(ids[scope]))) for scope in sorted(ids)),
    )
