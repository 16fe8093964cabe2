"""`autoimage demo`."""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

import suite
from autoimage.scheduler.v1 import execution_pb2
from servicekit.clock import write_clock
from servicekit.errors import ServiceError
from suite.clients import Clients
from suite.demo.check import differences
from suite.demo.driver import Driver, Stuck
from suite.demo.model import Disk, Model, PolicyModel
from suite.demo.story import END, START, NotAsExpected, Story
from suite.demo.view import View
from suite.demo.world import World, read_world
from suite.fleet.apply import Result, apply_fleet
from suite.fleet.model import Fleet, Policy
from suite.fleet.read import read_fleet
from suite.fleet.starts import first_time
from suite.folder import STEPPED, DataFolder
from suite.services import free_addresses
from suite.supervisor import Supervisor, running

FLEET = Path(suite.__file__).parent / "fleets" / "demo.yaml"
_LEASE_SECONDS = "3"  # what a killed scheduler held is free soon; nobody wants to watch the usual 30 s pass
_UNITS = {"HOUR": timedelta(hours=1), "DAY": timedelta(days=1), "WEEK": timedelta(weeks=1)}


def run(_arguments: argparse.Namespace) -> int:
    """0 and `OK` if everything was as the demo worked it out by itself; 1 and each difference if not."""
    console = Console(soft_wrap=True)
    os.environ["SCHEDULER_SERVICE_TASK_LEASE_SECONDS"] = _LEASE_SECONDS
    os.environ["POLICY_SERVICE_TRIGGER_LEASE_SECONDS"] = _LEASE_SECONDS
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autoimage-demo-") as path:
        folder = DataFolder(Path(path))
        write_clock(folder.clock_file, START)
        console.print(f"starting four services in {path}", highlight=False)
        addresses = free_addresses()
        with running(folder, addresses, STEPPED, lambda text: console.print(text, highlight=False)) as supervisor:
            found = _live(folder, addresses, supervisor, console)
    seconds = time.monotonic() - begun
    if found:
        for difference in found:
            console.print(difference, style="red", highlight=False, markup=False)
        console.print(f"NOT OK: {len(found)} differences", style="bold red")
        return 1
    console.print(f"everything is as it must be, after {seconds:.0f} s", highlight=False)
    console.print("OK", style="bold green")
    return 0


def _live(folder: DataFolder, addresses: Mapping[str, str], supervisor: Supervisor, console: Console) -> list[str]:
    """Loads the fleet, lives through the days, and returns what is not as expected."""
    fleet = read_fleet(FLEET)
    places = [place.name for place in fleet.places]
    topics = [
        f"{place.name}/logSets/{s.id}/logTopics/{t.id}"
        for place in fleet.places
        for s in place.log_sets
        for t in s.topics
    ]
    clients = Clients(addresses)
    try:
        failed = [o for o in apply_fleet(clients, fleet, START) if o.result in (Result.FAILED, Result.DIFFERENT)]
        if failed:
            return [f"loading the fleet: {outcome}" for outcome in failed]
        model = expected_of(fleet, START)
        with View(clients, places, topics, console) as view:
            driver = Driver(clients, folder.clock_file, model, places, now=START, look=view.look)
            driver.run(END, Story(clients, supervisor, model, view.tell).events())
            driver.drain()
        world = read_world(clients, places, topics)
        console.print(_summary(model, world))
        return differences(model, world)
    except (NotAsExpected, ServiceError, Stuck) as error:
        return [str(error)]
    finally:
        clients.close()


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
    start = first_time(policy.start, now)
    return PolicyModel(
        name=f"{place}/policies/{policy.id}",
        anchor=start,
        interval=policy.interval.count * _UNITS[policy.interval.unit],
        devices=frozenset(policy.devices),
        log_topic=f"{place}/logSets/{policy.log[0]}/logTopics/{policy.log[1]}" if policy.log else "",
        next=start if policy.is_enabled else None,
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
