"""A log service for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.log_service import LogService, running_log_service


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[LogService]:
    with running_log_service(tmp_path) as service:
        yield service
