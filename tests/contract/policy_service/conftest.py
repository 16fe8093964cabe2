"""A policy service for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.policy_service import PolicyService, running_policy_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running
