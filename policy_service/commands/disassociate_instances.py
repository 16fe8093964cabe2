"""Dissolves associations of a user's instances."""

from collections.abc import Sequence

from policy_service.commands.dissolve_associations import dissolve_associations
from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Place, PolicyKey
from policy_service.store import associations, policies


def disassociate_instances(
    deps: Dependencies, place: Place, policy_id: str | None, instance_ids: Sequence[str]
) -> dict[str, PolicyKey]:
    """The policy that each instance was disassociated from, by the instance's id. None means whichever policy it has.

    Instances without an association, or with another policy, are left out and stay as they are. Raises PolicyNotFound.
    """
    with deps.database.read() as connection:
        if policy_id is not None:
            policies.get(connection, PolicyKey(*place, policy_id))
        present = associations.of_instances(connection, place, instance_ids)
    wanted = [found for found in present.values() if policy_id in (None, found.policy.policy_id)]
    gone = dissolve_associations(deps, {association.uid: association.policy_uid for association in wanted})
    return {association.instance_id: association.policy for association in wanted if association.uid in gone}
