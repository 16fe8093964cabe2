"""Lists the instances that a user can pick."""

from typing import NamedTuple

from policy_service.dependencies import Dependencies
from policy_service.domain.association import Instance, InstanceFilter
from policy_service.domain.policy import Place, PolicyKey
from policy_service.store import associations
from servicekit.paging import Page


class Associable(NamedTuple):
    """An instance, and the policy that it has now, if any."""

    instance: Instance
    policy: PolicyKey | None


def list_associable_instances(
    deps: Dependencies, place: Place, filter: InstanceFilter, page: Page
) -> tuple[list[Associable], str]:
    """A page of the instances that fit, none with a local system disk (A2), and the token for the next page, if any.

    The key of a page is compute's own token. Raises Unavailable.
    """
    token = "" if page.after is None else str(page.after[0])
    found = deps.compute.associable(place, filter, page.size, token)
    with deps.database.read() as connection:
        linked = associations.of_instances(connection, place, [each.instance_id for each in found.instances])
    policies = {instance_id: association.policy for instance_id, association in linked.items()}
    return [Associable(each, policies.get(each.instance_id)) for each in found.instances], found.next_token
