"""The tables. Moments are microseconds since 1970 UTC."""

import sqlalchemy as sa

from policy_service.domain.association import MAX_INSTANCES
from servicekit.clock_guard import readings_table
from servicekit.database import Micros, key_column, new_metadata
from servicekit.idempotency import request_table

HEAD = "0004"
"""The migration that makes exactly these tables."""

metadata = new_metadata()

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("display_name_folded", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("start_micros", Micros, nullable=False),
    sa.Column("interval_count", sa.Integer, nullable=False),
    sa.Column("interval_unit", sa.Text, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("execution_limit", sa.Integer, nullable=False, server_default="0"),  # 0: none
    sa.Column("catch_up", sa.Text, nullable=False, server_default="LATEST"),
    sa.Column("catch_up_window_seconds", sa.Integer),
    sa.Column("spread_seconds", sa.Integer, nullable=False, server_default="0"),
    sa.Column("anchor_micros", Micros),  # NULL: the start time
    sa.Column("anchor_wall_micros", Micros),  # as if the clocks of the time zone showed UTC
    sa.Column("devices", sa.JSON(none_as_null=True)),  # NULL: all
    sa.Column("log_topic", sa.Text),
    sa.Column("logging_enabled", sa.Boolean, nullable=False),
    sa.Column("next_execution_micros", Micros),  # NULL: disabled
    sa.Column("last_execution_micros", Micros),
    sa.Column("settled_micros", Micros),
    sa.Column("execution_count", sa.BigInteger, nullable=False),
    sa.Column("limited_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("instance_count", sa.Integer, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("create_micros", Micros, nullable=False),
    sa.Column("update_micros", Micros, nullable=False),
    sa.Column("retention", sa.JSON(none_as_null=True)),  # NULL: for ever
    sa.Column("replicated_from", sa.Text),
    sa.Column("log_topic_gone", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("account", "region", "policy_id"),
    sa.CheckConstraint(f"instance_count BETWEEN 0 AND {MAX_INSTANCES}", name="instance_count"),
    sa.Index(None, "next_execution_micros"),
    sa.Index(None, "log_topic"),
)

# What is left of a policy for the images that it made. Rows are added, never changed.
deleted_policies = sa.Table(
    "deleted_policies",
    metadata,
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("retention", sa.JSON(none_as_null=True)),  # NULL: for ever
)

# One row for each place that ever had a policy or a limit of its own, made at first use.
policy_limits = sa.Table(
    "policy_limits",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("region", sa.Text, primary_key=True),
    sa.Column("own_limit", sa.BigInteger),  # NULL: the default
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.CheckConstraint("used >= 0", name="used"),
)

associations = sa.Table(
    "associations",
    metadata,
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("instance_id", sa.Text, nullable=False),
    sa.Column("policy_uid", sa.Text, sa.ForeignKey("policies.uid"), nullable=False),
    sa.Column("create_micros", Micros, nullable=False),
    sa.UniqueConstraint("account", "region", "instance_id"),
    sa.Index(None, "policy_uid", "instance_id"),
)

# A trigger outlives its policy: no foreign key. Acknowledged ones are deleted.
triggers = sa.Table(
    "triggers",
    metadata,
    sa.Column("uid", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("policy_uid", sa.Text, nullable=False),
    sa.Column("dedup_key", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("devices", sa.JSON(none_as_null=True)),
    sa.Column("log_topic", sa.Text, nullable=False),
    sa.Column("associations", sa.JSON, nullable=False),  # [[uid, instance id], …]
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("scheduled_micros", Micros, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("trigger_micros", Micros, nullable=False),
    sa.Column("missed_first_micros", Micros),
    sa.Column("missed_last_micros", Micros),
    sa.Column("missed_count", sa.BigInteger),
    sa.Column("missed_reason", sa.Text),
    sa.Column("spread_seconds", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_expire_micros", Micros, nullable=False),  # operating time; 0: never leased
    sa.Column("lease_count", sa.Integer, nullable=False),
    sa.Column("retention", sa.JSON(none_as_null=True)),
    sa.UniqueConstraint("policy_uid", "dedup_key"),
    sa.Index(None, "scheduled_micros", "uid"),
)

# Rows are added, never changed.
schedule_ledger = sa.Table(
    "schedule_ledger",
    metadata,
    key_column(),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("policy_uid", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("first_micros", Micros),  # the points of triggers and missed points
    sa.Column("last_micros", Micros),
    sa.Column("point_count", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sa.Column("micros", Micros, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("schedule", sa.JSON(none_as_null=True)),  # from then on, and the next execution, of what users did
    sa.Column("next_execution_micros", Micros),
    sa.Column("next_local_time", sa.Text),
    sa.Index(None, "policy_uid", "event", "id"),
    sa.Index(None, "account", "region", "policy_id", "micros", "id"),
    sa.Index(None, "account", "region", "micros", "id"),
)

# How far each sweep is: a row each, made when it first runs.
sweep = sa.Table(
    "sweep",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("after_uid", sa.Text, nullable=False),  # or another key of what is swept
    sa.Column("next_micros", Micros, nullable=False),
)

requests = request_table(metadata)

clock_readings = readings_table(metadata)
