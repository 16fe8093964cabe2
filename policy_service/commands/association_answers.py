"""What a request to associate instances was answered: the same when it is repeated, instance by instance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from policy_service.domain.association import Association, Linked
from policy_service.domain.policy import Policy, PolicyKey
from policy_service.store.schema import requests
from servicekit.idempotency import Idempotency, remember_many, remembered, remembered_many
from servicekit.timestamps import from_micros, to_micros


def answers(
    connection: sa.Connection, asked: Idempotency, policy: Policy, instance_ids: Sequence[str], now: datetime
) -> dict[str, Linked]:
    """The associations that the same request has made before, by the instance's id. Raises RequestIdReused."""
    if remembered(connection, requests, _whole(asked, policy), now) is None:
        return {}
    told = remembered_many(connection, requests, [_part(asked, policy, id) for id in instance_ids], now)
    return {id: _linked(policy, id, text) for id, text in zip(instance_ids, told, strict=True) if isinstance(text, str)}


def remember_answers(
    connection: sa.Connection, asked: Idempotency, policy: Policy, linked: Mapping[str, Linked], now: datetime
) -> None:
    """Keeps the associations that were made, in the transaction that makes them. Refusals are not kept."""
    parts = [(_part(asked, policy, id), _text(each)) for id, each in linked.items()]
    whole = _whole(asked, policy)
    is_first = remembered(connection, requests, whole, now) is None
    remember_many(connection, requests, [(whole, ""), *parts] if is_first else parts, now)


def _whole(asked: Idempotency, policy: Policy) -> Idempotency:
    """A policy that was deleted and created again has been asked nothing."""
    return replace(asked, scope=policy.uid)


def _part(asked: Idempotency, policy: Policy, instance_id: str) -> Idempotency:
    return replace(asked, scope=f"{policy.uid} {instance_id}")


def _text(linked: Linked) -> str:
    previous = linked.previous.policy_id if linked.previous else ""
    return f"{linked.association.uid} {to_micros(linked.association.create_time)} {previous}"


def _linked(policy: Policy, instance_id: str, text: str) -> Linked:
    uid, micros, previous = text.split(" ")
    association = Association(uid, policy.uid, policy.key, instance_id, from_micros(int(micros)))
    return Linked(association, PolicyKey(*policy.key.place, previous) if previous else None)
