"""The tables of the log service."""

import sqlalchemy as sa

from servicekit.clock_guard import readings_table
from servicekit.database import Micros, key_column, new_metadata
from servicekit.idempotency import request_table

HEAD = "0002"

metadata = new_metadata()

# How many log sets a place has. A row is made at first use and changed by conditional updates: a limit that is counted
# from the rows themselves can be passed by two transactions at once.
places = sa.Table(
    "places",
    metadata,
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("log_set_count", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("account", "region"),
)

log_sets = sa.Table(
    "log_sets",
    metadata,
    key_column("key"),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("log_set", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("retention_days", sa.Integer, nullable=False),
    # What happened before this is gone, whatever the retention: a longer one brings nothing back.
    sa.Column("gone_before_micros", Micros, nullable=False),
    sa.Column("topic_count", sa.Integer, nullable=False),
    sa.Column("create_micros", Micros, nullable=False),
    sa.UniqueConstraint("account", "region", "log_set", name="uq_log_sets_name"),
    sa.UniqueConstraint("account", "region", "display_name", name="uq_log_sets_display_name"),
)

# A deleted topic has no log set any more. Its row stays until the last of its entries is purged. No key is ever given
# to a second topic: tails know their topic by it.
log_topics = sa.Table(
    "log_topics",
    metadata,
    key_column("key"),
    sa.Column("log_set_key", sa.BigInteger, sa.ForeignKey("log_sets.key")),
    sa.Column("log_topic", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("log_type", sa.Text, nullable=False),
    sa.Column("last_sequence", sa.BigInteger, nullable=False),
    sa.Column("create_micros", Micros, nullable=False),
    sa.UniqueConstraint("log_set_key", "log_topic", name="uq_log_topics_name"),
    sa.UniqueConstraint("log_set_key", "display_name", name="uq_log_topics_display_name"),
    sqlite_autoincrement=True,
)

log_entries = sa.Table(
    "log_entries",
    metadata,
    sa.Column("topic_key", sa.BigInteger, sa.ForeignKey("log_topics.key"), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("insert_id", sa.Text, nullable=False),
    sa.Column("event_micros", Micros, nullable=False),
    sa.Column("receive_micros", Micros, nullable=False),
    sa.Column("severity", sa.Integer, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("execution", sa.Text, nullable=False),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("folded_message", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.PrimaryKeyConstraint("topic_key", "sequence"),
    # The id first: a batch is looked up by its ids, of which each is in one topic or few.
    sa.UniqueConstraint("insert_id", "topic_key", name="uq_log_entries_insert_id"),
    sa.Index("ix_log_entries_event_time", "topic_key", "event_micros"),
)

requests = request_table(metadata)

clock_readings = readings_table(metadata)
