"""Makes what a fleet file describes through the public RPCs. What is there already stays as it is."""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.message import Message

from autoimage.compute.v1 import compute_pb2, instance_service_pb2, quota_service_pb2
from autoimage.log.v1 import log_service_pb2
from autoimage.policy.v1 import policy_service_pb2
from servicekit.errors import ServiceError
from servicekit.status import from_status
from servicekit.timestamps import from_proto
from suite.clients import Clients, is_silence, told
from suite.errors import SuiteError
from suite.fleet import document, wanted
from suite.fleet.document import Problem
from suite.fleet.existing import BATCH, Existing, chunks, read_existing
from suite.fleet.model import Fleet, Instance, LogSet, Place, Policy, Quota, Topic
from suite.fleet.starts import first_time, may_be_of

_ASSOCIATIONS = 100
"""How many instances one call associates at most."""


class Result(enum.Enum):
    CREATED = "created"
    UNCHANGED = "unchanged"
    DIFFERENT = "different"
    FAILED = "failed"


@dataclass(frozen=True)
class Thing:
    """Something that a fleet file wants: what it is, its resource name, and where the file says so."""

    kind: str
    name: str
    line: int


@dataclass(frozen=True)
class Outcome:
    """What became of a thing. `detail`: the keys that are different, or why it failed."""

    thing: Thing
    result: Result
    detail: str = ""


def apply_fleet(clients: Clients, fleet: Fleet, now: datetime) -> Iterator[Outcome]:
    """Makes what is missing, and tells of everything. `now` is product time.

    Looks at everything before it writes anything, and raises SuiteError then if something in the file cannot be made
    now, with the line of each. Raises SuiteError at any time if the suite does not answer: what it told of before is
    made, and unchanged the next time.
    """
    makers, problems = [], []
    for place in fleet.places:
        try:
            makers.append(_Maker(clients, place, read_existing(clients, place), now))
        except ServiceError as error:
            problems.append(Problem(place.line, f"{place.name}: {_why(error)}"))
    problems += [problem for maker in makers for problem in maker.check()]
    if problems:
        raise document.error(fleet.path, problems)
    for maker in makers:
        yield from maker.make()


def _why(error: ServiceError) -> str:
    """What a refusal says. Raises SuiteError if it is none, since nobody answers."""
    if is_silence(error):
        raise SuiteError(told(error)) from error
    return error.message


