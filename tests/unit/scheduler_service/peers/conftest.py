"""The adapters, each against the same stand-in, and what that was asked."""

from collections.abc import Iterator

import pytest

from scheduler_service.peers.compute import Compute
from scheduler_service.peers.logs import Logs
from scheduler_service.peers.policies import Policies
from servicekit.client import Client
from tests.support.scheduler_peers import Peer, serving


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Peer, Client]]:
    peer = Peer()
    with serving(peer) as client:
        yield peer, client


@pytest.fixture
def peer(served: tuple[Peer, Client]) -> Peer:
    served[0].requests.clear()
    return served[0]


@pytest.fixture
def policies(served: tuple[Peer, Client]) -> Policies:
    return Policies(served[1])


@pytest.fixture
def compute(served: tuple[Peer, Client]) -> Compute:
    return Compute(served[1])


@pytest.fixture
def logs(served: tuple[Peer, Client]) -> Logs:
    return Logs(served[1])
