"""Takes up tasks that are due, so that no account holds up another (X7)."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.claims import Admission, Gate, account_of, in_turn, shares
from scheduler_service.domain.tasks import Phase, Task, claimed
from scheduler_service.store import places, regions
from scheduler_service.store import tasks as task_store

Queue = tuple[Phase, str]
"""The tasks of one place in one phase."""


def next_due(
    deps: Dependencies, connection: sa.Connection, phases: Collection[Phase], product: datetime
) -> tuple[datetime | None, datetime | None]:
    """When there is something to do: in product time among what is not due yet, in operating time among what is.

    What may not be sent now, since its region is paused or its place full, is no work until its start window is over.
    """
    found = []
    for phase in phases:
        shut = _shut(deps, connection) if phase is Phase.SEND else {}
        found.append(task_store.next_due(connection, phase, product, but=shut))
        found += [task_store.next_admitted(connection, place, shut[place], product) for place in sorted(shut)]
    return (
        min((later for later, _ in found if later is not None), default=None),
        min((due for _, due in found if due is not None), default=None),
    )


def _shut(deps: Dependencies, connection: sa.Connection) -> dict[str, Admission]:
    """The places with tasks to be sent where not all of them may be, and what may."""
    paused = frozenset(regions.paused(connection))
    if not paused and not deps.max_builds_in_flight:
        return {}
    waiting = task_store.queues(connection, Phase.SEND)
    gate = _gate(deps, connection, waiting, paused, lock=False)
    admissions = {place: gate.admission(place) for place in waiting}
    return {
        place: admission
        for place, admission in admissions.items()
        if admission is Admission.EXPIRED or (admission is Admission.HELD and not gate.room(place))
    }


def _gate(
    deps: Dependencies, connection: sa.Connection, waiting: Collection[str], paused: frozenset[str], *, lock: bool
) -> Gate:
    limit = deps.max_builds_in_flight
    if not limit:
        return Gate(paused)
    counts = places.builds_in_flight(connection, waiting, lock=lock)
    return Gate(paused, {place: limit - count for place, count in counts.items()})


def claim_tasks(
    deps: Dependencies, connection: sa.Connection, phases: Collection[Phase], lease_end: datetime, limit: int
) -> list[Task]:
    """Takes up to `limit` tasks that are due, until the lease ends: nobody else gets them before.

    Accounts get equal shares, and what one does not need goes to the others; within one the longest due is first.
    """
    claim = _Claim.begin(deps, connection, phases, lease_end)
    waiting = in_turn(sorted(claim.queues), deps.random.random())
    taken: list[Task] = []
    while waiting and len(taken) < limit:
        served = list(shares(waiting, limit - len(taken)))
        more = waiting[len(served) :]
        for account, share in served:
            took = claim.take(account, share)
            taken += took
            if len(took) == share:
                more.append(account)
        waiting = more
    places.add(connection, claim.begun, ())
    return taken


@dataclass
class _Claim:
    """A claim in the making: what there is by account, and what may be begun where."""

    connection: sa.Connection
    product: datetime
    operating: datetime
    lease_end: datetime
    queues: dict[str, list[Queue]]
    gate: Gate
    begun: Counter[str]

    @classmethod
    def begin(
        cls, deps: Dependencies, connection: sa.Connection, phases: Collection[Phase], lease_end: datetime
    ) -> "_Claim":
        queues: dict[str, list[Queue]] = {}
        for phase in phases:
            for place in task_store.queues(connection, phase):
                queues.setdefault(account_of(place), []).append((phase, place))
        sending = [place for its in queues.values() for phase, place in its if phase is Phase.SEND]
        paused = frozenset(regions.paused(connection)) if sending else frozenset()
        gate = _gate(deps, connection, sending, paused, lock=True)
        now = deps.clocks
        return cls(connection, now.product.now(), now.operating.now(), lease_end, queues, gate, Counter())

    def take(self, account: str, share: int) -> list[Task]:
        """The account's tasks that are longest due, up to its share, now claimed."""
        found = [task for phase, place in self.queues[account] for task in self._due(phase, place, share)]
        chosen = sorted(found, key=lambda task: task.due_product or self.product)[:share]
        taken = [claimed(task, self.lease_end, self.product) for task in chosen]
        self.begun.update(
            after.place for before, after in zip(chosen, taken, strict=True) if after.in_flight > before.in_flight
        )
        task_store.update(self.connection, taken)
        return taken

    def _due(self, phase: Phase, place: str, share: int) -> Sequence[Task]:
        admission = self.gate.admission(place) if phase is Phase.SEND else Admission.ALL
        found = self._select(phase, place, admission, share)
        if admission is not Admission.HELD:
            return found
        room = self.gate.room(place) - self.begun[place]
        return [*found, *self._select(phase, place, Admission.NEW, min(share - len(found), room))]

    def _select(self, phase: Phase, place: str, admission: Admission, limit: int) -> list[Task]:
        if limit <= 0:
            return []
        return task_store.due(
            self.connection,
            phase,
            place,
            admission,
            product=self.product,
            operating=self.operating,
            limit=limit,
        )
