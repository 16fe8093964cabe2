"""What tests of several services need."""

from tests.support.clocks import START, ManualClocks, clocks
from tests.support.databases import database, migration_differences
from tests.support.rpcs import at_once, error_of, running_server

__all__ = [
    "START",
    "ManualClocks",
    "at_once",
    "clocks",
    "database",
    "error_of",
    "migration_differences",
    "running_server",
]
