"""Tells how long the images of policies are kept."""

from collections.abc import Sequence

from policy_service.dependencies import Dependencies
from policy_service.domain.retention import PolicyRetention
from policy_service.store import retentions


def look_up_retentions(deps: Dependencies, policy_uids: Sequence[str]) -> list[PolicyRetention]:
    """As it is now or, of a deleted policy, as it was then. In the order asked for; unknown policies are left out."""
    with deps.database.read() as connection:
        found = retentions.look_up(connection, policy_uids)
    return [found[uid] for uid in policy_uids if uid in found]
