"""Schedules in time zones, with a limit on executions, catch-up and spread, and the anchor of their points."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # With defaults, since the release before goes on adding rows without these columns.
    for column in (
        sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
        sa.Column("execution_limit", sa.Integer, nullable=False, server_default="0"),
        sa.Column("catch_up", sa.Text, nullable=False, server_default="LATEST"),
        sa.Column("catch_up_window_seconds", sa.Integer),
        sa.Column("spread_seconds", sa.Integer, nullable=False, server_default="0"),
        sa.Column("anchor_micros", sa.BigInteger),
        sa.Column("anchor_wall_micros", sa.BigInteger),
        sa.Column("settled_micros", sa.BigInteger),
        sa.Column("limited_count", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("policies", column)
    op.add_column("triggers", sa.Column("spread_seconds", sa.Integer, nullable=False, server_default="0"))
