"""Associations: which policy an instance has."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from policy_service.domain.association import Association
from policy_service.domain.policy import Place, PolicyKey
from policy_service.domain.triggers import TriggeredAssociation
from policy_service.store import policies
from policy_service.store.among import among, given
from policy_service.store.schema import associations as table
from policy_service.store.schema import metadata
from policy_service.store.schema import policies as policy_table
from servicekit.database import constraint_name
from servicekit.paging import Page
from servicekit.timestamps import from_micros, to_micros

_c = table.c
_WITH_POLICY = sa.select(table, policy_table.c.policy_id).join(policy_table, policy_table.c.uid == _c.policy_uid)


class ConcurrentChange(Exception):
    """Somebody else linked an instance meanwhile; the transaction must be begun anew."""


def link(connection: sa.Connection, added: Collection[Association]) -> None:
    """Adds associations, counts them at their policies, which are locked. ConcurrentChange if an instance has one.

    In the order of the instances: two that add the same to different policies do not wait for each other in a circle.
    """
    if not added:
        return
    rows = [_row(association) for association in sorted(added, key=lambda each: each.instance_id)]
    try:
        connection.execute(sa.insert(table), rows)
    except IntegrityError as error:
        if constraint_name(error, metadata) == "uq_associations_account_region_instance_id":
            raise ConcurrentChange from error
        raise
    policies.add_instances(connection, Counter(association.policy_uid for association in added))


def unlink(connection: sa.Connection, removed: Collection[Association]) -> None:
    """Removes associations that exist, and counts them at their policies, which are locked."""
    connection.execute(sa.delete(table).where(among(_c.uid, [association.uid for association in removed])))
    counted = Counter(association.policy_uid for association in removed)
    policies.add_instances(connection, {uid: -count for uid, count in counted.items()})


def unlink_all(connection: sa.Connection, policy_uid: str) -> None:
    """Removes the associations of a policy that is about to be deleted, and does not count them."""
    connection.execute(sa.delete(table).where(_c.policy_uid == policy_uid))


def of_instances(connection: sa.Connection, place: Place, instance_ids: Collection[str]) -> dict[str, Association]:
    """The associations of these instances, by the instance's id; those without any are left out."""
    query = _WITH_POLICY.where(
        _c.account == place.account, _c.region == place.region, among(_c.instance_id, instance_ids)
    )
    return {row.instance_id: _association(row) for row in connection.execute(query)}


def by_uid(connection: sa.Connection, uids: Collection[str]) -> dict[str, Association]:
    """Those of the associations that exist, by uid."""
    return {row.uid: _association(row) for row in connection.execute(_WITH_POLICY.where(among(_c.uid, uids)))}


def policies_of(connection: sa.Connection, uids: Collection[str]) -> dict[str, str]:
    """The policy's uid of each of the associations that exist, by uid."""
    rows = connection.execute(_POLICIES_OF, {"uids": given(uids)})
    return {row.uid: row.policy_uid for row in rows}


_POLICIES_OF = sa.select(_c.uid, _c.policy_uid).where(among(_c.uid, "uids"))


def of_policies(connection: sa.Connection, policy_uids: Collection[str]) -> dict[str, list[TriggeredAssociation]]:
    """What triggers of these policies carry: their associations, in the order of the instances' ids."""
    found: dict[str, list[TriggeredAssociation]] = {uid: [] for uid in policy_uids}
    for policy_uid, uid, instance_id in connection.execute(_OF_POLICIES, {"uids": given(policy_uids)}):
        found[policy_uid].append(TriggeredAssociation(uid, instance_id))
    return found


_OF_POLICIES = (
    sa.select(_c.policy_uid, _c.uid, _c.instance_id)
    .where(among(_c.policy_uid, "uids"))
    .order_by(_c.policy_uid, _c.instance_id)
)


def page(connection: sa.Connection, policy_uid: str, page: Page) -> list[Association]:
    """The associations of a policy, by the instance's id: one more than the page's size, if there are that many."""
    query = _WITH_POLICY.where(_c.policy_uid == policy_uid)
    if page.after is not None:
        query = query.where(_c.instance_id > page.after[0])
    return _associations(connection.execute(query.order_by(_c.instance_id).limit(page.size + 1)))


def after(connection: sa.Connection, uid: str, limit: int) -> list[Association]:
    """All associations, in the order of their uids, from the one after `uid`."""
    return _associations(connection.execute(_WITH_POLICY.where(_c.uid > uid).order_by(_c.uid).limit(limit)))


def _row(association: Association) -> dict[str, Any]:
    return {
        "uid": association.uid,
        **association.policy.place._asdict(),
        "instance_id": association.instance_id,
        "policy_uid": association.policy_uid,
        "create_micros": to_micros(association.create_time),
    }


def _associations(rows: Iterable[sa.Row[Any]]) -> list[Association]:
    return [_association(row) for row in rows]


def _association(row: sa.Row[Any]) -> Association:
    return Association(
        uid=row.uid,
        policy_uid=row.policy_uid,
        policy=PolicyKey(row.account, row.region, row.policy_id),
        instance_id=row.instance_id,
        create_time=from_micros(row.create_micros),
    )
