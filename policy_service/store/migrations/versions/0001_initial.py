"""Policies, associations, triggers, the schedule ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _policies()
    _associations()
    _triggers()
    _schedule_ledger()
    op.create_table(
        "sweep",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("after_uid", sa.Text, nullable=False),
        sa.Column("next_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_sweep"),
    )
    op.create_table(
        "requests",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("expire_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("scope", "request_id", name="pk_requests"),
    )
    op.create_index("ix_requests_expire_micros", "requests", ["expire_micros"])


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("display_name_folded", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("start_micros", sa.BigInteger, nullable=False),
        sa.Column("interval_count", sa.Integer, nullable=False),
        sa.Column("interval_unit", sa.Text, nullable=False),
        sa.Column("devices", sa.JSON),
        sa.Column("log_topic", sa.Text),
        sa.Column("logging_enabled", sa.Boolean, nullable=False),
        sa.Column("next_execution_micros", sa.BigInteger),
        sa.Column("last_execution_micros", sa.BigInteger),
        sa.Column("execution_count", sa.BigInteger, nullable=False),
        sa.Column("instance_count", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("create_micros", sa.BigInteger, nullable=False),
        sa.Column("update_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_policies"),
        sa.UniqueConstraint("account", "region", "policy_id", name="uq_policies_account_region_policy_id"),
        sa.CheckConstraint("instance_count BETWEEN 0 AND 100", name=op.f("ck_policies_instance_count")),
    )
    op.create_index("ix_policies_next_execution_micros", "policies", ["next_execution_micros"])


def _associations() -> None:
    op.create_table(
        "associations",
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("instance_id", sa.Text, nullable=False),
        sa.Column("policy_uid", sa.Text, nullable=False),
        sa.Column("create_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_associations"),
        sa.ForeignKeyConstraint(["policy_uid"], ["policies.uid"], name="fk_associations_policy_uid"),
        sa.UniqueConstraint("account", "region", "instance_id", name="uq_associations_account_region_instance_id"),
    )
    op.create_index("ix_associations_policy_uid_instance_id", "associations", ["policy_uid", "instance_id"])


def _triggers() -> None:
    op.create_table(
        "triggers",
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("policy_uid", sa.Text, nullable=False),
        sa.Column("dedup_key", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("devices", sa.JSON),
        sa.Column("log_topic", sa.Text, nullable=False),
        sa.Column("associations", sa.JSON, nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("scheduled_micros", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("trigger_micros", sa.BigInteger, nullable=False),
        sa.Column("missed_first_micros", sa.BigInteger),
        sa.Column("missed_last_micros", sa.BigInteger),
        sa.Column("missed_count", sa.BigInteger),
        sa.Column("missed_reason", sa.Text),
        sa.Column("lease_expire_micros", sa.BigInteger, nullable=False),
        sa.Column("lease_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_triggers"),
        sa.UniqueConstraint("policy_uid", "dedup_key", name="uq_triggers_policy_uid_dedup_key"),
    )
    op.create_index("ix_triggers_scheduled_micros_uid", "triggers", ["scheduled_micros", "uid"])


def _schedule_ledger() -> None:
    op.create_table(
        "schedule_ledger",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("policy_uid", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("first_micros", sa.BigInteger, nullable=False),
        sa.Column("last_micros", sa.BigInteger, nullable=False),
        sa.Column("point_count", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_schedule_ledger"),
    )
    op.create_index("ix_schedule_ledger_policy_uid_id", "schedule_ledger", ["policy_uid", "id"])
