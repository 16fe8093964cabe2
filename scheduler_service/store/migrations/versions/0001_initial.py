"""The tables of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "executions",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("region", sa.String(length=63), nullable=False),
        sa.Column("policy_id", sa.String(length=63), nullable=False),
        sa.Column("execution_id", sa.String(length=63), nullable=False),
        sa.Column("policy_uid", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("scheduled_time", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("trigger_time", sa.BigInteger(), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("devices", sa.Text(), nullable=False),
        sa.Column("log_topic", sa.Text(), nullable=False),
        sa.Column("missed", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_executions")),
        sa.UniqueConstraint(
            "account",
            "region",
            "policy_id",
            "execution_id",
            name=op.f("uq_executions_account_region_policy_id_execution_id"),
        ),
    )
    op.create_index(
        "ix_executions_place_time", "executions", ["account", "region", "scheduled_time", "uid"], unique=False
    )
    op.create_index(
        "ix_executions_policy_time",
        "executions",
        ["account", "region", "policy_id", "scheduled_time", "uid"],
        unique=False,
    )
    op.create_index("ix_executions_state", "executions", ["state"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "image_tasks",
        sa.Column("execution_uid", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=63), nullable=False),
        sa.Column("instance", sa.String(length=255), nullable=False),
        sa.Column("policy_uid", sa.String(length=36), nullable=False),
        sa.Column("association_uid", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("trigger_time", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("due_product", sa.BigInteger(), nullable=True),
        sa.Column("due_operating", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("end_state", sa.String(length=16), nullable=True),
        sa.Column("end_reason", sa.String(length=64), nullable=False),
        sa.Column("image", sa.String(length=255), nullable=False),
        sa.Column("included", sa.Text(), nullable=False),
        sa.Column("left_out", sa.Text(), nullable=False),
        sa.Column("build_start_time", sa.BigInteger(), nullable=True),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("late_image_time", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["execution_uid"], ["executions.uid"], name=op.f("fk_image_tasks_execution_uid")),
        sa.PrimaryKeyConstraint("execution_uid", "instance_id", name=op.f("pk_image_tasks")),
        sa.UniqueConstraint("request_id", name=op.f("uq_image_tasks_request_id")),
    )
    op.create_index("ix_image_tasks_due", "image_tasks", ["phase", "due_product"], unique=False)
    op.create_index("ix_image_tasks_instance", "image_tasks", ["instance", "phase"], unique=False)
    op.bulk_insert(
        sa.table("counters", sa.column("name"), sa.column("value")), [{"name": "dropped_log_entries", "value": 0}]
    )
