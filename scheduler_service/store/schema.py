"""The scheduler's tables. Times are microseconds since 1970 UTC."""

import sqlalchemy as sa

from servicekit.database import Micros, key_column, new_metadata

HEAD = "0002"
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
    sa.Column("image_expire_time", Micros),  # null: images are kept however old they are
    sa.UniqueConstraint("account", "region", "policy_id", "execution_id"),
    # Lists: newest first, of one policy or of all in an account and region.
    sa.Index("ix_executions_policy_time", "account", "region", "policy_id", "scheduled_time", "uid"),
    sa.Index("ix_executions_place_time", "account", "region", "scheduled_time", "uid"),
    sa.Index("ix_executions_state", "state"),
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
    sa.Column("sent", sa.Boolean, nullable=False),
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
    # What a step finds by: only what is due is read, whatever exists besides.
    sa.Index("ix_image_tasks_due", "phase", "due_product"),
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
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
