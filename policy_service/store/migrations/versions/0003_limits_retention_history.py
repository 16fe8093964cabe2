"""Limits of policies, retention, where logging was lost, and what users did in the schedule ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("policies", sa.Column("retention", sa.JSON))
    op.add_column("policies", sa.Column("replicated_from", sa.Text))
    op.add_column("policies", sa.Column("log_topic_gone", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_policies_log_topic", "policies", ["log_topic"])
    op.add_column("triggers", sa.Column("retention", sa.JSON))
    op.create_table(
        "deleted_policies",
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("retention", sa.JSON),
        sa.PrimaryKeyConstraint("uid", name="pk_deleted_policies"),
    )
    _policy_limits()
    _schedule_ledger()


def _policy_limits() -> None:
    op.create_table(
        "policy_limits",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("own_limit", sa.BigInteger),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "region", name="pk_policy_limits"),
        sa.CheckConstraint("used >= 0", name=op.f("ck_policy_limits_used")),
    )
    op.execute(
        "INSERT INTO policy_limits (account, region, used) "
        "SELECT account, region, count(*) FROM policies GROUP BY account, region"
    )


def _schedule_ledger() -> None:
    with op.batch_alter_table("schedule_ledger") as table:
        table.alter_column("first_micros", existing_type=sa.BigInteger, nullable=True)
        table.alter_column("last_micros", existing_type=sa.BigInteger, nullable=True)
        table.alter_column("point_count", existing_type=sa.BigInteger, nullable=True)
        table.add_column(sa.Column("run_id", sa.Text))
        table.add_column(sa.Column("schedule", sa.JSON))
        table.add_column(sa.Column("next_execution_micros", sa.BigInteger))
        table.add_column(sa.Column("next_local_time", sa.Text))
        table.drop_index("ix_schedule_ledger_policy_uid_id")
        table.create_index("ix_schedule_ledger_policy_uid_event_id", ["policy_uid", "event", "id"])
        table.create_index(
            "ix_schedule_ledger_account_region_policy_id_micros_id",
            ["account", "region", "policy_id", "micros", "id"],
        )
        table.create_index("ix_schedule_ledger_account_region_micros_id", ["account", "region", "micros", "id"])
