"""What a person sees of the demo: a live table on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from autoimage.compute.v1 import quota_service_pb2
from autoimage.log.v1 import log_service_pb2
from autoimage.scheduler.v1 import execution_pb2, execution_service_pb2
from servicekit.errors import ServiceError
from servicekit.timestamps import to_proto
from suite.clients import Clients, pages

_REFRESH_SECONDS = 0.25
_RECENT = 8


class View:
    """Reads what it shows through the public RPCs, a few times a second."""

    def __init__(self, clients: Clients, places: Sequence[str], topics: Sequence[str], console: Console) -> None:
        self._clients = clients
        self._places = places
        self._topics = topics
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._events: list[str] = []
        self._day: datetime | None = None
        self._looked = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def tell(self, now: datetime, text: str) -> None:
        """Something that the demo does, or that happened to the suite."""
        line = f"{now:%a %d %b %H:%M}  {text}"
        self._events.append(line)
        if not self._live:
            self._console.print(line, highlight=False, markup=False)

    def look(self, now: datetime) -> None:
        """Shows the present state: on a terminal unless that was done a moment ago, elsewhere once a day."""
        with suppress(ServiceError):  # a service that was killed is coming back
            if not self._live:
                self._tell_new_day(now)
            elif time.monotonic() - self._looked > _REFRESH_SECONDS:
                self._looked = time.monotonic()
                self._live.update(self._render(now), refresh=True)

    def _tell_new_day(self, now: datetime) -> None:
        if self._day is None or now.date() > self._day.date():
            counts = self._counts()
            self._day = now
            self.tell(now, f"a new day; executions so far: {_listed(counts)}")

    def _render(self, now: datetime) -> Group:
        title = Text(f" {now:%A %d %B %Y, %H:%M:%S} UTC ", style="bold reverse")
        columns = Columns([self._executions(), self._quotas()], padding=(0, 3))
        events = Panel(Text("\n".join(self._events[-_RECENT:])), title="what happens", title_align="left")
        return Group(title, columns, self._log(now), events)

    def _executions(self) -> Table:
        status = self._clients.executions.GetSchedulerStatus(execution_service_pb2.GetSchedulerStatusRequest())
        table = Table("executions", "count", box=None)
        for state, count in sorted(self._counts().items()):
            table.add_row(state, str(count))
        table.add_row("tasks pending", str(status.pending_tasks), style="dim")
        table.add_row("builds in flight", str(status.building_tasks), style="dim")
        return table

    def _counts(self) -> Counter[str]:
        """Executions by state."""
        counts: Counter[str] = Counter()
        for place in self._places:
            request = execution_service_pb2.ListExecutionsRequest(parent=f"{place}/policies/-", page_size=100)
            for execution in pages(self._clients.executions.ListExecutions, request, "executions"):
                state = execution_pb2.Execution.State.Name(execution.state).removeprefix("STATE_")
                counts[state.replace("_", " ").lower()] += 1
        return counts

    def _quotas(self) -> Table:
        table = Table("account, region", "images", "snapshots", box=None)
        for place in self._places:
            request = quota_service_pb2.ListQuotasRequest(parent=place)
            quotas = {q.name.rpartition("/")[2]: q for q in self._clients.quotas.ListQuotas(request).quotas}
            cells = [_usage(quotas[kind]) for kind in ("images", "snapshots")]
            table.add_row(place.removeprefix("accounts/").replace("/regions/", ", "), *cells)
        return table

    def _log(self, now: datetime) -> Panel:
        lines: list[tuple[int, str]] = []
        start = to_proto(now.replace(minute=0, second=0, microsecond=0))
        for topic in self._topics:
            filter = log_service_pb2.LogEntryFilter(start_time=start)
            request = log_service_pb2.ListLogEntriesRequest(parent=topic, page_size=100, filter=filter)
            entries = self._clients.logs.ListLogEntries(request).entries
            lines += [(entry.event_time.ToMicroseconds(), entry.message) for entry in entries]
        text = "\n".join(message for _, message in sorted(lines)[-_RECENT:])
        return Panel(Text(text), title="log entries of this hour", title_align="left", height=_RECENT + 2)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"


def _usage(quota: Any) -> Text:
    return Text(f"{quota.used} of {quota.limit}", style="bold red" if quota.used >= quota.limit else "")
