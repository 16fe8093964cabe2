"""A process of this service, as the others know of it. All times are operating times."""

from dataclasses import dataclass
from datetime import datetime, timedelta

SAY_EVERY = timedelta(seconds=10)
"""How often a replica says that it is at work."""
AT_WORK = timedelta(minutes=1)
"""One that said so within this time counts as being at work."""
REMEMBERED = timedelta(hours=1)
"""One that has not said so for longer is forgotten."""


@dataclass(frozen=True, slots=True)
class Replica:
    """What it calls itself, when it last said that it is at work, and the version of the suite that it runs."""

    name: str
    last_seen: datetime
    version: str
