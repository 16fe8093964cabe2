"""Policies."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from policy_service.domain.errors import PolicyNotFound
from policy_service.domain.policy import Logging, Place, Policy, PolicyFilter, PolicyKey, PolicySpec
from policy_service.domain.schedule import Anchor
from policy_service.domain.triggers import Candidate
from policy_service.store import retentions, schedules
from policy_service.store.among import among, given
from policy_service.store.both_ends import both_ends
from policy_service.store.schema import associations, metadata
from policy_service.store.schema import policies as table
from servicekit.database import constraint_name
from servicekit.errors import AlreadyExists
from servicekit.paging import Page
from servicekit.sql import contains, rows_in
from servicekit.timestamps import from_micros, from_micros_or_none, to_micros, to_micros_or_none

_c = table.c


def insert(connection: sa.Connection, policy: Policy) -> None:
    """Raises AlreadyExists when the name is taken."""
    try:
        connection.execute(sa.insert(table), _row(policy))
    except IntegrityError as error:
        if constraint_name(error, metadata) == "uq_policies_account_region_policy_id":
            raise AlreadyExists("policy", policy.key.name) from error
        raise


def get(connection: sa.Connection, key: PolicyKey, *, lock: bool = False) -> Policy:
    """The policy of this name, locked on request; raises PolicyNotFound."""
    row = connection.execute(_GET_LOCKED if lock else _GET, key._asdict()).one_or_none()
    if row is None:
        raise PolicyNotFound(key.name)
    return _policy(row)


_GET = sa.select(table).where(*(_c[name] == sa.bindparam(name) for name in PolicyKey._fields))
_GET_LOCKED = _GET.with_for_update()


def get_by_uid(connection: sa.Connection, uid: str) -> Policy | None:
    row = connection.execute(sa.select(table).where(_c.uid == uid)).one_or_none()
    return None if row is None else _policy(row)


def lock(connection: sa.Connection, uids: Collection[str]) -> dict[str, Policy]:
    """The policies of these that exist, by uid; nobody else changes them until the transaction ends."""
    return {row.uid: _policy(row) for row in connection.execute(_LOCK, {"uids": given(uids)})}


_LOCK = sa.select(table).where(among(_c.uid, "uids")).order_by(_c.uid).with_for_update()


def existing(connection: sa.Connection, uids: Collection[str]) -> set[str]:
    """Those of the uids that are policies."""
    return set(connection.scalars(_EXISTING, {"uids": given(uids)}))


_EXISTING = sa.select(_c.uid).where(among(_c.uid, "uids"))


def uids_of(connection: sa.Connection, keys: Collection[PolicyKey]) -> dict[PolicyKey, str]:
    """The uid of each of the policies that exists."""
    columns = (_c.account, _c.region, _c.policy_id)
    rows = connection.execute(sa.select(*columns, _c.uid).where(rows_in(columns, [tuple(key) for key in keys])))
    return {PolicyKey(account, region, policy_id): uid for account, region, policy_id, uid in rows}


def page(connection: sa.Connection, place: Place, filter: PolicyFilter, page: Page) -> list[Policy]:
    """The policies of a place that fit, by id: one more than the page's size, if there are that many."""
    query = sa.select(table).where(_c.account == place.account, _c.region == place.region, *_conditions(filter))
    if page.after is not None:
        query = query.where(_c.policy_id > page.after[0])
    return [_policy(row) for row in connection.execute(query.order_by(_c.policy_id).limit(page.size + 1))]


def _conditions(filter: PolicyFilter) -> Iterable[sa.ColumnElement[bool]]:
    if filter.policy_ids:
        yield among(_c.policy_id, filter.policy_ids)
    if filter.enabled is not None:
        yield _c.next_execution_micros.is_not(None) if filter.enabled else _c.next_execution_micros.is_(None)
    if filter.display_name:
        yield contains(_c.display_name_folded, filter.display_name.casefold())
    if filter.instance_id:
        of_instance = sa.select(associations.c.policy_uid).where(
            associations.c.account == _c.account,
            associations.c.region == _c.region,
            associations.c.instance_id == filter.instance_id,
        )
        yield _c.uid.in_(of_instance)


def update(connection: sa.Connection, policy: Policy) -> None:
    """Stores all of a policy that is locked, but for the number of its instances."""
    row = _row(policy)
    del row["instance_count"]
    connection.execute(sa.update(table).where(_c.uid == policy.uid).values(row))


def topics_in_use(connection: sa.Connection, after: str, limit: int) -> list[str]:
    """The log topics that policies log to, each once, in the order of their names, from the one after `after`."""
    query = sa.select(_c.log_topic).distinct().where(_c.log_topic > after, _c.logging_enabled)
    return [topic for (topic,) in connection.execute(query.order_by(_c.log_topic).limit(limit))]


def logging_to(connection: sa.Connection, topics: Collection[str], limit: int) -> list[tuple[str, str]]:
    """Policies that log to these topics (at most 500), by uid, each with its topic.

    The topics are written one by one: of a list in one parameter PostgreSQL expects so much that it reads all policies.
    """
    query = sa.select(_c.uid, _c.log_topic).where(_c.log_topic.in_(sorted(topics)), _c.logging_enabled)
    return [(uid, topic) for uid, topic in connection.execute(query.limit(limit))]


def stop_logging(connection: sa.Connection, uids: Collection[str]) -> None:
    """Turns logging off since the topic is gone. No user did that: etag and update time stay."""
    connection.execute(sa.update(table).where(among(_c.uid, uids)).values(logging_enabled=False, log_topic_gone=True))


def delete(connection: sa.Connection, uid: str) -> None:
    """Its associations must be gone."""
    connection.execute(sa.delete(table).where(_c.uid == uid))


