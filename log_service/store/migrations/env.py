"""Alembic's environment of the log service."""

from log_service.store.schema import metadata
from servicekit.migrations import run_environment

run_environment(metadata)
