"""Dissolves associations: by a user's wish, or because the instance is gone (A9)."""

from collections.abc import Mapping

from policy_service.dependencies import Dependencies
from policy_service.store import associations, policies


def dissolve_associations(deps: Dependencies, policy_uids: Mapping[str, str]) -> set[str]:
    """Dissolves associations, given by uid with the uid of their policy; the uids of those that were there.

    Those that are gone, or of another policy, are passed over. Images being built go on (A8).
    """
    with deps.database.read() as connection:
        found = associations.policies_of(connection, policy_uids)
    held = {uid: policy_uid for uid, policy_uid in policy_uids.items() if found.get(uid) == policy_uid}
    if not held:
        return set()
    with deps.database.write() as connection:
        policies.lock(connection, set(held.values()))
        present = associations.by_uid(connection, held)
        associations.unlink(connection, present.values())
    return set(present)
