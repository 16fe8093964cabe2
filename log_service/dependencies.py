"""What the commands of the log service work with."""

from dataclasses import dataclass, field

from servicekit.clock import Clocks
from servicekit.database import Database
from servicekit.ids import Ids
from servicekit.streams import News


@dataclass(frozen=True)
class Dependencies:
    database: Database
    clocks: Clocks
    ids: Ids = field(default_factory=Ids)
    news: News = field(default_factory=News)
    """Of a topic, by its name: that it has new entries, or is gone."""
