"""The scheduler's tables. Times are microseconds since 1970 UTC."""

import sqlalchemy as sa

from servicekit.clock_guard import readings_table
from servicekit.database import Micros, key_column, new_metadata

HEAD = "0005"
"""The newest migration; a test proves that it is."""

metadata = new_metadata()

executions = sa.Table(
    "executions",
    metadata,
    sa.Column(
        "uid", sa.String(36), primary_key=True
    ),  # of policy and scheduled time or run-now: at most one of each (X1)
    sa.Column("account", sa.String(63), nullable=False),
    sa.Column("region", sa.String(63), nullable=False),
    sa.Column("policy_id", sa.String(63), nullable=False),
    sa.Column("execution_id", sa.String(63), nullable=False),
    sa.Column("policy_uid", sa.String(36), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("scheduled_time", Micros, nullable=False),
    sa.Column("run_id", sa.String(36), nullable=False),
    sa.Column("trigger_time", Micros, nullable=False),
    sa.Column("start_time", Micros, nullable=False),
    sa.Column("end_time", Micros),
    sa.Column("devices", sa.Text, nullable=False),  # JSON list; empty: all disks
    sa.Column("log_topic", sa.Text, nullable=False),
    sa.Column("missed", sa.Text),  # JSON, for kind MISSED
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("open", sa.Integer, nullable=False),
    sa.Column("succeeded", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False),
    sa.Column("cancelled", sa.Integer, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),  # the place's change in which it was last written
    sa.Column("image_expire_time", Micros),  # null: images are kept however old they are
    sa.UniqueConstraint("account", "region", "policy_id", "execution_id"),
    # Lists: newest first, of one policy or of all in an account and region.
    sa.Index("ix_executions_policy_time", "account", "region", "policy_id", "scheduled_time", "uid"),
    sa.Index("ix_executions_place_time", "account", "region", "scheduled_time", "uid"),
    sa.Index("ix_executions_state", "state"),
    # Watches: what changed after a change, in the order of the changes.
    sa.Index("ix_executions_change", "account", "region", "change", "uid"),
    # The latest ones, and those that ended so long ago that they are forgotten.
    sa.Index("ix_executions_start_time", "start_time"),
    sa.Index("ix_executions_end_time", "end_time"),
)

image_tasks = sa.Table(
    "image_tasks",
    metadata,
    sa.Column("execution_uid", sa.String(36), sa.ForeignKey("executions.uid"), primary_key=True),
    sa.Column("instance_id", sa.String(63), primary_key=True),
    sa.Column("instance", sa.String(255), nullable=False),
    sa.Column("policy_uid", sa.String(36), nullable=False),
    sa.Column("association_uid", sa.String(36), nullable=False),
    sa.Column("request_id", sa.String(36), nullable=False, unique=True),
    sa.Column("trigger_time", Micros, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("create_time", Micros, nullable=False),
    sa.Column("due_product", Micros),  # null when done
    sa.Column("due_operating", Micros, nullable=False),  # end of the lease while claimed
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("end_state", sa.String(16)),
    sa.Column("end_reason", sa.String(64), nullable=False),
    sa.Column("image", sa.String(255), nullable=False),
    sa.Column("included", sa.Text, nullable=False),  # JSON list of device names
    sa.Column("left_out", sa.Text, nullable=False),  # JSON list of [device name, reason]
    sa.Column("build_start_time", Micros),
    sa.Column("end_time", Micros),
    sa.Column("late_image_time", Micros),
    sa.Column("image_delete_time", Micros),  # set by retention only
    sa.Column("place", sa.String(255), nullable=False),  # see `places`
    sa.Column("planned_start_time", Micros, nullable=False),
    sa.Column("in_flight", sa.Boolean, nullable=False),  # counted in `places.builds_in_flight`
    # What a step finds by, place by place: only what is due is read, whatever exists besides. The last two columns
    # spare a look at the rows when many are leased, or wait in a region that is paused.
    sa.Index("ix_image_tasks_due", "phase", "place", "due_product", "due_operating", "planned_start_time"),
    # Earlier tasks of an instance that have not ended.
    sa.Index("ix_image_tasks_instance", "instance", "phase"),
)

# The images that one policy made of one instance; a row lives while at least one of them may exist.
image_series = sa.Table(
    "image_series",
    metadata,
    sa.Column("policy_uid", sa.String(36), primary_key=True),
    sa.Column("instance", sa.String(255), primary_key=True),
    sa.Column("account", sa.String(63), nullable=False),
    sa.Column("region", sa.String(63), nullable=False),
    sa.Column("policy_id", sa.String(63), nullable=False),
    sa.Column("due_product", Micros, nullable=False),  # when retention looks at it next
    sa.Column("due_operating", Micros, nullable=False),  # end of the lease while claimed
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("asked", sa.BigInteger, nullable=False),  # how often a new image asked for a look
    sa.Column("after_time", Micros),  # where the look goes on: after this image, null: from the oldest one on
    sa.Column("after_image", sa.String(255), nullable=False),
    # What the step finds by, whatever exists besides.
    sa.Index("ix_image_series_due", "due_product"),
    # Plans: all that were made under a policy's name.
    sa.Index("ix_image_series_policy", "account", "region", "policy_id", "instance", "policy_uid"),
)

# The images of succeeded tasks and the late ones, as long as they may exist: they outlive their tasks' records.
kept_images = sa.Table(
    "kept_images",
    metadata,
    sa.Column("image", sa.String(255), primary_key=True),
    sa.Column("policy_uid", sa.String(36), nullable=False),
    sa.Column("instance", sa.String(255), nullable=False),
    sa.Column("scheduled_time", Micros, nullable=False),
    sa.Column("request_id", sa.String(36), nullable=False),
    sa.Column("execution_uid", sa.String(36), nullable=False),  # may be forgotten before the image is
    sa.Column("deleting", sa.Boolean, nullable=False),  # a delete may have reached compute
    sa.ForeignKeyConstraint(["policy_uid", "instance"], ["image_series.policy_uid", "image_series.instance"]),
    # The images of a series by age, from either end.
    sa.Index("ix_kept_images_series", "policy_uid", "instance", "scheduled_time", "image"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    key_column(),
    sa.Column("payload", sa.Text, nullable=False),  # JSON of a log entry
    sqlite_autoincrement=True,  # or a number would be given anew, and who delivered the old entry remove the new one
)

# What is counted for each account and region, named `accounts/{account}/regions/{region}`. A row is made at first use,
# stays for ever, and is locked after the tasks and before the executions of a transaction: the changes of a place are
# numbered in the order in which they are committed.
places = sa.Table(
    "places",
    metadata,
    sa.Column("place", sa.String(255), primary_key=True),
    sa.Column("last_change", sa.BigInteger, nullable=False),
    sa.Column("builds_in_flight", sa.Integer, nullable=False),
)

paused_regions = sa.Table(
    "paused_regions",
    metadata,
    sa.Column("region", sa.String(63), primary_key=True),
    sa.Column("pause_time", Micros, nullable=False),
)

# Processes of this service: each says from time to time that it is at work; operating time.
replicas = sa.Table(
    "replicas",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("last_seen_time", Micros, nullable=False),
    sa.Column("version", sa.String(63), nullable=False),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

clock_readings = readings_table(metadata)
