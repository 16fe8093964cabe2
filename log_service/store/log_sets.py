"""Rows of log sets, and how many there are in a place."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from log_service.domain.errors import DisplayNameTaken, LogSetExists, LogSetLimit, LogSetNotEmpty, LogSetNotFound
from log_service.domain.limits import LOG_SETS_PER_PLACE
from log_service.domain.logs import LogSet, Retention
from log_service.domain.names import LogSetName, Place
from log_service.store import schema
from servicekit.database import constraint_name
from servicekit.sql import insert_missing
from servicekit.timestamps import from_micros, to_micros

_COLUMNS = (
    schema.log_sets.c.account,
    schema.log_sets.c.region,
    schema.log_sets.c.log_set,
    schema.log_sets.c.display_name,
    schema.log_sets.c.retention_days,
    schema.log_sets.c.topic_count,
    schema.log_sets.c.create_micros,
)


def insert(connection: sa.Connection, log_set: LogSet) -> None:
    """Raises LogSetExists, DisplayNameTaken or LogSetLimit."""
    row = {
        **log_set.name._asdict(),
        "display_name": log_set.display_name,
        "retention_days": log_set.retention_days,
        "gone_before_micros": 0,
        "topic_count": 0,
        "create_micros": to_micros(log_set.create_time),
    }
    try:
        connection.execute(sa.insert(schema.log_sets).values(row))
    except IntegrityError as error:
        raise _taken(error, log_set) from error
    _count_one_more(connection, log_set.name.place)


def _taken(error: IntegrityError, log_set: LogSet) -> Exception:
    match constraint_name(error, schema.metadata):
        case "uq_log_sets_name":
            return LogSetExists(log_set.name)
        case "uq_log_sets_display_name":
            return DisplayNameTaken("log set", log_set.name.place, log_set.display_name)
    return error


def _count_one_more(connection: sa.Connection, place: Place) -> None:
    insert_missing(connection, schema.places, [{**place._asdict(), "log_set_count": 0}])
    counted = connection.execute(
        sa.update(schema.places)
        .where(_at(place), schema.places.c.log_set_count < LOG_SETS_PER_PLACE)
        .values(log_set_count=schema.places.c.log_set_count + 1)
    )
    if counted.rowcount == 0:
        raise LogSetLimit(place)


def delete(connection: sa.Connection, name: LogSetName) -> None:
    """Raises LogSetNotFound or LogSetNotEmpty."""
    deleted = connection.execute(sa.delete(schema.log_sets).where(named(name), schema.log_sets.c.topic_count == 0))
    if deleted.rowcount == 0:
        get(connection, name)
        raise LogSetNotEmpty(name)
    connection.execute(
        sa.update(schema.places).where(_at(name.place)).values(log_set_count=schema.places.c.log_set_count - 1)
    )


def get(connection: sa.Connection, name: LogSetName) -> LogSet:
    """Raises LogSetNotFound."""
    row = connection.execute(sa.select(*_COLUMNS).where(named(name))).one_or_none()
    if row is None:
        raise LogSetNotFound(name)
    return _log_set(row)


def update(connection: sa.Connection, log_set: LogSet, retention: Retention) -> None:
    """Gives a `locked` log set this display name and retention. Raises DisplayNameTaken."""
    changed = {
        "display_name": log_set.display_name,
        "retention_days": retention.days,
        "gone_before_micros": to_micros(retention.gone_before),
    }
    try:
        connection.execute(sa.update(schema.log_sets).where(named(log_set.name)).values(changed))
    except IntegrityError as error:
        raise _taken(error, log_set) from error


def locked(connection: sa.Connection, name: LogSetName) -> tuple[LogSet, Retention]:
    """Until the transaction ends nobody else changes it. Raises LogSetNotFound."""
    selected = sa.select(*_COLUMNS, schema.log_sets.c.gone_before_micros).where(named(name)).with_for_update()
    row = connection.execute(selected).one_or_none()
    if row is None:
        raise LogSetNotFound(name)
    return _log_set(row), retention(row)


def page(connection: sa.Connection, place: Place, after: str, limit: int) -> list[LogSet]:
    """The first `limit` of the place whose id comes after this one, in the order of ids."""
    rows = connection.execute(
        sa.select(*_COLUMNS)
        .where(
            schema.log_sets.c.account == place.account,
            schema.log_sets.c.region == place.region,
            schema.log_sets.c.log_set > after,
        )
        .order_by(schema.log_sets.c.log_set)
        .limit(limit)
    )
    return [_log_set(row) for row in rows]


def named(name: LogSetName) -> sa.ColumnElement[bool]:
    return sa.and_(
        schema.log_sets.c.account == name.account,
        schema.log_sets.c.region == name.region,
        schema.log_sets.c.log_set == name.log_set,
    )


def _at(place: Place) -> sa.ColumnElement[bool]:
    return sa.and_(schema.places.c.account == place.account, schema.places.c.region == place.region)


def retention(row: Any) -> Retention:
    return Retention(row.retention_days, from_micros(row.gone_before_micros))


def _log_set(row: Any) -> LogSet:
    return LogSet(
        name=LogSetName(row.account, row.region, row.log_set),
        display_name=row.display_name,
        retention_days=row.retention_days,
        topic_count=row.topic_count,
        create_time=from_micros(row.create_micros),
    )
