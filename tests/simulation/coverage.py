"""What a run came through: how often each fault struck, and how often a process died at each place."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass
class Coverage:
    """`places` are named by the activity and the statement that would have come next."""

    faults: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    reached_by: dict[str, int] = field(default_factory=dict)
    """For each place the first seed that came to it."""

    def add(self, other: "Coverage") -> None:
        self.faults += other.faults
        self.operations += other.operations
        self.places += other.places
        self.deaths += other.deaths
        for place, seed in other.reached_by.items():
            self.reached_by[place] = min(seed, self.reached_by.get(place, seed))

    def places_of(self, activities: Collection[str]) -> set[str]:
        return {place for place in self.places if place.partition(":")[0] in activities}

    def never_died_at(self, activities: Collection[str]) -> list[str]:
        return sorted(self.places_of(activities) - self.deaths.keys())
