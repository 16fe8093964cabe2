"""The course of a build, and the fate of a call."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from compute_sim.domain.simulation import NEVER, CallConduct, CallFault, Course, Simulation
from tests.support import START
from tests.unit.compute_sim.examples import WEB, cloud

MINUTE = timedelta(minutes=1)
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


def test_some_builds_take_ten_times_as_long_and_some_never_end() -> None:
    odd = replace(simulation(), slow_build_probability=0.3, stalled_build_probability=0.2)
    ends = [odd.course(START, DISKS, str(token)).finish_time for token in range(1000)]
    quick, slow = (START + timedelta(seconds=seconds) for seconds in (12, 120))
    assert set(ends) == {quick, slow, NEVER}
    assert ends.count(NEVER) == pytest.approx(200, abs=50)
    assert ends.count(slow) == pytest.approx(240, abs=50)


def test_an_instance_is_in_transition_from_minute_to_minute_of_product_time() -> None:
    half = replace(simulation(), busy_instance_probability=0.5)

    def busy(instance: Any, second: int) -> bool:
        return half.is_in_transition(instance, START + timedelta(seconds=second))

    minutes = [[busy(WEB, 60 * minute + second) for second in (0, 1, 59)] for minute in range(100)]
    assert all(len(set(minute)) == 1 for minute in minutes)
    assert sum(minute[0] for minute in minutes) == pytest.approx(50, abs=20)
    others = [busy(WEB.sibling("db"), 60 * minute) for minute in range(100)]
    assert others != [minute[0] for minute in minutes]
    assert not simulation().is_in_transition(WEB, START)
    assert replace(half, busy_instance_probability=1.0).is_in_transition(WEB, START)


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ([], None),
        (["ImageService/*", "*"], "ImageService/*"),
        (["QuotaService/*", "*"], "*"),
        (["ImageService/GetImages", "ImageService/GetImage"], "ImageService/GetImage"),
        (["*", "ImageService/GetImage"], "*"),
        (["ImageService/Get", "Image/*"], None),
    ],
)
def test_the_first_conduct_that_fits_a_method_is_its_own(methods: list[str], expected: str | None) -> None:
    conducts = tuple(CallConduct(method) for method in methods)
    found = replace(simulation(), calls=conducts).conduct_of("ImageService/GetImage")
    assert (found.method if found else None) == expected


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ((0, 0, 0), None),
        ((1, 1, 1), CallFault.REFUSED),
        ((0, 1, 1), CallFault.THROTTLED),
        ((0, 0, 1), CallFault.ANSWER_LOST),
    ],
)
def test_a_call_meets_the_first_fault_that_occurs(
    chances: tuple[float, float, float], expected: CallFault | None
) -> None:
    conduct = CallConduct("*", timedelta(0), *chances)
    faults = {simulation().call_fault(conduct, "ImageService/GetImage", "a", attempt) for attempt in range(20)}
    assert faults == {expected}


def test_the_fate_of_a_call_hangs_on_seed_method_token_and_attempt() -> None:
    conduct = CallConduct("*", timedelta(0), 0.2, 0.25, 0.5)

    def fates(seed: int = 0, method: str = "A/B", token: str = "a") -> list[CallFault | None]:
        return [simulation(seed=seed).call_fault(conduct, method, token, attempt) for attempt in range(1000)]

    assert fates() == fates()
    assert fates() not in (fates(seed=1), fates(method="A/C"), fates(token="b"))
    shares = {fault: fates().count(fault) for fault in (*CallFault, None)}
    assert shares == pytest.approx(
        {CallFault.REFUSED: 200, CallFault.THROTTLED: 200, CallFault.ANSWER_LOST: 300, None: 300}, abs=50
    )
