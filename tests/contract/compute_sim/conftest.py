"""A compute service for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.compute_sim import Compute, running_compute


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[Compute]:
    with running_compute(tmp_path) as service:
        yield service
