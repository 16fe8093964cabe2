"""How long images are kept: those of policies, and those that deleted policies have left.

What a deleted policy said is kept for ever: its images may stay as long as that.
"""

import functools
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from policy_service.domain.policy import Policy
from policy_service.domain.retention import PolicyRetention, Retention
from policy_service.store.among import among, given
from policy_service.store.schema import deleted_policies, policies


def to_json(retention: Retention | None) -> dict[str, Any] | None:
    return None if retention is None else asdict(retention)


def from_json(column: dict[str, Any] | None) -> Retention | None:
    return None if column is None else Retention(**column)


def leave(connection: sa.Connection, policy: Policy) -> None:
    """Keeps what the policy says, in the transaction that deletes it."""
    row = {"uid": policy.uid, "retention": to_json(policy.spec.retention)}
    connection.execute(sa.insert(deleted_policies), row)


def look_up(connection: sa.Connection, policy_uids: Collection[str]) -> dict[str, PolicyRetention]:
    """Of those that are or ever were policies, by uid. A policy that is deleted meanwhile is found all the same."""
    present = _look_up(connection, policies, policy_uids, deleted=False)
    gone = _look_up(connection, deleted_policies, [uid for uid in policy_uids if uid not in present], deleted=True)
    return present | gone


def _look_up(
    connection: sa.Connection, table: sa.Table, uids: Collection[str], *, deleted: bool
) -> dict[str, PolicyRetention]:
    rows = connection.execute(_look_up_query(table), {"uids": given(uids)})
    return {row.uid: PolicyRetention(row.uid, from_json(row.retention), deleted) for row in rows}


@functools.cache
def _look_up_query(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table.c.uid, table.c.retention).where(among(table.c.uid, "uids"))
