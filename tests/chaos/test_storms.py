"""Four virtual days of the demo's fleet on real processes, while these are killed, paused, and cut off from each other.

Product time is stepped only when all that is due has been done. So whatever breaks, and however long it takes, each
execution, image, snapshot and log entry must be there in the end exactly as the model says, once.
"""

from pathlib import Path

import pytest

from servicekit.clock import write_clock
from suite.clients import SERVICES
from suite.demo.check import differences
from suite.demo.driver import Driver
from suite.demo.main import FLEET, expected_of
from suite.demo.story import END, START
from suite.demo.world import read_world
from suite.fleet.apply import Result, apply_fleet
from suite.fleet.read import read_fleet
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.storm import Storm


def _live_through(cluster: Cluster, clock: Path, storm: Storm) -> list[str]:
    """Loads the fleet, and lives until the storm is over and the days are; what is not as it must be then."""
    fleet = read_fleet(FLEET)
    outcomes = apply_fleet(cluster.clients, fleet, START)
    assert not [outcome for outcome in outcomes if outcome.result in (Result.FAILED, Result.DIFFERENT)]
    places = [place.name for place in fleet.places]
    topics = [
        f"{place.name}/logSets/{log_set.id}/logTopics/{topic.id}"
        for place in fleet.places
        for log_set in place.log_sets
        for topic in log_set.topics
    ]
    model = expected_of(fleet, START)
    driver = Driver(cluster.clients, clock, model, places, now=START, look=storm.act, schedulers=cluster.schedulers)
    driver.run(END, [])
    storm.calm()
    driver.drain()
    return differences(model, read_world(cluster.clients, places, topics))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [20])
def test_nothing_is_lost_or_doubled_whatever_is_killed_or_cut_off(tmp_path: Path, kills: int) -> None:
    write_clock(tmp_path / "clock", START)
    databases = {service: f"sqlite:///{tmp_path / service}.db" for service in SERVICES}
    with running_cluster(tmp_path, dict.fromkeys(SERVICES, 1), databases) as cluster:
        storm = Storm(cluster, seed=1, kills=kills)
        assert _live_through(cluster, tmp_path / "clock", storm) == []
        print(dict(storm.struck))
        assert storm.struck["kill"] == kills
