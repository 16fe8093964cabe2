"""How many policies an account may have in a region (P8)."""

from dataclasses import dataclass

from policy_service.domain.policy import Place
from servicekit import names

DEFAULT_LIMIT = 20
"""Of a place that was given no limit of its own."""


@dataclass(frozen=True)
class PolicyLimit:
    """`used` is what exists, and may lie above a limit that was lowered."""

    place: Place
    limit: int
    used: int

    @property
    def name(self) -> str:
        return limit_name(self.place)


def limit_name(place: Place) -> str:
    return names.POLICY_LIMIT.format(account=place.account, region=place.region)
