"""What a fleet file says. Every part knows its line, so that whatever is wrong with it can be found."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from servicekit.names import ACCOUNT_REGION
from suite.fleet.starts import Start

SYSTEM_DISK = "vda"


@dataclass(frozen=True)
class Interval:
    """`12 hours`: a count, and the unit's name in the contract without its prefix, such as `HOUR`."""

    count: int
    unit: str


@dataclass(frozen=True)
class Disk:
    """`cloud 40`."""

    is_cloud: bool
    size_gib: int


@dataclass(frozen=True)
class Quota:
    kind: str
    limit: int
    line: int


@dataclass(frozen=True)
class Topic:
    id: str
    display_name: str
    line: int


@dataclass(frozen=True)
class LogSet:
    id: str
    display_name: str
    retention_days: int
    topics: tuple[Topic, ...]
    line: int


@dataclass(frozen=True)
class Instance:
    """`disks` is by device name, in its order."""

    id: str
    display_name: str
    is_running: bool
    disks: dict[str, Disk]
    line: int


@dataclass(frozen=True)
class Policy:
    """`devices`: the disks named, empty means all. `log`: ids of log set and topic. `instances`: ids, each once.

    `keep_days`, `keep_last` and `execution_limit` are 0 where there is no limit; `catch_up` is the name in the contract
    without its prefix, such as `LATEST`.
    """

    id: str
    display_name: str
    description: str
    start: Start
    start_line: int
    interval: Interval
    time_zone: str
    devices: tuple[str, ...]
    is_enabled: bool
    log: tuple[str, str] | None
    keep_days: int
    keep_last: int
    execution_limit: int
    catch_up: str
    spread: timedelta
    instances: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Place:
    """What an account has in a region."""

    account: str
    region: str
    quotas: tuple[Quota, ...]
    log_sets: tuple[LogSet, ...]
    instances: tuple[Instance, ...]
    policies: tuple[Policy, ...]
    line: int

    @property
    def name(self) -> str:
        """Its resource name: `accounts/{account}/regions/{region}`."""
        return ACCOUNT_REGION.format(account=self.account, region=self.region)


@dataclass(frozen=True)
class Fleet:
    path: Path
    places: tuple[Place, ...]
