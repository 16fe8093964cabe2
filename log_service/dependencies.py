"""What the commands of the log service work with."""

from dataclasses import dataclass, field

from servicekit.clock import Clocks
from servicekit.database import Database
from servicekit.ids import Ids


@dataclass(frozen=True)
class Dependencies:
    database: Database
    clocks: Clocks
    ids: Ids = field(default_factory=Ids)
