"""Steps product time: to the next moment at which something is due, once nothing is left to do at the present one.

So the demo is as fast as the machine, and its outcome does not depend on that.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from autoimage.scheduler.v1 import execution_service_pb2 as pb
from servicekit.clock import write_clock
from servicekit.errors import ServiceError
from servicekit.timestamps import from_proto, to_proto
from suite.clients import Calls, Clients, pages
from suite.demo.model import Expected, Model

_LOOK_SECONDS = 0.01


class Stuck(Exception):
    """The suite did not come to rest; the text says what it was doing."""


@dataclass(frozen=True)
class Event:
    """Something that the demo does at a moment of product time. It returns at once, or when the suite answered."""

    at: datetime
    do: Callable[[], None]


class Driver:
    """`look` is called often, for whoever watches. `schedulers` are the replicas of the scheduler, each by itself.

    What has not come to rest after `patience_seconds` is stuck.
    """

    def __init__(
        self,
        clients: Clients,
        clock: Path,
        model: Model,
        places: Sequence[str],
        *,
        now: datetime,
        look: Callable[[datetime], None],
        schedulers: Sequence[Calls] = (),
        patience_seconds: float = 60.0,
    ) -> None:
        self._clients = clients
        self._schedulers = schedulers or (clients.executions,)
        self._clock = clock
        self._model = model
        self._places = places
        self._look = look
        self._patience_seconds = patience_seconds
        self.now = now

    def run(self, until: datetime, events: Iterable[Event]) -> None:
        """Lives until then. An event happens at its moment, before the suite has come to rest; then it rests."""
        waiting = sorted(events, key=lambda event: event.at)
        while True:
            status = self.rest()
            if self.now >= until:
                return
            moments = [self._model.next_due(), waiting[0].at if waiting else None, _next_due(status, self.now), until]
            self._step(min(moment for moment in moments if moment is not None))
            while waiting and waiting[0].at <= self.now:
                waiting.pop(0).do()

    def drain(self) -> None:
        """Lets builds that are under way finish, without triggering anything new."""
        end = self.now + timedelta(hours=1)
        while (status := self.rest()).running_executions:
            due = _next_due(status, self.now)
            if due is None or due > end:
                raise Stuck(f"executions are running, but nothing is due: {status}")
            self._step(due)

    def rest(self) -> Any:
        """Waits until there is nothing left to do at the present moment; the scheduler's status then."""
        end = time.monotonic() + self._patience_seconds
        expected = self._model.advance(self.now)
        while time.monotonic() < end:
            self._look(self.now)
            try:
                statuses = [it.GetSchedulerStatus(pb.GetSchedulerStatusRequest()) for it in self._schedulers]
                if all(map(self._is_quiet, statuses)) and self._are_there(expected):
                    return statuses[0]
            except ServiceError:
                pass  # it was killed, and is coming back
            time.sleep(_LOOK_SECONDS)
        raise Stuck(f"the suite does not come to rest at {self.now}")

    def _step(self, moment: datetime) -> None:
        self.now = moment
        write_clock(self._clock, moment)

    def _is_quiet(self, status: Any) -> bool:
        """It has seen the present moment, polled at it, and has nothing more to do or to deliver."""
        now = to_proto(self.now)
        due = status.HasField("next_due_time") and from_proto(status.next_due_time) <= self.now
        return bool(
            status.product_time == now
            and status.last_poll_time == now
            and not due
            and not status.undelivered_log_entries
        )

    def _are_there(self, expected: Sequence[Expected]) -> bool:
        """A trigger that a killed scheduler had leased is nobody's for a while: it must not be passed by."""
        if not expected:
            return True
        first = min(item.scheduled_time for item in expected)
        filter = pb.ExecutionFilter(start_time=to_proto(first), end_time=to_proto(self.now + timedelta(seconds=1)))
        requests = [pb.ListExecutionsRequest(parent=f"{place}/policies/-", filter=filter) for place in self._places]
        there = {
            (execution.name.rpartition("/executions/")[0], from_proto(execution.scheduled_time))
            for request in requests
            for execution in pages(self._clients.executions.ListExecutions, request, "executions")
        }
        return there.issuperset((item.policy, item.scheduled_time) for item in expected)


def _next_due(status: Any, now: datetime) -> datetime | None:
    due = from_proto(status.next_due_time) if status.HasField("next_due_time") else None
    return due if due is not None and due > now else None
