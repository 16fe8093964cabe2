"""Alembic's entry point."""

from scheduler_service.store.schema import metadata
from servicekit.migrations import run_environment

run_environment(metadata)
