"""Tells which associations still hold."""

from collections.abc import Sequence
from typing import NamedTuple

from policy_service.dependencies import Dependencies
from policy_service.store import associations, policies


class Reference(NamedTuple):
    """An association, and the policy it was with."""

    policy_uid: str
    association_uid: str


class Held(NamedTuple):
    """The uids of associations that hold, and of policies that are deleted, in the order asked for."""

    association_uids: list[str]
    deleted_policy_uids: list[str]


def filter_associated(deps: Dependencies, asked: Sequence[Reference]) -> Held:
    """An association holds while it is neither dissolved nor moved, nor its policy deleted."""
    policy_uids = list(dict.fromkeys(reference.policy_uid for reference in asked))
    with deps.database.read() as connection:
        found = associations.policies_of(connection, [reference.association_uid for reference in asked])
        alive = policies.existing(connection, policy_uids)
    return Held(
        [uid for policy_uid, uid in asked if found.get(uid) == policy_uid],
        [uid for uid in policy_uids if uid not in alive],
    )
