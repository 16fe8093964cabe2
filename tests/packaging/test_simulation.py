"""Compute may be anything that serves its contract: only what simulates it knows that it is simulated."""

from pathlib import Path

import pytest

from tools.check import SOURCES
from tools.generate import ROOT

KNOWS = ("compute_sim/", "suite/demo/", "protos/autoimage/simulation/")


@pytest.mark.parametrize(
    ("folders", "ending", "word"),
    [([*SOURCES, "bench"], "py", "autoimage.simulation"), (["protos"], "proto", "autoimage/simulation")],
    ids=["code", "contract"],
)
def test_the_simulation_is_known_to_compute_sim_and_the_demo_alone(folders: list[str], ending: str, word: str) -> None:
    paths = [path for folder in folders for path in Path(ROOT / folder).rglob(f"*.{ending}")]
    knowing = {path.relative_to(ROOT).as_posix() for path in paths if word in path.read_text("utf-8")}
    assert knowing
    assert {path for path in knowing if not path.startswith(KNOWS)} == set()
