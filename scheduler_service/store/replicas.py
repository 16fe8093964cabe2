"""The processes of this service that are at work; all times are operating times."""

from datetime import datetime

import sqlalchemy as sa

from scheduler_service.domain.replicas import Replica
from scheduler_service.store.schema import replicas
from servicekit.sql import insert_missing
from servicekit.timestamps import from_micros, to_micros


def last_seen(connection: sa.Connection, name: str) -> datetime | None:
    found = connection.execute(sa.select(replicas.c.last_seen_time).where(replicas.c.name == name)).scalar()
    return None if found is None else from_micros(found)


def put(connection: sa.Connection, replica: Replica) -> None:
    row = {"last_seen_time": to_micros(replica.last_seen), "version": replica.version}
    insert_missing(connection, replicas, [{"name": replica.name, **row}])
    connection.execute(sa.update(replicas).where(replicas.c.name == replica.name).values(row))


def seen_since(connection: sa.Connection, since: datetime) -> list[Replica]:
    """In the order of their names."""
    query = (
        sa.select(replicas.c.name, replicas.c.last_seen_time, replicas.c.version)
        .where(replicas.c.last_seen_time >= to_micros(since))
        .order_by(replicas.c.name)
    )
    return [Replica(name, from_micros(micros), version) for name, micros, version in connection.execute(query)]


def forget(connection: sa.Connection, before: datetime) -> int:
    """Deletes those last seen before; how many."""
    return connection.execute(sa.delete(replicas).where(replicas.c.last_seen_time < to_micros(before))).rowcount
