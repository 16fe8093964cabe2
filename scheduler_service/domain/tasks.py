"""An image task, one instance's part of an execution, and how it may change.

Every function here is pure: it takes a task and what was learned, and answers the task as it is to be stored. A task
moves through phases, each of which one step of the main loop looks after:

    SEND     no build is known to be accepted    → the send step
    FOLLOW   a build was accepted                → the follow step
    RESOLVE  it is to end without success        → the resolve step, which asks compute what became of the request
    LATE     it timed out, its image lives on    → the follow step
    DONE     nothing is left to do
"""

import enum
import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

START_WINDOW = timedelta(hours=1)
"""How long after its planned start a build may be begun (X4, X5); product time."""
BUILD_DEADLINE = timedelta(hours=24)
"""How long after its acceptance a build may take (X5); product time."""
RETRY_FIRST = timedelta(seconds=0.2)
RETRY_MOST = timedelta(seconds=30)
BUSY_FIRST = timedelta(minutes=1)
BUSY_MOST = timedelta(minutes=10)
BUSY_LAST = timedelta(seconds=10)
"""The last try is made so long before the start window ends: loops wake a little after the time they asked for."""
FOLLOW_FIRST = timedelta(seconds=2)
FOLLOW_MOST = timedelta(minutes=1)
LATE_INTERVAL = timedelta(hours=1)


class TaskState(enum.StrEnum):
    """What users see of a task (X2)."""

    PENDING = "PENDING"
    BUILDING = "BUILDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self not in (TaskState.PENDING, TaskState.BUILDING)


class Phase(enum.StrEnum):
    """Which step looks after a task; see the module's text."""

    SEND = "SEND"
    FOLLOW = "FOLLOW"
    RESOLVE = "RESOLVE"
    LATE = "LATE"
    DONE = "DONE"


class BuildState(enum.StrEnum):
    """How far compute is with an image."""

    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A disk that an image does not hold although it was asked for, and why."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class Build:
    """An image as compute told of it, and when it accepted the build (product time). `reason` is set in state ERROR."""

    image: str
    state: BuildState
    create_time: datetime
    included: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    reason: str = ""


