"""How long the images of a policy are kept (P9)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """An image goes when either limit says so; 0 means that a limit is not there. One of the two is."""

    keep_days: int
    keep_last: int
    may_delete_newest: bool


@dataclass(frozen=True)
class PolicyRetention:
    """What holds for the images of a policy: None means that they are kept for ever."""

    policy_uid: str
    retention: Retention | None
    deleted: bool
