"""What tests of several services need."""

from tests.support.clocks import START, ManualClocks, clocks
from tests.support.databases import database, migration_differences
from tests.support.rpcs import error_of, errors_at_once, running_server

__all__ = [
    "START",
    "ManualClocks",
    "clocks",
    "database",
    "error_of",
    "errors_at_once",
    "migration_differences",
    "running_server",
]
