"""Configuration from the environment."""

from datetime import timedelta

import pytest

from compute_sim.domain.simulation import Simulation
from compute_sim.settings import Settings
from servicekit.config import ConfigError, load


def test_without_any_setting_builds_take_2_seconds_and_a_tenth_for_each_gib_and_never_fail() -> None:
    settings = load("COMPUTE_SIM", Settings, {})
    assert settings.simulation == Simulation(timedelta(seconds=2), timedelta(seconds=0.1), 0.0, 0)
    assert (settings.listen, settings.database_url) == ("127.0.0.1:50053", "sqlite:///./data/compute_sim.db")


def test_builds_are_set_up_from_the_environment() -> None:
    environ = {
        "COMPUTE_SIM_BUILD_SECONDS": "0",
        "COMPUTE_SIM_BUILD_SECONDS_PER_GIB": "1.5",
        "COMPUTE_SIM_FAILURE_PROBABILITY": "1",
        "COMPUTE_SIM_SEED": "7",
    }
    settings = load("COMPUTE_SIM", Settings, environ)
    assert settings.simulation == Simulation(timedelta(0), timedelta(seconds=1.5), 1.0, 7)


def test_every_wrong_setting_is_told() -> None:
    environ = {
        "COMPUTE_SIM_BUILD_SECONDS": "-1",
        "COMPUTE_SIM_BUILD_SECONDS_PER_GIB": "3601",
        "COMPUTE_SIM_FAILURE_PROBABILITY": "1.1",
        "COMPUTE_SIM_SEED": "nan",
    }
    with pytest.raises(ConfigError) as caught:
        load("COMPUTE_SIM", Settings, environ)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == sorted(environ)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e1", "0x1", ".5", "1.", "1,5"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        load("COMPUTE_SIM", Settings, {"COMPUTE_SIM_FAILURE_PROBABILITY": text})
