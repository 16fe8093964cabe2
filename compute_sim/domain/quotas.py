"""How much an account may hold in a region (rule Q1)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from compute_sim.domain.errors import QuotaUsedUp
from compute_sim.domain.keys import Place
from servicekit.names import QUOTA


class QuotaKind(StrEnum):
    """The value is the quota's id."""

    DISKS = "disks"
    IMAGES = "images"
    INSTANCES = "instances"
    SNAPSHOTS = "snapshots"


DEFAULT_LIMITS: Mapping[QuotaKind, int] = {
    QuotaKind.IMAGES: 5,
    QuotaKind.SNAPSHOTS: 15,
    QuotaKind.INSTANCES: 20,
    QuotaKind.DISKS: 40,
}

QuotaKey = tuple[Place, QuotaKind]


@dataclass(frozen=True, slots=True)
class Quota:
    """`used` is what exists, and may lie above a limit that was lowered."""

    place: Place
    kind: QuotaKind
    limit: int
    used: int

    @property
    def name(self) -> str:
        return QUOTA.format(account=self.place.account, region=self.place.region, quota=self.kind.value)


class Budget:
    """Quotas as a transaction has locked them, and what it takes of them, item by item."""

    def __init__(self, quotas: Mapping[QuotaKey, Quota]) -> None:
        self._quotas = quotas
        self.taken: Counter[QuotaKey] = Counter()

    def take(self, place: Place, wanted: Mapping[QuotaKind, int]) -> None:
        """Takes everything wanted; or, raising QuotaUsedUp for the first kind that does not suffice, nothing."""
        for kind, amount in wanted.items():
            self._check(self._quotas[place, kind], amount)
        for kind, amount in wanted.items():
            self.taken[place, kind] += amount

    def _check(self, quota: Quota, amount: int) -> None:
        used = quota.used + self.taken[quota.place, quota.kind]
        if amount and used + amount > quota.limit:
            raise QuotaUsedUp(quota.kind.value, quota.name, limit=quota.limit, used=used, wanted=amount)
