"""Changes to watch, places for fair claims and their limit, paused regions, replicas, and when a task is to begin."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "places",
        sa.Column("place", sa.String(length=255), nullable=False),
        sa.Column("last_change", sa.BigInteger(), nullable=False),
        sa.Column("builds_in_flight", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_places")),
    )
    op.create_table(
        "paused_regions",
        sa.Column("region", sa.String(length=63), nullable=False),
        sa.Column("pause_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("region", name=op.f("pk_paused_regions")),
    )
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("last_seen_time", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=63), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_replicas")),
    )
    op.add_column("executions", sa.Column("change", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_executions_change", "executions", ["account", "region", "change", "uid"], unique=False)
    op.create_index("ix_executions_start_time", "executions", ["start_time"], unique=False)
    op.create_index("ix_executions_end_time", "executions", ["end_time"], unique=False)
    op.add_column("image_tasks", sa.Column("place", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("image_tasks", sa.Column("planned_start_time", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("image_tasks", sa.Column("in_flight", sa.Boolean(), nullable=False, server_default=sa.false()))
    _fill_in_what_is_there()
    op.drop_index("ix_image_tasks_due", "image_tasks")
    op.create_index(
        "ix_image_tasks_due",
        "image_tasks",
        ["phase", "place", "due_product", "due_operating", "planned_start_time"],
        unique=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("outbox", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass


def _fill_in_what_is_there() -> None:
    """A task counted its start window from the moment of triggering; a sent or building one may be in flight."""
    op.execute(
        "UPDATE image_tasks SET planned_start_time = trigger_time,"
        " in_flight = (phase = 'FOLLOW' OR (sent AND phase IN ('SEND', 'RESOLVE'))),"
        " place = (SELECT 'accounts/' || account || '/regions/' || region FROM executions WHERE uid = execution_uid)"
    )
    op.execute(
        "INSERT INTO places (place, last_change, builds_in_flight)"
        " SELECT place, 0, SUM(CASE WHEN in_flight THEN 1 ELSE 0 END) FROM image_tasks GROUP BY place"
    )
