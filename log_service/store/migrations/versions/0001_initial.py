"""Log sets, log topics, log entries."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "places",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("log_set_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account", "region", name="pk_places"),
    )
    op.create_table(
        "log_sets",
        sa.Column("key", _KEY, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("log_set", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("retention_days", sa.Integer, nullable=False),
        sa.Column("gone_before_micros", sa.BigInteger, nullable=False),
        sa.Column("topic_count", sa.Integer, nullable=False),
        sa.Column("create_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_log_sets"),
        sa.UniqueConstraint("account", "region", "log_set", name="uq_log_sets_name"),
        sa.UniqueConstraint("account", "region", "display_name", name="uq_log_sets_display_name"),
    )
    _log_topics()
    _log_entries()
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


def _log_topics() -> None:
    op.create_table(
        "log_topics",
        sa.Column("key", _KEY, autoincrement=True, nullable=False),
        sa.Column("log_set_key", sa.BigInteger),
        sa.Column("log_topic", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("log_type", sa.Text, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("create_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_log_topics"),
        sa.ForeignKeyConstraint(["log_set_key"], ["log_sets.key"], name="fk_log_topics_log_set_key"),
        sa.UniqueConstraint("log_set_key", "log_topic", name="uq_log_topics_name"),
        sa.UniqueConstraint("log_set_key", "display_name", name="uq_log_topics_display_name"),
        sqlite_autoincrement=True,
    )


def _log_entries() -> None:
    op.create_table(
        "log_entries",
        sa.Column("topic_key", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("insert_id", sa.Text, nullable=False),
        sa.Column("event_micros", sa.BigInteger, nullable=False),
        sa.Column("receive_micros", sa.BigInteger, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("execution", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("folded_message", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("topic_key", "sequence", name="pk_log_entries"),
        sa.ForeignKeyConstraint(["topic_key"], ["log_topics.key"], name="fk_log_entries_topic_key"),
        sa.UniqueConstraint("insert_id", "topic_key", name="uq_log_entries_insert_id"),
    )
    op.create_index("ix_log_entries_event_time", "log_entries", ["topic_key", "event_micros"])
