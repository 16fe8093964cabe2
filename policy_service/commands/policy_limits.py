"""Reads and changes how many policies an account may have in a region."""

from policy_service.dependencies import Dependencies
from policy_service.domain.limits import PolicyLimit
from policy_service.domain.policy import Place
from policy_service.store import limits


def get_policy_limit(deps: Dependencies, place: Place) -> PolicyLimit:
    with deps.database.read() as connection:
        return limits.get(connection, place)


def update_policy_limit(deps: Dependencies, place: Place, limit: int) -> PolicyLimit:
    """A limit below what exists is allowed, and refuses new ones only."""
    with deps.database.write() as connection:
        limits.set_limit(connection, place, limit)
        return limits.get(connection, place)
