"""Four virtual days of the demo on real processes, while these are killed, paused, and cut off from each other.

Product time is stepped only when all that is due has been done. So whatever breaks, and however long it takes, each
execution, image, snapshot and log entry must be there in the end exactly as the model says, once.
"""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from autoimage.log.v1.log_pb2 import LogSet
from autoimage.log.v1.log_service_pb2 import UpdateLogSetRequest
from autoimage.policy.v1.policy_pb2 import Policy
from autoimage.policy.v1.policy_service_pb2 import UpdatePolicyRequest
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.clock import write_clock
from suite.clients import SERVICES, Clients
from suite.demo.check import differences
from suite.demo.driver import Driver, Event
from suite.demo.main import FLEET, expected_of
from suite.demo.story import END, OUTAGE, START, Story
from suite.demo.world import read_world
from suite.fleet.apply import Result, apply_fleet
from suite.fleet.read import read_fleet
from suite.verify.check import findings
from suite.verify.facts import Period, read_facts
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.insistence import InsistentClients
from tests.chaos.storm import Storm
from tests.support.postgresql import Server
from tests.support.proxy import Proxy

REPLICAS = {"policy_service": 2, "scheduler_service": 3, "compute_sim": 2, "log_service": 2}
_WEB = "accounts/acme/regions/cn-north-1/policies/web-twice-a-day"
_PATIENCE_SECONDS = 600.0
_DAY = timedelta(days=1)


class _Life:
    """The demo's fleet and its users, in a storm."""

    def __init__(self, cluster: Cluster, clock: Path, storm: Storm, clients: Clients) -> None:
        self._cluster = cluster
        self._clock = clock
        self._storm = storm
        self._clients = clients
        self._fleet = read_fleet(FLEET)
        self._places = [place.name for place in self._fleet.places]
        self._model = expected_of(self._fleet, START)

    def live(self) -> list[str]:
        """The days of the demo, and more of them until the storm is over; what is not as it must be then."""
        outcomes = apply_fleet(self._clients, self._fleet, START)
        assert not [outcome for outcome in outcomes if outcome.result in (Result.FAILED, Result.DIFFERENT)]
        self._keep_logs()
        lost, back = OUTAGE
        story = Story(self._clients, self._kill_scheduler, self._model, lambda *_: None)
        events = [*story.events(), Event(back + timedelta(hours=6), self._keep_less)]
        self._driver_at(START).run(lost, [event for event in events if event.at <= lost])
        self._storm.lull()
        self._cluster.kill()
        write_clock(self._clock, back)
        self._cluster.start()
        driver = self._driver_at(back)
        driver.run(END, [event for event in events if event.at > back])
        while not self._storm.is_over:
            driver.run(driver.now + _DAY, [])
        self._storm.calm()
        driver.drain()
        return [*self._differences(), *self._findings(Period(START, driver.now + _DAY))]

    def _keep_logs(self) -> None:
        """For 30 days: a storm may last for more than the seven that one set keeps them, and the model forgets none."""
        for place in self._fleet.places:
            for log_set in place.log_sets:
                kept = LogSet(name=f"{place.name}/logSets/{log_set.id}", retention_days=30)
                self._clients.logs.UpdateLogSet(UpdateLogSetRequest(log_set=kept))

    def _kill_scheduler(self) -> None:
        self._storm.lull()
        self._cluster.kill_scheduler()

    def _keep_less(self) -> None:
        """Of the web servers. Their images of before go when they get their next, a few hours later."""
        policy = Policy(name=_WEB, retention=Retention(keep_last=1))
        self._clients.policies.UpdatePolicy(UpdatePolicyRequest(policy=policy))
        self._model.policies[_WEB].keep_last = 1

    def _driver_at(self, now: datetime) -> Driver:
        return Driver(
            self._clients,
            self._clock,
            self._model,
            self._places,
            now=now,
            look=self._storm.act,
            schedulers=self._cluster.schedulers,
            patience_seconds=_PATIENCE_SECONDS,
        )

    def _differences(self) -> list[str]:
        topics = [
            f"{place.name}/logSets/{log_set.id}/logTopics/{topic.id}"
            for place in self._fleet.places
            for log_set in place.log_sets
            for topic in log_set.topics
        ]
        return differences(self._model, read_world(self._clients, self._places, topics))

    def _findings(self, period: Period) -> Iterator[str]:
        """What `autoimage verify` would tell."""
        for place in self._places:
            for finding in findings(read_facts(self._clients, place, period), period):
                yield f"{finding.trouble} {finding.resource}: {finding.text}"


def _assert_nothing_is_lost_or_doubled(cluster: Cluster, clock: Path, storm: Storm) -> None:
    with closing(InsistentClients(cluster.addresses, storm.act)) as clients:
        assert _Life(cluster, clock, storm, clients).live() == []
    print(dict(storm.struck))
    assert storm.spared == set()


def _on_sqlite(folder: Path, seed: int, kills: int) -> None:
    write_clock(folder / "clock", START)
    databases = {service: f"sqlite:///{folder / service}.db" for service in SERVICES}
    with running_cluster(folder, dict.fromkeys(SERVICES, 1), databases) as cluster:
        _assert_nothing_is_lost_or_doubled(cluster, folder / "clock", Storm(cluster, seed, kills))


def _on_postgresql(folder: Path, seed: int, kills: int) -> None:
    """Replicas that find empty databases, through a network of their own; the server is restarted now and then."""
    write_clock(folder / "clock", START)
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        proxies = {service: stack.enter_context(Proxy(server.socket)) for service in SERVICES}
        for service in SERVICES:
            server.make(service)
        databases = {service: f"postgresql://postgres@{proxies[service].address}/{service}" for service in SERVICES}
        cluster = stack.enter_context(running_cluster(folder, REPLICAS, databases))
        cluster.proxies += proxies.values()
        how = itertools.cycle([signal.SIGINT, signal.SIGQUIT])
        storm = Storm(cluster, seed, kills, {"restart": lambda: server.restart(next(how))})
        _assert_nothing_is_lost_or_doubled(cluster, folder / "clock", storm)


@pytest.mark.timeout(1800)
def test_nothing_is_lost_or_doubled_on_sqlite(tmp_path: Path) -> None:
    _on_sqlite(tmp_path, seed=1, kills=20)


@pytest.mark.timeout(1800)
def test_nothing_is_lost_or_doubled_by_replicas_on_postgresql(tmp_path: Path) -> None:
    _on_postgresql(tmp_path, seed=3, kills=10)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 7))
@pytest.mark.parametrize("live_through", [_on_sqlite, _on_postgresql])
def test_nothing_is_lost_or_doubled_in_many_storms(
    tmp_path: Path, live_through: Callable[[Path, int, int], None], seed: int
) -> None:
    live_through(tmp_path, seed, 20)
