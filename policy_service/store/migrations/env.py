"""Alembic's environment of the policy service."""

from policy_service.store.schema import metadata
from servicekit.migrations import run_environment

run_environment(metadata)
