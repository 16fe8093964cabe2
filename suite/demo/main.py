"""`autoimage demo`."""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

import suite
from autoimage.scheduler.v1 import execution_pb2
from servicekit.clock import write_clock
from servicekit.errors import ServiceError
from servicekit.zones import zone
from suite.clients import Clients
from suite.demo.check import differences
from suite.demo.driver import Driver, Stuck
from suite.demo.model import Disk, Grid, Model, PolicyModel
from suite.demo.story import END, OUTAGE, START, NotAsExpected, Story
from suite.demo.view import View
from suite.demo.world import World, read_world
from suite.fleet.apply import Outcome, Result, apply_fleet
from suite.fleet.model import Fleet, Policy
from suite.fleet.read import read_fleet
from suite.fleet.starts import first_time
from suite.folder import STEPPED, DataFolder
from suite.services import free_addresses
from suite.supervisor import Supervisor, running

FLEET = Path(suite.__file__).parent / "fleets" / "demo.yaml"
_LEASE_SECONDS = "3"  # what a killed scheduler held is free soon; nobody wants to watch the usual 30 s pass


def run(_arguments: argparse.Namespace) -> int:
    """0 and `OK` if everything was as the demo worked it out by itself; 1 and each difference if not."""
    console = Console(soft_wrap=True)
    os.environ["SCHEDULER_SERVICE_TASK_LEASE_SECONDS"] = _LEASE_SECONDS
    os.environ["POLICY_SERVICE_TRIGGER_LEASE_SECONDS"] = _LEASE_SECONDS
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autoimage-demo-") as path:
        console.print(f"starting four services in {path}", highlight=False)
        found = _Demo(DataFolder(Path(path)), free_addresses(), console).run()
    seconds = time.monotonic() - begun
    if found:
        for difference in found:
            console.print(difference, style="red", highlight=False, markup=False)
        console.print(f"NOT OK: {len(found)} differences", style="bold red")
        return 1
    console.print(f"everything is as it must be, after {seconds:.0f} s", highlight=False)
    console.print("OK", style="bold green")
    return 0


class _Demo:
    """The fleet's four days, in two lives of the suite, with a planned outage between them."""

    def __init__(self, folder: DataFolder, addresses: Mapping[str, str], console: Console) -> None:
        self._folder = folder
        self._addresses = addresses
        self._console = console
        fleet = read_fleet(FLEET)
        self._fleet = fleet
        self._places = [place.name for place in fleet.places]
        self._topics = [
            f"{place.name}/logSets/{log_set.id}/logTopics/{topic.id}"
            for place in fleet.places
            for log_set in place.log_sets
            for topic in log_set.topics
        ]
        self._model = expected_of(fleet, START)
        self._clients = Clients(addresses)
        self._view = View(self._clients, self._places, self._topics, console)

    def run(self) -> list[str]:
        """Loads the fleet, lives through the days, and returns what is not as expected."""
        stopped, started = OUTAGE
        try:
            with self._view:
                with self._running(START) as supervisor:
                    failed = [o for o in self._load() if o.result in (Result.FAILED, Result.DIFFERENT)]
                    if failed:
                        return [f"loading the fleet: {outcome}" for outcome in failed]
                    self._live(supervisor, START, stopped)
                self._view.tell(stopped, "the suite is stopped: a planned outage")
                with self._running(started) as supervisor:
                    self._view.tell(
                        started, "the suite is started again; what was missed meanwhile is made up for, once"
                    )
                    self._live(supervisor, started, END).drain()
                    world = read_world(self._clients, self._places, self._topics)
            self._console.print(_summary(self._model, world))
            return differences(self._model, world)
        except (NotAsExpected, ServiceError, Stuck) as error:
            return [str(error)]
        finally:
            self._clients.close()

    @contextmanager
    def _running(self, now: datetime) -> Iterator[Supervisor]:
        write_clock(self._folder.clock_file, now)
        with running(self._folder, self._addresses, STEPPED, self._say) as supervisor:
            self._clients.connect()
            yield supervisor

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def _load(self) -> list[Outcome]:
        return list(apply_fleet(self._clients, self._fleet, START))

    def _live(self, supervisor: Supervisor, start: datetime, end: datetime) -> Driver:
        clock, view = self._folder.clock_file, self._view
        driver = Driver(self._clients, clock, self._model, self._places, now=start, look=view.look)
        kill_scheduler = supervisor.process("scheduler_service").kill
        events = Story(self._clients, kill_scheduler, self._model, view.tell).events()
        driver.run(end, [event for event in events if start < event.at <= end])
        return driver


def expected_of(fleet: Fleet, now: datetime) -> Model:
    """The model of a fleet that is loaded at `now`."""
    model = Model(
        instances={
            f"{place.name}/instances/{instance.id}": tuple(
                Disk(device, disk.is_cloud) for device, disk in instance.disks.items()
            )
            for place in fleet.places
            for instance in place.instances
        },
        image_limits={
            place.name: quota.limit for place in fleet.places for quota in place.quotas if quota.kind == "images"
        },
    )
    for place in fleet.places:
        for policy in place.policies:
            expected = _policy(place.name, policy, now)
            model.policies[expected.name] = expected
            model.policy_of.update({f"{place.name}/instances/{id}": expected.name for id in policy.instances})
    return model


def _policy(place: str, policy: Policy, now: datetime) -> PolicyModel:
    start = first_time(policy.start, now).astimezone(zone(policy.time_zone)).replace(tzinfo=None)
    return PolicyModel(
        name=f"{place}/policies/{policy.id}",
        grid=Grid(start, policy.interval.count, policy.interval.unit, policy.time_zone),
        devices=frozenset(policy.devices),
        log_topic=f"{place}/logSets/{policy.log[0]}/logTopics/{policy.log[1]}" if policy.log else "",
        number=0 if policy.is_enabled else None,
        keep_last=policy.keep_last,
        catches_up=policy.catch_up == "LATEST",
    )


def _summary(model: Model, world: World) -> Table:
    """What was made, by account and region."""
    table = Table("account, region", "executions", "images", "skipped", "snapshots", "log entries", title="four days")
    for place in model.image_limits:
        tasks = [task for name, its in world.tasks.items() if name.startswith(f"{place}/") for task in its]
        states = Counter(task.state for task in tasks)
        table.add_row(
            place.removeprefix("accounts/").replace("/regions/", ", "),
            str(sum(name.startswith(f"{place}/") for name in world.executions)),
            str(states[execution_pb2.ImageTask.STATE_SUCCEEDED]),
            str(states[execution_pb2.ImageTask.STATE_SKIPPED]),
            str(sum(name.startswith(f"{place}/") for name in world.snapshots)),
            str(sum(len(entries) for topic, entries in world.entries.items() if topic.startswith(f"{place}/"))),
        )
    return table
