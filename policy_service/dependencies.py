"""What commands need besides their arguments."""

from dataclasses import dataclass, field
from datetime import timedelta

from policy_service.clients import Compute, Logs
from servicekit.clock import Clocks
from servicekit.clock_guard import Guard, NoGuard
from servicekit.database import Database
from servicekit.ids import Ids


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    database: Database
    clocks: Clocks
    ids: Ids
    compute: Compute
    logs: Logs
    trigger_lease: timedelta
    sweep_interval: timedelta
    warning_deadline: timedelta
    guard: Guard = field(default_factory=NoGuard)
