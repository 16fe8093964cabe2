"""What goes wrong, and when: drawn from a seed."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from tests.chaos.cluster import LEASE_SECONDS, Cluster, Replica

_DELAY_SECONDS = 0.05
_LONGEST_SECONDS = 1.5 * LEASE_SECONDS
"""A replica that is paused, or cut off, may lose what it held, and may not."""

Disaster = Callable[[], Callable[[], None] | None]
"""Strikes; what it returns ends it, or waits for its end."""


class Storm:
    """Kills and pauses processes, cuts, delays and holds connections: one thing at a time, and work gets done between.

    `act` is called often; it strikes until `kills` processes were killed: with each disaster once, then with any.
    `more` are other disasters, by name.
    """

    def __init__(self, cluster: Cluster, seed: int, kills: int, more: Mapping[str, Disaster] | None = None) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._kills = kills
        self._next = time.monotonic()
        self._undo: Callable[[], None] | None = None
        self._disasters: dict[str, Disaster] = {
            "kill": self._kill,
            "pause": self._pause,
            "cut": self._cut,
            "delay": self._delay,
            "hold": self._hold,
            **(more or {}),
        }
        self._first = self._random.sample(list(self._disasters), len(self._disasters))
        self.struck: Counter[str] = Counter()

    @property
    def spared(self) -> set[str]:
        """The disasters that did not happen."""
        return self._disasters.keys() - self.struck.keys()

    @property
    def is_over(self) -> bool:
        return self.struck["kill"] >= self._kills

    def act(self, _now: datetime | None = None) -> None:
        if time.monotonic() < self._next:
            return
        if self._undo is not None:
            self.lull()
            self._next = time.monotonic() + self._random.uniform(0, 0.3)
        elif not self.is_over:
            name = self._first.pop() if self._first else self._any()
            self._undo = self._disasters[name]()
            self.struck[name] += 1
            self._next = time.monotonic() + self._random.uniform(0, 1.0)

    def _any(self) -> str:
        names = list(self._disasters)
        return self._random.choices(names, weights=[4 if name == "kill" else 1 for name in names])[0]

    def calm(self) -> None:
        """Ends what goes on, and strikes no more."""
        self._kills = 0
        self.lull()

    def lull(self) -> None:
        """Ends what goes on: a process that is started needs its database."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _kill(self) -> Callable[[], None]:
        replica = self._replica()
        replica.kill()
        replica.start()
        return replica.wait_until_ready

    def _pause(self) -> Callable[[], None]:
        replica = self._replica()
        replica.pause()
        return self._for_a_while(replica.resume)

    def _cut(self) -> None:
        self._random.choice(self._cluster.proxies).cut()

    def _delay(self) -> Callable[[], None]:
        proxy = self._random.choice(self._cluster.proxies)
        proxy.delay(_DELAY_SECONDS)
        return lambda: proxy.delay(0)

    def _hold(self) -> Callable[[], None]:
        proxy = self._random.choice(self._cluster.proxies)
        proxy.hold()
        return self._for_a_while(proxy.release)

    def _for_a_while(self, end: Callable[[], None]) -> Callable[[], None]:
        """Ends it by itself: who acts may be waiting for just what stands still. Waits for that."""
        timer = threading.Timer(self._random.uniform(0, _LONGEST_SECONDS), end)
        timer.start()
        return timer.join

    def _replica(self) -> Replica:
        return self._random.choice(self._cluster.replicas)
