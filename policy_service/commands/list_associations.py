"""Lists the associations of a policy."""

from policy_service.dependencies import Dependencies
from policy_service.domain.association import Association
from policy_service.domain.policy import PolicyKey
from policy_service.store import associations, policies
from servicekit.paging import Page


def list_associations(deps: Dependencies, key: PolicyKey, page: Page) -> tuple[list[Association], bool]:
    """A page of them by the instances' ids, and whether more follow. Raises PolicyNotFound."""
    with deps.database.read() as connection:
        policy = policies.get(connection, key)
        return page.cut(associations.page(connection, policy.uid, page))