class _Maker:
    """Makes what a place is to have."""

    def __init__(self, clients: Clients, place: Place, there: Existing, now: datetime) -> None:
        self._clients = clients
        self._place = place
        self._there = there
        self._now = now

    def check(self) -> Iterator[Problem]:
        """What of the place cannot be made at this time."""
        for policy in self._place.policies:
            if self._policy_name(policy) not in self._there.policies:
                try:
                    first_time(policy.start, self._now)
                except ValueError as error:
                    yield Problem(policy.start_line, f"{policy.id}.start: {error}")

    def make(self) -> Iterator[Outcome]:
        """In an order in which all is there that something refers to."""
        yield from map(self._quota, self._place.quotas)
        for log_set in self._place.log_sets:
            yield self._log_set(log_set)
            yield from (self._topic(log_set, topic) for topic in log_set.topics)
        yield from self._instances()
        for policy in self._place.policies:
            yield self._policy(policy)
            yield from self._associations(policy)

    def _quota(self, quota: Quota) -> Outcome:
        """A limit other than the default was set by someone, and stays."""
        name = f"{self._place.name}/quotas/{quota.kind}"
        limit = self._there.quotas[name].limit
        found: list[str] | None = [f"limit {limit}"]
        if limit == quota.limit:
            found = []
        elif limit == wanted.DEFAULT_QUOTAS[quota.kind]:
            found = None
        request = quota_service_pb2.UpdateQuotaRequest(quota=compute_pb2.Quota(name=name, limit=quota.limit))
        return _made(Thing("quota", name, quota.line), found, self._clients.quotas.UpdateQuota, request)

    def _log_set(self, log_set: LogSet) -> Outcome:
        name = f"{self._place.name}/logSets/{log_set.id}"
        request = log_service_pb2.CreateLogSetRequest(
            parent=self._place.name, log_set_id=log_set.id, log_set=wanted.log_set(log_set)
        )
        found = _compare(request.log_set, self._there.log_sets.get(name))
        return _made(Thing("log set", name, log_set.line), found, self._clients.logs.CreateLogSet, request)

    def _topic(self, log_set: LogSet, topic: Topic) -> Outcome:
        parent = f"{self._place.name}/logSets/{log_set.id}"
        name = f"{parent}/logTopics/{topic.id}"
        request = log_service_pb2.CreateLogTopicRequest(
            parent=parent, log_topic_id=topic.id, log_topic=wanted.topic(topic)
        )
        found = _compare(request.log_topic, self._there.topics.get(name))
        return _made(Thing("log topic", name, topic.line), found, self._clients.logs.CreateLogTopic, request)

    def _policy(self, policy: Policy) -> Outcome:
        name = self._policy_name(policy)
        there = self._there.policies.get(name)
        start_time = first_time(policy.start, self._now) if there is None else from_proto(there.schedule.start_time)
        request = policy_service_pb2.CreatePolicyRequest(
            parent=self._place.name, policy_id=policy.id, policy=wanted.policy(policy, self._place, start_time)
        )
        found = _compare(request.policy, there)
        if found is not None and not may_be_of(policy.start, start_time):
            found.append("start")
        return _made(Thing("policy", name, policy.line), found, self._clients.policies.CreatePolicy, request)

    def _policy_name(self, policy: Policy) -> str:
        return f"{self._place.name}/policies/{policy.id}"

    def _instances(self) -> Iterator[Outcome]:
        missing = []
        for instance in self._place.instances:
            thing = self._instance(instance)
            found = _compare(wanted.instance(instance), self._there.instances.get(thing.name))
            if found is None:
                missing.append(instance)
            else:
                yield _there(thing, found)
        for chunk in chunks(missing, BATCH):
            yield from self._create_instances(chunk)

    def _instance(self, instance: Instance) -> Thing:
        return Thing("instance", self._instance_name(instance.id), instance.line)

    def _instance_name(self, id: str) -> str:
        return f"{self._place.name}/instances/{id}"

    def _create_instances(self, instances: Sequence[Instance]) -> Iterator[Outcome]:
        requests = [
            instance_service_pb2.CreateInstanceRequest(
                parent=self._place.name, instance_id=instance.id, instance=wanted.instance(instance)
            )
            for instance in instances
        ]
        request = instance_service_pb2.BatchCreateInstancesRequest(parent=self._place.name, requests=requests)
        errors = _errors(self._clients.instances.BatchCreateInstances, request, len(instances))
        for instance, error in zip(instances, errors, strict=True):
            yield _tried(self._instance(instance), error)

    def _associations(self, policy: Policy) -> Iterator[Outcome]:
        """An instance that has another policy by now keeps it."""
        missing = []
        for id in policy.instances:
            its = self._there.policy_of.get(self._instance_name(id))
            if its is None:
                missing.append(id)
            else:
                found = [] if its == self._policy_name(policy) else [f"is an instance of {its}"]
                yield _there(self._association(policy, id), found)
        for chunk in chunks(missing, _ASSOCIATIONS):
            yield from self._associate(policy, chunk)

    def _association(self, policy: Policy, id: str) -> Thing:
        return Thing("association", f"{self._policy_name(policy)}/associations/{id}", policy.line)

    def _associate(self, policy: Policy, ids: Sequence[str]) -> Iterator[Outcome]:
        request = policy_service_pb2.AssociateInstancesRequest(
            policy=self._policy_name(policy), instances=[self._instance_name(id) for id in ids]
        )
        errors = _errors(self._clients.policies.AssociateInstances, request, len(ids))
        for id, error in zip(ids, errors, strict=True):
            yield _tried(self._association(policy, id), error)


def _compare(message: Message, there: Message | None) -> list[str] | None:
    """How what is there differs, None if nothing is."""
    return None if there is None else wanted.differences(message, there)


def _made(thing: Thing, found: list[str] | None, method: Callable[[Any], Any], request: Message) -> Outcome:
    """`found`: how what is there differs, None if nothing is and the method shall make it."""
    if found is not None:
        return _there(thing, found)
    try:
        method(request)
    except ServiceError as error:
        return _tried(thing, error)
    return _tried(thing, None)


def _errors(method: Callable[[Any], Any], request: Message, count: int) -> list[ServiceError | None]:
    """What a batch call says of each of its `count` items."""
    try:
        results = method(request).results
    except ServiceError as error:
        return [error] * count
    return [from_status(result.error) if result.HasField("error") else None for result in results]


def _there(thing: Thing, found: Sequence[str]) -> Outcome:
    return Outcome(thing, Result.DIFFERENT if found else Result.UNCHANGED, ", ".join(found))


def _tried(thing: Thing, error: ServiceError | None) -> Outcome:
    return Outcome(thing, Result.CREATED) if error is None else Outcome(thing, Result.FAILED, _why(error))
