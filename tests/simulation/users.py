"""Users: they repeat a call until somebody answers, with the same request id, and know what they were told."""

import random
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from autoimage.compute.v1.image_service_pb2_grpc import ImageServiceStub
from autoimage.compute.v1.instance_service_pb2_grpc import InstanceServiceStub
from autoimage.compute.v1.quota_service_pb2_grpc import QuotaServiceStub
from autoimage.log.v1.log_service_pb2_grpc import LogServiceStub
from autoimage.policy.v1.policy_service_pb2_grpc import PolicyServiceStub
from autoimage.scheduler.v1.execution_service_pb2_grpc import ExecutionServiceStub
from servicekit.errors import Unavailable
from tests.simulation.kernel import MINUTE, SECOND, Kernel, Owner
from tests.simulation.ledger import KnownPolicy, Ledger
from tests.simulation.network import SimulatedClient
from tests.simulation.world import NORTH, World

_PATIENCE = (SECOND, 4 * SECOND, 15 * SECOND, MINUTE, 5 * MINUTE)
_RETRY_BUSY = 3 * SECOND


class User(Owner):
    """Somebody of an account, in one region."""

    def __init__(self, world: World, ledger: Ledger, account: str, draw: random.Random) -> None:
        super().__init__()
        self.account = account
        self.place = f"accounts/{account}/regions/{NORTH}"
        self.draw = draw
        self.world = world
        self.ledger = ledger
        self._client = SimulatedClient(world.network, account)
        self.stub = self._client.stub
        self.policies = self._client.stub(PolicyServiceStub)
        self.instances = self._client.stub(InstanceServiceStub)
        self.images = self._client.stub(ImageServiceStub)
        self.quotas = self._client.stub(QuotaServiceStub)
        self.logs = self._client.stub(LogServiceStub)
        self.executions = self._client.stub(ExecutionServiceStub)

    @property
    def kernel(self) -> Kernel:
        return self.world.kernel

    @property
    def now(self) -> int:
        return self.world.kernel.now

    @property
    def topic(self) -> str:
        return f"{self.place}/logSets/backups/logTopics/executions"

    def tell(self, what: str) -> None:
        self.world.story.tell(self.account, what)

    def call(self, method: Any, request: Any) -> Any:
        """The answer, however long it takes to get one; raises what the service refuses with."""
        tries = 0
        while True:
            try:
                return self._client.call(method, request)
            except Unavailable:
                self.kernel.sleep(_PATIENCE[min(tries, len(_PATIENCE) - 1)])
                tries += 1

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.draw.getrandbits(128), version=4))

    @contextmanager
    def alone_with(self, names: Collection[str]) -> Iterator[None]:
        """Nobody else changes these meanwhile: else nobody could say what the last change was."""
        while self.ledger.busy & set(names):
            self.kernel.sleep(_RETRY_BUSY)
        self.ledger.busy |= set(names)
        try:
            yield
        finally:
            self.ledger.busy -= set(names)

    def a_policy(self, wanted: Callable[[KnownPolicy], bool] = lambda _: True) -> KnownPolicy | None:
        found = [policy for policy in self.ledger.living_policies(self.place) if wanted(policy)]
        return self.draw.choice(sorted(found, key=lambda policy: policy.name)) if found else None

    def own_instances(self) -> list[str]:
        return sorted(name for name in self.ledger.instances if name.startswith(f"{self.place}/"))

    def some_instances(self, most: int) -> list[str]:
        own = self.own_instances()
        return self.draw.sample(own, min(self.draw.randint(1, most), len(own)))

    def linked_to(self, policy: KnownPolicy) -> list[str]:
        return sorted(name for name, (uid, _) in self.ledger.known.associations.items() if uid == policy.uid)
