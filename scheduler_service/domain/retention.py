"""How long images are kept (P9, X9): which of them go, decided from what is known of each, and of nothing else.

The images that one policy made of one instance are a series; each series is judged by itself. What is not known of an
image speaks for it: only an image that is known to be available counts, and only one that is can go. So it does no harm
to judge a part of a series, or by a look at compute that failed in part.
"""

import enum
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_service.domain.tasks import retry_delay

INTERVAL = timedelta(days=1)
"""How long a series is left alone when no new image comes; product time."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long images are kept. An image goes when either limit says so; 0 means no limit, and none: for ever."""

    keep_days: int = 0
    keep_last: int = 0
    may_delete_newest: bool = False

    @property
    def for_ever(self) -> bool:
        return self.keep_days <= 0 and self.keep_last <= 0

    @property
    def keep_age(self) -> timedelta | None:
        """The age at which `keep_days` lets an image go; None: its age does not matter."""
        return timedelta(days=self.keep_days) if self.keep_days > 0 else None

    def expire_time(self, scheduled_time: datetime) -> datetime | None:
        """From when on `keep_days` lets an image of this time go; None: its age does not matter."""
        return scheduled_time + self.keep_age if self.keep_age else None

    @property
    def witnesses(self) -> int:
        """How many of the newest available images must be known to judge any other."""
        return 0 if self.for_ever else max(self.keep_last, 1)


KEEP_FOREVER = Retention()


@dataclass(frozen=True, slots=True)
class Series:
    """The images that one policy made of one instance, and when retention looks at them next.

    `fence` and `due_operating` are those of a claim, as a task has them. `asked` counts the images that came: a look
    that began before the latest of them is followed by another. `after` is where a long series is looked at next.
    """

    policy_uid: str
    instance: str
    account: str
    region: str
    policy_id: str
    due_product: datetime
    due_operating: datetime
    fence: int = 0
    tries: int = 0
    asked: int = 1
    after: tuple[datetime, str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Policy uid and instance."""
        return self.policy_uid, self.instance


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image of a task of ours that may exist. `deleting` says that a delete of ours may have reached compute."""

    name: str
    policy_uid: str
    instance: str
    scheduled_time: datetime
    request_id: str
    execution_uid: str
    deleting: bool = False

    @property
    def series(self) -> tuple[str, str]:
        """The key of its series."""
        return self.policy_uid, self.instance

    @property
    def task(self) -> tuple[str, str]:
        """The key of its task: execution uid and instance id. The task may be forgotten by now."""
        return self.execution_uid, self.instance.rpartition("/")[2]

    @property
    def age_key(self) -> tuple[datetime, str]:
        """What images of a series are ordered by: their scheduled times; their names decide if those are the same."""
        return self.scheduled_time, self.name


class Condition(enum.Enum):
    """What compute tells of an image."""

    AVAILABLE = "it is complete"
    NOT_AVAILABLE = "it is not complete, not known to be ours, or compute did not tell"
    GONE = "there is no such image"


@dataclass(frozen=True, slots=True)
class Seen:
    """An image, and what compute told of it. It is deleted only while `etag` is still its own."""

    image: KeptImage
    condition: Condition
    protected: bool = False
    etag: str = ""


class Verdict(enum.StrEnum):
    """Whether an image stays, and why; see the contract for each."""

    KEEP_FOREVER = "KEEP_FOREVER"
    KEEP_WITHIN_LIMITS = "KEEP_WITHIN_LIMITS"
    KEEP_NEWEST = "KEEP_NEWEST"
    KEEP_PROTECTED = "KEEP_PROTECTED"
    KEEP_NOT_AVAILABLE = "KEEP_NOT_AVAILABLE"
    DELETE_TOO_OLD = "DELETE_TOO_OLD"
    DELETE_TOO_MANY = "DELETE_TOO_MANY"
    GONE = "GONE"

    @property
    def deletes(self) -> bool:
        return self in (Verdict.DELETE_TOO_OLD, Verdict.DELETE_TOO_MANY)


class Judged(NamedTuple):
    """An image as it was seen, and what is to become of it."""

    seen: Seen
    verdict: Verdict


def judge(retention: Retention, now: datetime, series: Iterable[Seen]) -> list[Judged]:
    """A verdict for each image of a series, newest first. Protected images count like any other, and stay."""
    judged = []
    newer = 0  # those that are available
    for seen in sorted(series, key=lambda seen: seen.image.age_key, reverse=True):
        judged.append(Judged(seen, _verdict(retention, now, seen, newer)))
        newer += seen.condition is Condition.AVAILABLE
    return judged


def _verdict(retention: Retention, now: datetime, seen: Seen, newer: int) -> Verdict:
    if seen.condition is Condition.GONE:
        return Verdict.GONE
    if seen.condition is Condition.NOT_AVAILABLE:
        return Verdict.KEEP_NOT_AVAILABLE
    if retention.for_ever:
        return Verdict.KEEP_FOREVER
    limit = _limit_reached(retention, now, seen.image.scheduled_time, newer)
    if limit is None:
        return Verdict.KEEP_WITHIN_LIMITS
    if newer == 0 and not retention.may_delete_newest:
        return Verdict.KEEP_NEWEST
    return Verdict.KEEP_PROTECTED if seen.protected else limit


def _limit_reached(retention: Retention, now: datetime, scheduled_time: datetime, newer: int) -> Verdict | None:
    expire_time = retention.expire_time(scheduled_time)
    if expire_time is not None and expire_time <= now:
        return Verdict.DELETE_TOO_OLD
    if 0 < retention.keep_last <= newer:
        return Verdict.DELETE_TOO_MANY
    return None


def rested(series: Series, product: datetime, operating: datetime) -> Series:
    """The series after a look at all that might go: the next look is a day later, unless an image comes before."""
    return replace(series, due_product=product + INTERVAL, due_operating=operating, tries=0, after=None)


def going_on(series: Series, after: tuple[datetime, str], operating: datetime) -> Series:
    """The series after a look at a part of it: the next look goes on after this image, at once."""
    return replace(series, due_operating=operating, tries=0, after=after)


def put_off(series: Series, operating: datetime, source: random.Random, at_least: timedelta) -> Series:
    """The series after a look that could not be finished: it is repeated after a pause, as a task's try is."""
    delay = retry_delay(series.tries, source, at_least)
    return replace(series, due_operating=operating + delay, tries=series.tries + 1)
