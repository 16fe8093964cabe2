"""A small world for the scheduler: its own database, clocks moved by hand, and stand-ins for the other services.

Steps run one after the other, in a fixed order, until none has anything to do: whatever happens, happens again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.executions import Execution, Kind, Missed, Trigger, TriggeredInstance
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.retention import KEEP_FOREVER, KeptImage, Retention
from scheduler_service.domain.tasks import Task
from scheduler_service.steps.deliver import deliver
from scheduler_service.steps.follow import follow
from scheduler_service.steps.resolve import resolve
from scheduler_service.steps.retain import retain
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from scheduler_service.store import executions as execution_store
from scheduler_service.store import kept_images, outbox, places
from scheduler_service.store import tasks as task_store
from scheduler_service.store.schema import executions as executions_table
from scheduler_service.store.schema import image_series, metadata
from servicekit.clock import ManualClock
from servicekit.database import Database
from servicekit.errors import Unavailable
from servicekit.loop import Wake
from tests.support import scheduler_promises as promises
from tests.support.clocks import START, ManualClocks, clocks
from tests.support.databases import database
from tests.support.scheduler_fakes import FakeCompute, FakeLogs, FakePolicies, Faults, lost_request
from tests.support.scheduler_values import PLACE, TOPIC, association, instance_name, uid

TASK_LEASE = timedelta(seconds=30)
STEPS: tuple[Callable[[Dependencies], Wake], ...] = (take_up, send, follow, resolve, deliver, retain)
_ROUNDS = 200


class FixedRandom(random.Random):
    """Always draws the same share of what is possible."""

    share = 0.5

    def random(self) -> float:
        return self.share


class World:
    """What a test needs to see the main job at work; `check` says whether all the promises were kept so far."""

    def __init__(self, folder: Path) -> None:
        self.time = clocks()
        self.faults = Faults()
        self.random = FixedRandom()
        self.policies = FakePolicies(self.time, self.faults)
        self.compute = FakeCompute(self.time, self.faults)
        self.logs = FakeLogs(self.faults)
        self.max_builds_in_flight = 0
        self.notified = 0
        self.wakes: list[Wake] = []
        self._made = 0
        self.database: Database = database(folder, "scheduler_service")
        self._observe_writes()
        self.deps = self.replica()

    def replica(self, name: str = "scheduler-1") -> Dependencies:
        """A scheduler over the world's database that remembers nothing."""
        return Dependencies(
            database=self.database,
            clocks=self.time,
            random=self.random,
            policies=self.policies,
            compute=self.compute,
            logs=self.logs,
            scheduler=name,
            task_lease=TASK_LEASE,
            version="1.2.3",
            max_builds_in_flight=self.max_builds_in_flight,
            notify=self._notify,
        )

    def restart(self) -> None:
        """The process died. Another begins; what the dead one had leased is free by then."""
        self.faults.crash_at = None
        self.deps = self.replica()
        self.pass_time(TASK_LEASE)

    def copy(self) -> Callable[[], None]:
        """Copies the database. The answer puts the copy in the place of what is there then, and restarts."""
        with self.database.read() as connection:
            rows = {
                table: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in metadata.sorted_tables
            }

        def restore() -> None:
            with self.database.write() as connection:
                for table in reversed(rows):
                    connection.execute(sa.delete(table))
                for table, its in rows.items():
                    if its:
                        connection.execute(sa.insert(table), its)
            self.restart()

        return restore

    def limit_builds(self, limit: int) -> None:
        """From now on so many builds in flight at most, in each account and region."""
        self.max_builds_in_flight = limit
        self.deps = self.replica()

    def _notify(self) -> None:
        self.notified += 1

    def _observe_writes(self) -> None:
        """A process may die before a transaction commits, and right after."""
        write = self.database.write

        @contextmanager
        def observed() -> Iterator[sa.Connection]:
            with write() as connection:
                yield connection
                self.faults.place()
            self.faults.place()

        self.database.write = observed  # type: ignore[method-assign]

    # What happens

    def outage(self, *methods: str) -> None:
        """From now on no call of these methods arrives, until its fault is cleared."""
        for method in methods:
            self.faults.always(method, lost_request())

    def pass_time(self, delta: timedelta) -> None:
        """Both times move on; nobody does anything meanwhile."""
        self.time.product.advance(delta)
        self.time.operating.advance(delta)

    def run_until_idle(self) -> None:
        """Runs the steps at this moment of both times, until each of them waits for a later one."""
        for _ in range(_ROUNDS):
            self.wakes = [self.run(step) for step in STEPS]
            if not any(self._is_due(wake) for wake in self.wakes):
                return
        raise AssertionError(f"not idle after {_ROUNDS} rounds: {self.wakes}")

    def run(self, step: Callable[[Dependencies], Wake]) -> Wake:
        """One step. One that fails is repeated by its loop after a pause."""
        try:
            return step(self.deps)
        except Unavailable:
            return Wake(operating=self.time.operating.now() + timedelta(seconds=1))

    def _is_due(self, wake: Wake) -> bool:
        return wake.at_once or any(left <= timedelta(0) for left in self._left(wake))

    def _left(self, wake: Wake) -> list[timedelta]:
        left = []
        if wake.product is not None:
            left.append(wake.product - self.time.product.now())
        if wake.operating is not None:
            left.append(wake.operating - self.time.operating.now())
        return left

    def live(self, duration: timedelta) -> None:
        """Time passes, and whenever a step wishes to run the steps do."""
        left = duration
        self.run_until_idle()
        while left > timedelta(0):
            wishes = [moment for wake in self.wakes for moment in self._left(wake)]
            step = min([*wishes, left])
            self.pass_time(step)
            left -= step
            self.run_until_idle()

    def settle(self) -> None:
        """Until all tasks have ended and all entries are delivered; within two days."""
        self.run_until_idle()
        for _ in range(_ROUNDS):
            if not self.open_tasks() and not self.undelivered():
                return
            wishes = [moment for wake in self.wakes for moment in self._left(wake)]
            self.pass_time(min(wishes))
            self.run_until_idle()
        raise AssertionError("not settled")

    def add_trigger(
        self,
        *instance_ids: str,
        policy: str = "daily",
        kind: Kind = Kind.SCHEDULED,
        scheduled: datetime | None = None,
        triggered: datetime | None = None,
        run_id: str = "",
        missed: Missed | None = None,
        devices: tuple[str, ...] = (),
        topic: str = TOPIC,
        spread: timedelta = timedelta(0),
        account: str = "acme",
        retention: Retention = KEEP_FOREVER,
    ) -> Trigger:
        """The policy is due, now unless said otherwise; its instances are associated with it from here on.

        `retention` is the trigger's own copy; what holds now is `policies.retentions`.
        """
        self._made += 1
        now = self.time.product.now()
        trigger = Trigger(
            uid=uid("trigger", self._made),
            kind=kind,
            account=account,
            region="cn-north-1",
            policy_id=policy,
            policy_uid=uid(policy),
            devices=devices,
            log_topic=topic,
            scheduled_time=None if kind is Kind.MISSED else scheduled or now,
            run_id=run_id,
            trigger_time=triggered or now,
            instances=tuple(
                TriggeredInstance(instance_name(id, account), association(id, policy)) for id in instance_ids
            ),
            missed=missed,
            spread=spread,
            retention=retention,
        )
        self.policies.add(trigger)
        return trigger

    def delete_policy(self) -> None:
        """The policy `daily`, at the policy service."""
        self.policies.delete_policy(uid("daily"))

    def disassociate(self, instance_id: str = "i-1") -> None:
        """From the policy `daily`, at the policy service."""
        del self.policies.holding[association(instance_id)]

    def make_image(
        self, scheduled: datetime, *, instance: str = "i-1", policy: str = "daily", kind: Kind = Kind.CATCH_UP
    ) -> str:
        """Has an image made for that time, at this moment; its name."""
        run_id = uid("run", scheduled) if kind is Kind.RUN_NOW else ""
        self.add_trigger(instance, policy=policy, kind=kind, scheduled=scheduled, run_id=run_id)
        self.settle()
        return f"{PLACE}/images/img-{self.compute.made:010}"

    # What is there

    def executions(self) -> list[Execution]:
        """Oldest scheduled time first."""
        with self.database.read() as connection:
            uids = list(connection.scalars(sa.select(executions_table.c.uid)))
            found = execution_store.by_uid(connection, uids)
        return sorted(found.values(), key=lambda execution: (execution.scheduled_time, execution.uid))

    def execution(self) -> Execution:
        (only,) = self.executions()
        return only

    def tasks(self) -> list[Task]:
        """In the order of their executions' scheduled times, then of their instances."""
        with self.database.read() as connection:
            return [
                task
                for execution in self.executions()
                for task in task_store.page(connection, execution.uid, states=(), after=None, limit=10_000)
            ]

    def task(self, instance_id: str = "i-1") -> Task:
        """The instance's latest task."""
        return [task for task in self.tasks() if task.instance_id == instance_id][-1]

    def resolves(self, instance_id: str = "i-1") -> int:
        """How many times the request of the instance's latest task was resolved."""
        return self.compute.resolves[self.task(instance_id).request_id]

    def outcomes(self) -> list[tuple[str, str, str]]:
        """Instance, state and reason of each task."""
        return [(task.instance_id, task.state.value, task.reason) for task in self.tasks()]

    def open_tasks(self) -> list[Task]:
        return [task for task in self.tasks() if not task.state.ended]

    def kept(self) -> list[KeptImage]:
        """All that retention knows of; series by series, newest first."""
        with self.database.read() as connection:
            series = connection.execute(sa.select(image_series.c.policy_uid, image_series.c.instance)).all()
            return [
                image
                for policy_uid, instance in sorted(series)
                for image in kept_images.newest(connection, (policy_uid, instance), before=None, limit=10_000)
            ]

    def undelivered(self) -> list[Entry]:
        with self.database.read() as connection:
            return [waiting.entry for waiting in outbox.oldest(connection, 10_000)]

    def dropped(self) -> int:
        with self.database.read() as connection:
            return outbox.dropped(connection)

    def entries(self) -> list[Entry]:
        """Delivered or not, in order."""
        return [*self.logs.kept.values(), *self.undelivered()]

    def events(self) -> list[tuple[str, str]]:
        """Of each entry: the instance, if it is about one, and the event."""
        return [(entry.instance.rpartition("/")[2], entry.event) for entry in self.entries()]

    # What must hold at every moment

    def check(self) -> None:
        """Every promise that can be judged from outside; raises AssertionError."""
        executions, tasks = self.executions(), self.tasks()
        for task in tasks:
            promises.check_task(task, self.compute)
        for execution in executions:
            promises.check_counts(execution, [task for task in tasks if task.execution_uid == execution.uid])
        with self.database.read() as connection:
            counted = places.builds_in_flight(connection, {task.place for task in tasks})
        promises.check_places(tasks, counted, self.max_builds_in_flight, self.compute)
        promises.check_request_ids(self.compute)
        promises.check_kept_images(tasks, self.kept(), self.compute)
        promises.check_entries(executions, tasks, self.entries(), self.undelivered(), self.dropped())


@contextmanager
def scheduler_world(folder: Path) -> Iterator[World]:
    """A world whose promises are checked once more at the end."""
    world = World(folder)
    try:
        yield world
        world.check()
    finally:
        world.database.dispose()


def replica(db: Database, product: datetime = START, operating: datetime = START) -> Dependencies:
    """A scheduler that calls no other service, at these times."""
    time, faults = ManualClocks(ManualClock(product), ManualClock(operating)), Faults()
    return Dependencies(
        database=db,
        clocks=time,
        random=random.Random(0),
        policies=FakePolicies(time, faults),
        compute=FakeCompute(time, faults),
        logs=FakeLogs(faults),
        scheduler="scheduler-1",
        task_lease=timedelta(seconds=30),
    )