class Trouble(enum.Enum):
    """What a refusal asks for."""

    TRANSIENT = "try again soon"
    BUSY = "try again when the instance may be free"
    TOO_LATE = "send again under a new lease"
    SKIP = "a foreseen end"
    PERMANENT = "an unforeseen end"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Compute did not accept a build."""

    trouble: Trouble
    reason: str
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Task:
    """An image task as it is stored.

    `fence` is the number of the claim: a result is written only if no later claim was made. `in_flight` says whether
    the task counts as a build in flight (X7): from the moment at which it may be sent until it has ended or compute has
    refused it for now. `end_state` and `end_reason` say how the task ends once it is resolved. A claimed task's
    `due_operating` is the end of its lease.
    """

    execution_uid: str
    instance: str
    policy_uid: str
    association_uid: str
    request_id: str
    trigger_time: datetime
    planned_start_time: datetime
    state: TaskState
    phase: Phase
    create_time: datetime
    due_product: datetime | None
    due_operating: datetime
    in_flight: bool = False
    fence: int = 0
    tries: int = 0
    attempt_count: int = 0
    reason: str = ""
    end_state: TaskState | None = None
    end_reason: str = ""
    image: str = ""
    included: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    build_start_time: datetime | None = None
    end_time: datetime | None = None
    late_image_time: datetime | None = None
    image_delete_time: datetime | None = None

    @property
    def instance_id(self) -> str:
        return self.instance.rpartition("/")[2]

    @property
    def place(self) -> str:
        """Its account and region: `accounts/{account}/regions/{region}`."""
        return self.instance.partition("/instances/")[0]

    @property
    def has_image(self) -> bool:
        """Whether its image became available, in time or late."""
        return self.state is TaskState.SUCCEEDED or self.late_image_time is not None

    @property
    def window_end(self) -> datetime:
        """Until when a build may be begun; product time."""
        return self.planned_start_time + START_WINDOW


def claimed(task: Task, lease_end: datetime, product: datetime) -> Task:
    """The task in the hands of one step until the lease ends; one that may be sent counts as a build in flight."""
    may_be_sent = task.phase is Phase.SEND and product <= task.window_end
    return replace(task, fence=task.fence + 1, due_operating=lease_end, in_flight=task.in_flight or may_be_sent)


def withdrawn(task: Task, state: TaskState, reason: str, product: datetime, operating: datetime) -> Task:
    """A task on its way to an end without its holder's doing: whoever has a claim on it can't send it any more."""
    return replace(ending(task, state, reason, product, operating), fence=task.fence + 1)


def moved(task: Task, phase: Phase, product: datetime, operating: datetime) -> Task:
    """The task in another phase, to be looked at from these times on."""
    return replace(task, phase=phase, due_product=product, due_operating=operating, tries=0)


def ended(task: Task, state: TaskState, reason: str, now: datetime) -> Task:
    """The task at its end. Only for tasks that succeeded, or whose request is resolved (X6)."""
    return replace(
        task,
        state=state,
        reason=reason,
        phase=Phase.DONE,
        in_flight=False,
        due_product=None,
        end_time=now,
        end_state=None,
        end_reason="",
    )


def ending(task: Task, state: TaskState, reason: str, product: datetime, operating: datetime) -> Task:
    """The task on its way to an end without success: it ends when its request is resolved (X6).

    However little was done with it as far as we know: we may be a database of before, restored after it was built.
    """
    return replace(moved(task, Phase.RESOLVE, product, operating), reason=reason, end_state=state, end_reason=reason)


def put_off(task: Task, reason: str, operating: datetime, source: random.Random, at_least: timedelta) -> Task:
    """The task after a transient failure: tried again after exponential backoff with full jitter (X5)."""
    told = task.reason if task.state.ended else reason  # why a task ended is not for an outage to overwrite
    tries = _tries(task, told)
    delay = retry_delay(tries, source, at_least)
    return replace(task, reason=told, tries=tries + 1, due_operating=operating + delay)


def retry_delay(tries: int, source: random.Random, at_least: timedelta) -> timedelta:
    """How long to wait after so many tries in a row that failed, and another: 0.2 s doubling to 30 s, full jitter."""
    ceiling: timedelta = min(RETRY_FIRST * 2 ** min(tries, 16), RETRY_MOST)
    return max(at_least, ceiling * source.random())


def _tries(task: Task, reason: str) -> int:
    """How many times in a row it was put off for this reason; for another reason the pauses begin anew."""
    return task.tries if task.reason == reason else 0


def accepted(task: Task, build: Build, product: datetime, operating: datetime) -> Task:
    """The task after compute accepted its build, or turned out to have accepted it earlier."""
    following = moved(task, Phase.FOLLOW, _first_look(build, product), operating)
    return replace(
        following,
        state=TaskState.BUILDING,
        in_flight=True,
        reason="",
        end_state=None,
        end_reason="",
        image=build.image,
        included=build.included,
        left_out=build.left_out,
        build_start_time=build.create_time,
    )


def _first_look(build: Build, product: datetime) -> datetime:
    return product + FOLLOW_FIRST if build.state is BuildState.CREATING else product


def refused(task: Task, refusal: Refusal, product: datetime, operating: datetime, source: random.Random) -> Task:
    """The task after compute refused its build."""
    match refusal.trouble:
        case Trouble.TRANSIENT | Trouble.TOO_LATE:
            return put_off(task, refusal.reason, operating, source, refusal.retry_after)
        case Trouble.BUSY:
            return _busy(task, refusal.reason, product, operating)
        case Trouble.SKIP:
            return ending(task, TaskState.SKIPPED, refusal.reason, product, operating)
        case Trouble.PERMANENT:
            return ending(task, TaskState.FAILED, refusal.reason, product, operating)


def _busy(task: Task, reason: str, product: datetime, operating: datetime) -> Task:
    """Tried again after 1, 2, 4 … 10 minutes of product time, the last time at the end of the start window (X4).

    Meanwhile it does not count as a build in flight. Should an earlier create of it arrive in spite of the answer, the
    next try learns so.
    """
    last = task.window_end - BUSY_LAST
    if product >= last:
        return ending(task, TaskState.FAILED, reason, product, operating)
    tries = _tries(task, reason)
    again = product + min(BUSY_FIRST * 2 ** min(tries, 8), BUSY_MOST)
    waiting = replace(task, reason=reason, tries=tries + 1, in_flight=False)
    return replace(waiting, due_product=min(again, last), due_operating=operating)


def past_window(task: Task, product: datetime, operating: datetime, *, paused: bool) -> Task:
    """The end of a task for which no build was accepted within the start window; says what stood in the way last."""
    reason = "REGION_PAUSED" if paused else task.reason or "START_WINDOW_PASSED"
    return ending(task, TaskState.FAILED, reason, product, operating)


def observed(task: Task, build: Build | None, product: datetime, operating: datetime) -> Task:
    """The task after a look at its image; None: there is no such image any more."""
    if build is None:
        return ending(task, TaskState.FAILED, "IMAGE_DELETED", product, operating)
    if build.state is BuildState.AVAILABLE:
        return ended(task, TaskState.SUCCEEDED, "", product)
    if build.state is BuildState.ERROR:
        return ending(task, TaskState.FAILED, build.reason, product, operating)
    if task.build_start_time is not None and product >= task.build_start_time + BUILD_DEADLINE:
        return ending(task, TaskState.FAILED, "BUILD_TIMEOUT", product, operating)
    return _look_again(task, product, operating)


def _look_again(task: Task, product: datetime, operating: datetime) -> Task:
    delay = min(FOLLOW_FIRST * 2 ** min(task.tries, 8), FOLLOW_MOST)
    return replace(task, tries=task.tries + 1, due_product=product + delay, due_operating=operating, reason="")


def observed_late(task: Task, build: Build | None, product: datetime, operating: datetime) -> Task:
    """A timed-out task after a look at its image: its state stays FAILED, a late image is taken note of (X5)."""
    if build is not None and build.state is BuildState.CREATING:
        return replace(task, due_product=product + LATE_INTERVAL, due_operating=operating)
    available = build is not None and build.state is BuildState.AVAILABLE
    return replace(task, phase=Phase.DONE, due_product=None, late_image_time=product if available else None)


def resolved(task: Task, build: Build | None, product: datetime, operating: datetime) -> Task:
    """The task after compute settled its request; None: there is no image of it and there never will be.

    A living image overrules the intended end, but for a build that took too long: it ends, and its image is followed.
    """
    intended = task.end_state or TaskState.FAILED
    if build is None:
        return ended(task, intended, task.end_reason, product)
    if build.state is BuildState.ERROR:
        return ended(accepted(task, build, product, operating), TaskState.FAILED, build.reason, product)
    if task.end_reason == "BUILD_TIMEOUT" and build.state is BuildState.CREATING:
        timed_out = ended(task, TaskState.FAILED, "BUILD_TIMEOUT", product)
        return replace(timed_out, phase=Phase.LATE, due_product=product + LATE_INTERVAL, due_operating=operating)
    return replace(accepted(task, build, product, operating), due_product=product)
