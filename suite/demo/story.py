"""What happens in the demo, and when. Each event acts on the suite through its public RPCs, and tells the model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from autoimage.policy.v1 import policy_service_pb2 as pb
from suite.clients import Clients
from suite.demo.driver import Event
from suite.demo.model import Model
from suite.supervisor import Supervisor

START = datetime(2030, 1, 7, tzinfo=UTC)
END = START + timedelta(days=4)

_NORTH = "accounts/acme/regions/cn-north-1"
_MOVED = f"{_NORTH}/instances/web-12"
_NEW_POLICY = f"{_NORTH}/policies/databases"
_PAUSED = "accounts/acme/regions/cn-south-1/policies/nightly"
_DELETED = f"{_NORTH}/policies/databases"


class NotAsExpected(Exception):
    """The suite answered a call of the demo otherwise than it should."""


@dataclass(frozen=True)
class Story:
    """`tell` gets a line of text for whoever watches."""

    clients: Clients
    supervisor: Supervisor
    model: Model
    tell: Callable[[datetime, str], None]

    def events(self) -> Iterator[Event]:
        yield self._event(1, "10:00:00", self._move)
        yield self._event(2, "00:45:00", self._kill)
        yield self._event(2, "10:00:00", self._disable)
        yield self._event(3, "02:00:03", self._delete)
        yield self._event(3, "20:00:00", self._enable)

    def _event(self, day: int, clock: str, act: Callable[[datetime], None]) -> Event:
        time = datetime.strptime(clock, "%H:%M:%S").replace(tzinfo=UTC).time()
        at = datetime.combine(START.date() + timedelta(days=day - 1), time, UTC)
        return Event(at, lambda: act(at))

    def _move(self, at: datetime) -> None:
        self.tell(at, "web-12 moves from policy web-twice-a-day to databases")
        request = pb.AssociateInstancesRequest(policy=_NEW_POLICY, instances=[_MOVED])
        result = self.clients.policies.AssociateInstances(request).results[0]
        if result.HasField("error") or result.previous_policy != self.model.policy_of[_MOVED]:
            raise NotAsExpected(f"moving {_MOVED}: {result}")
        self.model.move(_MOVED, _NEW_POLICY)

    def _kill(self, at: datetime) -> None:
        self.tell(at, "kill -9 of the scheduler, just when web-twice-a-day is due")
        self.supervisor.process("scheduler_service").kill()

    def _disable(self, at: datetime) -> None:
        self.tell(at, "policy nightly in cn-south-1 is disabled")
        self.clients.policies.DisablePolicy(pb.DisablePolicyRequest(name=_PAUSED))
        self.model.disable(_PAUSED)

    def _enable(self, at: datetime) -> None:
        policy = self.clients.policies.EnablePolicy(pb.EnablePolicyRequest(name=_PAUSED))
        self.model.enable(_PAUSED, at)
        next_time = policy.next_execution_time.ToDatetime(UTC)
        self.tell(at, f"policy nightly in cn-south-1 is enabled again; it goes on at {next_time:%a %H:%M}")
        if next_time != self.model.policies[_PAUSED].next:
            raise NotAsExpected(f"{_PAUSED} would go on at {next_time}")

    def _delete(self, at: datetime) -> None:
        self.tell(at, "policy databases is deleted while its images are being built")
        self.clients.policies.DeletePolicy(pb.DeletePolicyRequest(name=_DELETED))
        self.model.delete(_DELETED)
