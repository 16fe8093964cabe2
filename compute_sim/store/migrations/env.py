"""Run by Alembic."""

from compute_sim.store.schema import metadata
from servicekit.migrations import run_environment

run_environment(metadata)
