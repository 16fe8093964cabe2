"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings
from structlog.typing import EventDict

from tests.support import databases

# A slow machine is no failure, and a failure that only some runs show is none that anybody can mend.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What is logged from here to the end of the test, bound context included."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The database engine that the test runs on: SQLite, unless its folder says more (`tests.support.databases`)."""
    chosen: str = getattr(request, "param", "sqlite")
    with databases.using(chosen):
        yield chosen
