"""What waits after a long outage: triggers of policies that are deleted by now, each with one instance of its own."""

import os
import uuid
from datetime import datetime, timedelta
from typing import Any

from servicekit.timestamps import to_micros

BACKLOG = int(os.environ.get("AUTOIMAGE_BACKLOG", "5000"))
"""How many; a multiple of 1,000. `make prove` has 100,000."""


def trigger(number: int, scheduled: datetime) -> dict[str, Any]:
    """A row of the policy service's table."""
    policy = number // 50
    return {
        "uid": str(uuid.UUID(int=number + 1)),
        "kind": "SCHEDULED",
        "policy_uid": str(uuid.UUID(int=policy + 10**9)),
        "dedup_key": str(number),
        "account": "acme",
        "region": "cn-north-1",
        "policy_id": f"p-{policy}",
        "display_name": "old",
        "devices": None,
        "log_topic": "",
        "associations": [[str(uuid.UUID(int=number + 2 * 10**9)), f"i-{number}"]],
        "weight": 1,
        "scheduled_micros": to_micros(scheduled),
        "run_id": "",
        "trigger_micros": to_micros(scheduled),
        "lease_expire_micros": 0,
        "lease_count": 0,
    }


def backlog(size: int, now: datetime) -> list[dict[str, Any]]:
    """So many, a minute apart, the oldest first."""
    return [trigger(number, now - (size - number) * timedelta(minutes=1)) for number in range(size)]
