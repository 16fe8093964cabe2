"""Stand-ins for the services that the scheduler calls: true to their contracts, and troubled on demand."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from scheduler_service.domain.executions import Execution, Trigger
from scheduler_service.domain.log_entries import Entry
from scheduler_service.domain.refusals import refusal
from scheduler_service.domain.retention import KEEP_FOREVER, Condition, KeptImage, Retention, Seen
from scheduler_service.domain.tasks import Build, BuildState, LeftOut, Refusal, Task
from scheduler_service.peers.compute import Compute, Deletion
from scheduler_service.peers.logs import Delivery, Logs
from scheduler_service.peers.policies import Associated, Leased, Policies
from servicekit.errors import Unavailable
from tests.support.clocks import ManualClocks

R = TypeVar("R")
TRIGGER_LEASE = timedelta(seconds=30)


class SimulatedCrash(BaseException):
    """The process dies here: nothing that the code catches, and nothing that it does, comes after."""


@dataclass(frozen=True)
class Fault:
    """What befalls a call: before it arrives, or after it was served and before its answer arrives."""

    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def lost_request() -> Fault:
    """Nobody answers, and nothing was done."""
    return Fault(before=raising(Unavailable("TRANSPORT")))


def lost_answer() -> Fault:
    """Nobody answers, yet all was done."""
    return Fault(after=raising(Unavailable("TRANSPORT")))


def throttled(delay: timedelta) -> Fault:
    """The service is too busy, and says for how long."""
    return Fault(before=raising(Unavailable("OVERLOADED", retry_after=delay)))


class Faults:
    """What will befall calls by their name: the next ones, or all until `clear`.

    Numbers the places to crash at: before and after each commit, and after each call. Before a call nothing has
    changed since the place before.
    """

    def __init__(self) -> None:
        self.reached = 0
        self.crash_at: int | None = None
        self._next: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}

    def next(self, name: str, *faults: Fault) -> None:
        self._next[name].extend(faults)

    def always(self, name: str, fault: Fault) -> None:
        self._always[name] = fault

    def clear(self, name: str) -> None:
        self._always.pop(name, None)
        self._next.pop(name, None)

    def place(self) -> None:
        """A place at which the process may die."""
        self.reached += 1
        if self.reached == self.crash_at:
            raise SimulatedCrash

    def around(self, name: str, act: Callable[[], R]) -> R:
        fault = self._next[name].popleft() if self._next[name] else self._always.get(name, Fault())
        fault.before()
        result = act()
        fault.after()
        self.place()
        return result


@dataclass
class _Pending:
    trigger: Trigger
    lease_end: datetime | None = None


class FakePolicies(Policies):
    """Triggers with leases in operating time, associations, and how long images are kept."""

    def __init__(self, time: ManualClocks, faults: Faults) -> None:
        self._time = time
        self._faults = faults
        self._pending: list[_Pending] = []
        self.holding: dict[str, str] = {}  # association uid → policy uid
        self.deleted: set[str] = set()  # policy uids
        self.retentions: dict[str, Retention] = {}  # by the uid of each policy that is known
        self.looked_up: list[list[str]] = []  # policy uids
        self.next_due_time: datetime | None = None
        self.acknowledged: list[str] = []
        self.asked: list[list[str]] = []  # association uids
        self.missing: list[str] = []  # association uids
        self.gone_topics: list[tuple[str, str]] = []  # policy, log topic
        self.schedulers: list[str] = []

    def add(self, trigger: Trigger) -> None:
        self._pending.append(_Pending(trigger))
        self.retentions.setdefault(trigger.policy_uid, KEEP_FOREVER)
        for instance in trigger.instances:
            self.holding[instance.association_uid] = trigger.policy_uid

    def pending(self) -> list[str]:
        """The uids of triggers that are not acknowledged."""
        return [item.trigger.uid for item in self._pending]

    def delete_policy(self, policy_uid: str) -> None:
        self.deleted.add(policy_uid)
        self.holding = {uid: policy for uid, policy in self.holding.items() if policy != policy_uid}

    def lease_triggers(self, scheduler: str) -> Leased:
        def act() -> Leased:
            now = self._time.operating.now()
            self.schedulers.append(scheduler)
            free = [item for item in self._pending if item.lease_end is None or item.lease_end <= now]
            for item in free:
                item.lease_end = now + TRIGGER_LEASE
            return Leased([item.trigger for item in free], self.next_due_time)

        return self._faults.around("lease_triggers", act)

    def acknowledge(self, trigger_uids: Collection[str]) -> None:
        def act() -> None:
            self.acknowledged += trigger_uids
            self._pending = [item for item in self._pending if item.trigger.uid not in trigger_uids]

        self._faults.around("acknowledge", act)

    def filter_associated(self, tasks: Collection[Task]) -> Associated:
        def act() -> Associated:
            self.asked.append([task.association_uid for task in tasks])
            holding = frozenset(t.association_uid for t in tasks if self.holding.get(t.association_uid) == t.policy_uid)
            return Associated(holding, frozenset(task.policy_uid for task in tasks) & self.deleted)

        return self._faults.around("filter_associated", act)

    def disable_logging(self, topics: Collection[tuple[str, str]]) -> None:
        self._faults.around("disable_logging", lambda: self.gone_topics.extend(topics))

    def report_missing(self, tasks: Collection[Task]) -> None:
        def act() -> None:
            for task in tasks:
                self.missing.append(task.association_uid)
                self.holding.pop(task.association_uid, None)

        self._faults.around("report_missing", act)

    def look_up_retentions(self, policy_uids: Collection[str]) -> dict[str, Retention]:
        def act() -> dict[str, Retention]:
            self.looked_up.append(sorted(policy_uids))
            return {uid: retention for uid, retention in self.retentions.items() if uid in policy_uids}

        return self._faults.around("look_up_retentions", act)


def refused(code: str, reason: str, retry_after: timedelta | None = None) -> Refusal:
    """The refusal that the adapter makes of this code and reason."""
    return refusal(code, reason, known_reason=True, retry_after=retry_after)


BUSY = refused("FAILED_PRECONDITION", "INSTANCE_BUSY")
NO_IMAGE_QUOTA = refused("RESOURCE_EXHAUSTED", "IMAGE_QUOTA_EXCEEDED")
NO_SNAPSHOT_QUOTA = refused("RESOURCE_EXHAUSTED", "SNAPSHOT_QUOTA_EXCEEDED")
NO_INSTANCE = refused("NOT_FOUND", "INSTANCE_NOT_FOUND")
LOCAL_SYSTEM_DISK = refused("FAILED_PRECONDITION", "LOCAL_SYSTEM_DISK")


@dataclass(frozen=True)
class FakeImage:
    name: str
    instance: str
    request_id: str
    create_time: datetime
    finish: datetime
    fails: bool
    expire_time: datetime | None = None
    protected: bool = False
    revision: int = 0

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'


class FakeCompute(Compute):
    """Builds that take product time; request ids, tombstones and `not_after` as the contract has them.

    `refusals` answers an instance's creates, for as long as it stands there; `failing` instances' images end as ERROR.
    """

    def __init__(self, time: ManualClocks, faults: Faults) -> None:
        self._time = time
        self._faults = faults
        self.build_time = timedelta(minutes=1)
        self.refusals: dict[str, Refusal] = {}  # by instance id
        self.failing: set[str] = set()  # instance ids
        self.included: tuple[str, ...] = ("vda", "vdb")
        self.left_out: tuple[LeftOut, ...] = ()
        self.images: dict[str, FakeImage] = {}  # by request id
        self.settled: dict[str, str] = {}  # request ids that build nothing any more, and the reason
        self.creates: list[tuple[str, datetime]] = []  # request id, not_after: all that ever arrived
        self.resolves: Counter[str] = Counter()  # by request id
        self.gets: list[list[str]] = []
        self.looks: list[list[str]] = []  # image names
        self.undeletable: set[str] = set()  # image names
        self.deletes: list[tuple[str, datetime]] = []  # image name, not_after: all that ever arrived
        self.sent_for: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # (execution name, instance) → ids
        self.made = 0

    def create_images(
        self, tasks: Sequence[Task], executions: Mapping[str, Execution], not_after: datetime
    ) -> list[Build | Refusal]:
        def act() -> list[Build | Refusal]:
            for task in tasks:
                self.creates.append((task.request_id, not_after))
                self.sent_for[executions[task.execution_uid].name, task.instance].add(task.request_id)
            return [self._create(task, executions[task.execution_uid], not_after) for task in tasks]

        return self._faults.around("create_images", act)

    def _create(self, task: Task, execution: Execution, not_after: datetime) -> Build | Refusal:
        if task.request_id in self.images:
            return self._build(self.images[task.request_id])
        if task.request_id in self.settled:
            return refused("FAILED_PRECONDITION", self.settled[task.request_id])
        if self._time.operating.now() > not_after:
            return refused("FAILED_PRECONDITION", "REQUEST_TOO_LATE")
        if task.instance_id in self.refusals:
            return self.refusals[task.instance_id]
        if any(i.instance == task.instance and self.state(i) is BuildState.CREATING for i in self.images.values()):
            return BUSY
        self.made += 1
        image = FakeImage(
            name=f"{task.instance.partition('/instances/')[0]}/images/img-{self.made:010}",
            instance=task.instance,
            request_id=task.request_id,
            create_time=self._time.product.now(),
            finish=self._time.product.now() + self.build_time,
            fails=task.instance_id in self.failing,
            expire_time=execution.image_expire_time,
        )
        self.images[task.request_id] = image
        return self._build(image)

    def state(self, image: FakeImage) -> BuildState:
        if self._time.product.now() < image.finish:
            return BuildState.CREATING
        return BuildState.ERROR if image.fails else BuildState.AVAILABLE

    def _build(self, image: FakeImage) -> Build:
        state = self.state(image)
        reason = "SNAPSHOT_FAILED" if state is BuildState.ERROR else ""
        return Build(image.name, state, image.create_time, self.included, self.left_out, reason)

    def get_images(self, names: Sequence[str]) -> list[Build | Refusal | None]:
        def act() -> list[Build | Refusal | None]:
            self.gets.append(list(names))
            known = {image.name: image for image in self.images.values()}
            return [self._build(known[name]) if name in known else None for name in names]

        return self._faults.around("get_images", act)

    def look_at(self, images: Sequence[KeptImage]) -> list[Seen]:
        def act() -> list[Seen]:
            self.looks.append([image.name for image in images])
            known = {image.name: image for image in self.images.values()}
            return [self._seen(image, known.get(image.name)) for image in images]

        return self._faults.around("look_at", act)

    def _seen(self, image: KeptImage, found: FakeImage | None) -> Seen:
        if found is None:
            return Seen(image, Condition.GONE)
        available = found.request_id == image.request_id and self.state(found) is BuildState.AVAILABLE
        condition = Condition.AVAILABLE if available else Condition.NOT_AVAILABLE
        return Seen(image, condition, found.protected, found.etag)

    def delete_image(self, seen: Seen, not_after: datetime) -> Deletion:
        def act() -> Deletion:
            self.deletes.append((seen.image.name, not_after))
            found = next((image for image in self.images.values() if image.name == seen.image.name), None)
            if found is None:
                return Deletion.GONE
            if found.name in self.undeletable:
                return Deletion.FAILED
            if self._time.operating.now() > not_after:
                return Deletion.TOO_LATE
            if found.protected or found.etag != seen.etag:
                return Deletion.REFUSED
            self.remove(found)
            return Deletion.DELETED

        return self._faults.around("delete_image", act)

    def resolve(self, tasks: Sequence[Task]) -> list[Build | None]:
        def act() -> list[Build | None]:
            self.resolves.update(task.request_id for task in tasks)
            return [self._resolve(task.request_id) for task in tasks]

        return self._faults.around("resolve", act)

    def _resolve(self, request_id: str) -> Build | None:
        if request_id in self.images:
            return self._build(self.images[request_id])
        self.settled.setdefault(request_id, "REQUEST_RESOLVED")
        return None

    def live_images(self) -> list[FakeImage]:
        return [image for image in self.images.values() if self.state(image) is not BuildState.ERROR]

    def image_of(self, instance_id: str) -> FakeImage:
        (image,) = [image for image in self.images.values() if image.instance.endswith(f"/{instance_id}")]
        return image

    def named(self, name: str) -> FakeImage:
        (image,) = [image for image in self.images.values() if image.name == name]
        return image

    def add(self, name: str, instance: str, request_id: str) -> None:
        """Somebody else had this image made, and it is complete."""
        finish = self._time.product.now() - timedelta(days=1)
        self.images[request_id] = FakeImage(name, instance, request_id, finish, finish, fails=False)

    def protect(self, name: str, protected: bool = True) -> None:
        """A user protects the image, or lets go of it."""
        image = self.named(name)
        self.images[image.request_id] = replace(image, protected=protected, revision=image.revision + 1)

    def remove(self, image: FakeImage) -> None:
        """A user deletes the image."""
        del self.images[image.request_id]
        self.settled[image.request_id] = "IMAGE_DELETED"

    def finish_at(self, image: FakeImage, finish: datetime) -> None:
        self.images[image.request_id] = replace(image, finish=finish)


class FakeLogs(Logs):
    """Keeps the first of each topic and insert id."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.gone: set[str] = set()  # topics
        self.answers: dict[str, Delivery] = {}  # by insert id, for as long as it stands there
        self.kept: dict[tuple[str, str], Entry] = {}
        self.received: list[str] = []  # insert ids, repetitions included

    def write(self, entries: Sequence[Entry]) -> list[Delivery]:
        return self._faults.around("write", lambda: [self._write(entry) for entry in entries])

    def _write(self, entry: Entry) -> Delivery:
        self.received.append(entry.insert_id)
        if entry.log_topic in self.gone:
            return Delivery.TOPIC_GONE
        if entry.insert_id in self.answers:
            return self.answers[entry.insert_id]
        self.kept.setdefault((entry.log_topic, entry.insert_id), entry)
        return Delivery.ACCEPTED
