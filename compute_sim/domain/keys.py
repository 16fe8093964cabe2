"""What tells resources apart."""

from typing import NamedTuple


class Place(NamedTuple):
    """An account in a region: what quotas hold for, and what transactions lock."""

    account: str
    region: str

    def key(self, id: str) -> "Key":
        return Key(self.account, self.region, id)


class Key(NamedTuple):
    """A resource by account, region and its own id, which is unique among its kind in that place."""

    account: str
    region: str
    id: str

    @property
    def place(self) -> Place:
        return Place(self.account, self.region)

    def sibling(self, id: str) -> "Key":
        """The resource of this id in the same place."""
        return Key(self.account, self.region, id)
