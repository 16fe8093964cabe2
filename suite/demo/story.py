"""What happens in the demo, and when. Each event acts on the suite through its public RPCs, and tells the model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from autoimage.policy.v1 import policy_pb2
from autoimage.policy.v1 import policy_service_pb2 as pb
from suite.clients import Clients
from suite.demo.driver import Event
from suite.demo.model import Model

START = datetime(2030, 3, 28, tzinfo=UTC)
"""A Thursday: on the Sunday after it the clocks of Europe skip an hour."""
END = START + timedelta(days=4)
OUTAGE = (START + timedelta(days=2, minutes=30), START + timedelta(days=2, hours=15))
"""When the whole suite is stopped, and when it is started again: a planned outage."""

_NORTH, _SOUTH = "accounts/acme/regions/cn-north-1", "accounts/acme/regions/cn-south-1"
_MOVED = f"{_NORTH}/instances/web-12"
_MOVED_TO_COPY = f"{_SOUTH}/instances/app-08"
_EDITED = f"{_NORTH}/policies/web-twice-a-day"
_DATABASES = f"{_NORTH}/policies/databases"
_COPY = f"{_SOUTH}/policies/databases"
_COPY_TOPIC = f"{_SOUTH}/logSets/operations/logTopics/images"
_PAUSED = f"{_SOUTH}/policies/nightly"
_RUN_NOW = "accounts/globex/regions/cn-south-1/policies/edge"


class NotAsExpected(Exception):
    """The suite answered a call of the demo otherwise than it should."""


@dataclass(frozen=True)
class Story:
    """`tell` gets a line of text for whoever watches; `kill_scheduler` is one thing that users can't do."""

    clients: Clients
    kill_scheduler: Callable[[], None]
    model: Model
    tell: Callable[[datetime, str], None]

    def events(self) -> Iterator[Event]:
        """In the order of time."""
        yield _event(1, time(10), self._move)
        yield _event(1, time(11), self._replicate)
        yield _event(1, time(12), self._run_now)
        yield _event(2, time(0, 45), self._kill)
        yield _event(2, time(8), self._reschedule)
        yield _event(2, time(10), self._disable)
        yield _event(3, time(20), self._enable)
        yield _event(4, time(2, 0, 3), self._delete)

    def _move(self, at: datetime) -> None:
        self.tell(at, "web-12 moves from policy web-twice-a-day to databases")
        self._associate(_MOVED, _DATABASES)

    def _replicate(self, at: datetime) -> None:
        self.tell(at, "policy databases is replicated to cn-south-1, where it gets app-08")
        target = pb.ReplicationTarget(region="cn-south-1", policy_id="databases", log_topic=_COPY_TOPIC)
        request = pb.ReplicatePolicyRequest(name=_DATABASES, targets=[target])
        result = self.clients.policies.ReplicatePolicy(request).results[0]
        if result.policy.name != _COPY or result.policy.replicated_from != _DATABASES:
            raise NotAsExpected(f"replicating {_DATABASES}: {result}")
        self.model.replicate(_DATABASES, _COPY, _COPY_TOPIC)
        self._associate(_MOVED_TO_COPY, _COPY)

    def _associate(self, instance: str, policy: str) -> None:
        request = pb.AssociateInstancesRequest(policy=policy, instances=[instance])
        result = self.clients.policies.AssociateInstances(request).results[0]
        if result.HasField("error") or result.previous_policy != self.model.policy_of[instance]:
            raise NotAsExpected(f"moving {instance}: {result}")
        self.model.move(instance, policy)

    def _run_now(self, at: datetime) -> None:
        self.tell(at, "policy edge is run now, besides its schedule")
        self.clients.policies.ExecutePolicy(pb.ExecutePolicyRequest(name=_RUN_NOW))
        self.model.run_now(_RUN_NOW, at)

    def _kill(self, at: datetime) -> None:
        self.tell(at, "kill -9 of the scheduler, just when web-twice-a-day is due")
        self.kill_scheduler()

    def _reschedule(self, at: datetime) -> None:
        policy = policy_pb2.Policy(name=_EDITED, display_name="web-once-a-day")
        policy.schedule.interval.count = 1
        policy.schedule.interval.unit = policy_pb2.Interval.UNIT_DAY
        request = pb.UpdatePolicyRequest(policy=policy)
        request.update_mask.paths.extend(["display_name", "schedule.interval"])
        answer = self.clients.policies.UpdatePolicy(request)
        self.model.reschedule(_EDITED, 1, "DAY")
        self._goes_on(at, "policy web-twice-a-day is changed to once a day", answer)

    def _disable(self, at: datetime) -> None:
        self.tell(at, "policy nightly in cn-south-1 is disabled")
        self.clients.policies.DisablePolicy(pb.DisablePolicyRequest(name=_PAUSED))
        self.model.disable(_PAUSED)

    def _enable(self, at: datetime) -> None:
        answer = self.clients.policies.EnablePolicy(pb.EnablePolicyRequest(name=_PAUSED))
        self.model.enable(_PAUSED, at)
        self._goes_on(
            at, "policy nightly in cn-south-1 is enabled again; its 02:30 in Berlin is skipped tonight", answer
        )

    def _goes_on(self, at: datetime, what: str, answer: policy_pb2.Policy) -> None:
        """Tells when a policy is executed next, which must be when the model says."""
        next_time = answer.next_execution_time.ToDatetime(UTC)
        self.tell(at, f"{what}; it goes on at {next_time:%a %H:%M}")
        if next_time != self.model.policies[answer.name].next:
            raise NotAsExpected(f"{answer.name} would go on at {next_time}")

    def _delete(self, at: datetime) -> None:
        self.tell(at, "policy databases is deleted while its images are being built")
        self.clients.policies.DeletePolicy(pb.DeletePolicyRequest(name=_DATABASES))
        self.model.delete(_DATABASES)


def _event(day: int, clock: time, act: Callable[[datetime], None]) -> Event:
    at = datetime.combine(START.date() + timedelta(days=day - 1), clock, UTC)
    return Event(at, lambda: act(at))
