"""The course of a build."""

from datetime import timedelta

import pytest

from compute_sim.domain.builds import Course, Simulation
from tests.support import START
from tests.unit.compute_sim.examples import cloud

DISKS = [cloud("vda", 40), cloud("vdb", 60)]


def simulation(probability: float = 0.0, seed: int = 0) -> Simulation:
    return Simulation(timedelta(seconds=2), timedelta(seconds=0.1), probability, seed)


def test_a_build_takes_the_longer_the_larger_its_disks_are() -> None:
    assert simulation().course(START, DISKS, "a") == Course(START + timedelta(seconds=12), fails=False)
    assert simulation().course(START, DISKS[:1], "a").finish_time == START + timedelta(seconds=6)


@pytest.mark.parametrize(("probability", "fails"), [(0.0, False), (1.0, True)])
def test_at_the_ends_of_the_scale_all_builds_go_the_same_way(probability: float, fails: bool) -> None:
    assert {simulation(probability).course(START, DISKS, str(n)).fails for n in range(100)} == {fails}


def test_the_same_seed_and_token_give_the_same_outcome() -> None:
    def outcomes(seed: int) -> list[bool]:
        return [simulation(0.5, seed).course(START, DISKS, str(number)).fails for number in range(100)]

    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)


def test_each_snapshot_fails_by_itself() -> None:
    failed = [sum(simulation(0.1).course(START, DISKS[:n], str(t)).fails for t in range(1000)) for n in (1, 2)]
    assert failed[0] == pytest.approx(100, abs=40)
    assert failed[1] == pytest.approx(190, abs=50)
