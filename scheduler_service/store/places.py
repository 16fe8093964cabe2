"""What is counted for each account and region: changes of executions, and builds in flight."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from scheduler_service.store.schema import places
from servicekit.sql import insert_missing


def add(connection: sa.Connection, in_flight: Mapping[str, int], changed: Collection[str]) -> dict[str, int]:
    """Counts builds that begin or end, and one more change for each place that has one; answers those changes' numbers.

    Rows are locked in key order until the transaction ends: whoever sees a number sees all that is written under it
    and under the lower ones.
    """
    moved = {place: number for place, number in in_flight.items() if number}
    names = sorted({*moved, *changed})
    if not names:
        return {}
    make(connection, names)
    rows = [{"key": name, "builds": moved.get(name, 0), "changes": int(name in changed)} for name in names]
    connection.execute(_COUNT, rows)
    if not changed:
        return {}
    return {row.place: row.last_change for row in connection.execute(_LAST_CHANGES, {"places": sorted(changed)})}


_COUNT = (
    sa.update(places)
    .where(places.c.place == sa.bindparam("key"))
    .values(
        builds_in_flight=places.c.builds_in_flight + sa.bindparam("builds"),
        last_change=places.c.last_change + sa.bindparam("changes"),
    )
)
_IS_GIVEN = places.c.place.in_(sa.bindparam("places", expanding=True))
_LAST_CHANGES = sa.select(places.c.place, places.c.last_change).where(_IS_GIVEN)


def make(connection: sa.Connection, names: Collection[str]) -> None:
    """Makes the rows of places that have none yet."""
    insert_missing(connection, places, [{"place": name, "last_change": 0, "builds_in_flight": 0} for name in names])


def last_change(connection: sa.Connection, place: str) -> int:
    """The number of the place's latest change; 0 before the first."""
    found = connection.execute(sa.select(places.c.last_change).where(places.c.place == place)).scalar()
    return 0 if found is None else int(found)


def builds_in_flight(connection: sa.Connection, names: Collection[str], *, lock: bool = False) -> dict[str, int]:
    """How many builds are in flight, by place. With `lock` the rows are made and locked, in key order."""
    if lock:
        make(connection, sorted(names))
    found = connection.execute(_BUILDS_LOCKED if lock else _BUILDS, {"places": list(names)})
    return dict.fromkeys(names, 0) | {row.place: row.builds_in_flight for row in found}


_BUILDS = sa.select(places.c.place, places.c.builds_in_flight).where(_IS_GIVEN).order_by(places.c.place)
_BUILDS_LOCKED = _BUILDS.with_for_update()
