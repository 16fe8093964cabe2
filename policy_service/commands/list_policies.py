"""Lists policies."""

from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Place, Policy, PolicyFilter
from policy_service.store import policies
from servicekit.paging import Page


def list_policies(deps: Dependencies, place: Place, filter: PolicyFilter, page: Page) -> tuple[list[Policy], bool]:
    """A page of the policies that fit, by id, and whether more follow."""
    with deps.database.read() as connection:
        return page.cut(policies.page(connection, place, filter, page))
