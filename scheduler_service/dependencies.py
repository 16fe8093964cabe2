"""Everything that the scheduler's commands and steps are given."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler_service.peers.compute import Compute
from scheduler_service.peers.logs import Logs
from scheduler_service.peers.policies import Policies
from servicekit.clock import Clocks
from servicekit.database import Database
from servicekit.streams import News


class LastPoll:
    """When this replica last asked for triggers, and when it was told to come back. For the status page only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: tuple[datetime | None, datetime | None] = (None, None)

    def set(self, at: datetime, next_due: datetime | None) -> None:
        with self._lock:
            self._told = (at, next_due)

    def get(self) -> tuple[datetime | None, datetime | None]:
        """Product times of the last successful poll, and of the next policy that is due."""
        with self._lock:
            return self._told


@dataclass(frozen=True)
class Dependencies:
    """`notify` says that something was written that other steps may want to go on with; `news` tells it to watches.

    `max_builds_in_flight` is for each account and region; 0: no limit.
    """

    database: Database
    clocks: Clocks
    random: random.Random
    policies: Policies
    compute: Compute
    logs: Logs
    scheduler: str
    task_lease: timedelta
    version: str = ""
    max_builds_in_flight: int = 0
    news: News = field(default_factory=News)
    notify: Callable[[], None] = lambda: None
    last_poll: LastPoll = field(default_factory=LastPoll)