def add_instances(connection: sa.Connection, added: Mapping[str, int]) -> None:
    """Changes the number of instances of policies, which the caller has locked, by uid."""
    if added:
        connection.execute(
            sa.update(table)
            .where(_c.uid == sa.bindparam("key"))
            .values(instance_count=_c.instance_count + sa.bindparam("added")),
            [{"key": uid, "added": count} for uid, count in sorted(added.items())],
        )


def next_due(connection: sa.Connection) -> datetime | None:
    """When the next enabled policy is due, perhaps already; None if none is enabled."""
    return from_micros_or_none(connection.scalar(_NEXT_DUE))


_NEXT_DUE = sa.select(sa.func.min(_c.next_execution_micros))


def due(connection: sa.Connection, now: datetime, limit: int) -> list[Candidate]:
    """Policies that are due, with as many instances as they have, the longest due first.

    Of more than `limit` those, and some that became due last (see `both_ends`).
    """
    rows = both_ends(connection, _LONGEST_DUE, _LAST_DUE, {"now": to_micros(now)}, limit)
    return [Candidate(uid, max(1, count)) for uid, count in rows]


_IS_DUE = _c.next_execution_micros <= sa.bindparam("now")
_DUE = sa.select(_c.uid, _c.instance_count).where(_IS_DUE).limit(sa.bindparam("limit", type_=sa.Integer))
_LONGEST_DUE = _DUE.order_by(_c.next_execution_micros, _c.uid)
_LAST_DUE = _DUE.order_by(_c.next_execution_micros.desc(), _c.uid.desc())


def lock_due(connection: sa.Connection, uids: Collection[str], now: datetime) -> list[Policy]:
    """Those of the policies that are still due, but for those that somebody is just changing: they come next time."""
    rows = connection.execute(_LOCK_DUE, {"uids": given(uids), "now": to_micros(now)})
    return [_policy(row) for row in rows]


_LOCK_DUE = sa.select(table).where(among(_c.uid, "uids"), _IS_DUE).order_by(_c.uid).with_for_update(skip_locked=True)


def update_triggered(connection: sa.Connection, moved_on: Collection[Policy]) -> None:
    """Stores what triggering changes."""
    if moved_on:
        connection.execute(
            _UPDATE_TRIGGERED,
            [
                {
                    "key": policy.uid,
                    "next": to_micros_or_none(policy.next_execution),
                    "last": to_micros_or_none(policy.last_execution),
                    "settled": to_micros_or_none(policy.settled),
                    "executions": policy.execution_count,
                    "limited": policy.limited_count,
                }
                for policy in moved_on
            ],
        )


_UPDATE_TRIGGERED = (
    sa.update(table)
    .where(_c.uid == sa.bindparam("key"))
    .values(
        next_execution_micros=sa.bindparam("next"),
        last_execution_micros=sa.bindparam("last"),
        settled_micros=sa.bindparam("settled"),
        execution_count=sa.bindparam("executions"),
        limited_count=sa.bindparam("limited"),
    )
)


def _row(policy: Policy) -> dict[str, Any]:
    spec = policy.spec
    return {
        "uid": policy.uid,
        **policy.key._asdict(),
        "display_name": spec.display_name,
        "display_name_folded": spec.display_name.casefold(),
        "description": spec.description,
        **schedules.to_columns(spec.schedule),
        "anchor_micros": to_micros(policy.anchor.moment) if policy.anchor else None,
        "anchor_wall_micros": to_micros(policy.anchor.wall.replace(tzinfo=UTC)) if policy.anchor else None,
        "devices": spec.devices,
        "log_topic": spec.logging.topic if spec.logging else None,
        "logging_enabled": spec.logging is not None and spec.logging.enabled,
        "next_execution_micros": to_micros_or_none(policy.next_execution),
        "last_execution_micros": to_micros_or_none(policy.last_execution),
        "settled_micros": to_micros_or_none(policy.settled),
        "execution_count": policy.execution_count,
        "limited_count": policy.limited_count,
        "instance_count": policy.instance_count,
        "revision": policy.revision,
        "create_micros": to_micros(policy.create_time),
        "update_micros": to_micros(policy.update_time),
        "replicated_from": policy.replicated_from or None,
        "log_topic_gone": spec.logging is not None and spec.logging.topic_gone,
        "retention": retentions.to_json(spec.retention),
    }


def _policy(row: sa.Row[Any]) -> Policy:
    return Policy(
        key=PolicyKey(row.account, row.region, row.policy_id),
        uid=row.uid,
        spec=PolicySpec(
            display_name=row.display_name,
            description=row.description,
            schedule=schedules.from_columns(row._asdict()),
            devices=None if row.devices is None else tuple(row.devices),
            logging=None if row.log_topic is None else Logging(row.log_topic, row.logging_enabled, row.log_topic_gone),
            retention=retentions.from_json(row.retention),
        ),
        anchor=_anchor(row),
        next_execution=from_micros_or_none(row.next_execution_micros),
        last_execution=from_micros_or_none(row.last_execution_micros),
        settled=from_micros_or_none(row.settled_micros),
        execution_count=row.execution_count,
        limited_count=row.limited_count,
        instance_count=row.instance_count,
        revision=row.revision,
        create_time=from_micros(row.create_micros),
        update_time=from_micros(row.update_micros),
        replicated_from=row.replicated_from or "",
    )


def _anchor(row: sa.Row[Any]) -> Anchor | None:
    if row.anchor_micros is None:
        return None
    return Anchor(from_micros(row.anchor_micros), from_micros(row.anchor_wall_micros).replace(tzinfo=None))
