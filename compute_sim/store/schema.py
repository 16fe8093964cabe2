"""The tables. `HEAD` is the migration that makes them as they stand here."""

import sqlalchemy as sa

from servicekit.clock_guard import readings_table
from servicekit.database import Micros, new_metadata
from servicekit.idempotency import request_table

HEAD = "0003"
metadata = new_metadata()


def _key_columns(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in ("account", "region", *names)]


instances = sa.Table(
    "instances",
    metadata,
    *_key_columns("instance_id"),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("folded_name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("create_micros", Micros, nullable=False),
    sa.Column("source_image_id", sa.Text),
    sa.PrimaryKeyConstraint("account", "region", "instance_id"),
)

instance_disks = sa.Table(
    "instance_disks",
    metadata,
    *_key_columns("instance_id", "device_name"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("disk_id", sa.Text),
    sa.Column("source_snapshot_id", sa.Text),
    sa.PrimaryKeyConstraint("account", "region", "instance_id", "device_name"),
    sa.UniqueConstraint("account", "region", "disk_id"),
    sa.ForeignKeyConstraint(
        ["account", "region", "instance_id"], ["instances.account", "instances.region", "instances.instance_id"]
    ),
)

# No reference to the instance: an image outlives it. `building` is true while the state is CREATING, and then NULL,
# which unique constraints pass over: so an instance has one image under way, and what is due is found among those.
images = sa.Table(
    "images",
    metadata,
    *_key_columns("image_id"),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("instance_id", sa.Text, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("building", sa.Boolean),
    sa.Column("left_out_disks", sa.JSON, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("create_micros", Micros, nullable=False),
    sa.Column("finish_micros", Micros, nullable=False),
    sa.Column("fails", sa.Boolean, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("deletion_protected", sa.Boolean, nullable=False),
    sa.Column("expire_micros", Micros),
    sa.PrimaryKeyConstraint("account", "region", "image_id"),
    sa.UniqueConstraint("account", "region", "instance_id", "building"),
    sa.Index("ix_images_due", "account", "region", "building", "finish_micros"),
    sa.Index("ix_images_ended", "state", "deletion_protected", "finish_micros"),
)

# A snapshot is an image's disk with a snapshot id; a failed image keeps its disks and loses these ids.
image_disks = sa.Table(
    "image_disks",
    metadata,
    *_key_columns("image_id", "device_name"),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("disk_id", sa.Text, nullable=False),
    sa.Column("snapshot_id", sa.Text),
    sa.PrimaryKeyConstraint("account", "region", "image_id", "device_name"),
    sa.UniqueConstraint("account", "region", "snapshot_id"),
    sa.ForeignKeyConstraint(["account", "region", "image_id"], ["images.account", "images.region", "images.image_id"]),
)

image_requests = sa.Table(
    "image_requests",
    metadata,
    *_key_columns("request_id", "instance_id"),
    sa.Column("fate", sa.Text, nullable=False),
    sa.Column("image_id", sa.Text),
    sa.Column("since_micros", Micros, nullable=False),
    sa.PrimaryKeyConstraint("account", "region", "request_id"),
    sa.Index("ix_image_requests_image", "account", "region", "image_id"),
    sa.Index("ix_image_requests_fate", "fate", "since_micros"),
)

# Four rows for each place, made at first use. Who writes in a place locks them first, so writers of a place take turns.
quotas = sa.Table(
    "quotas",
    metadata,
    *_key_columns("kind"),
    sa.Column("own_limit", sa.BigInteger),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("account", "region", "kind"),
    sa.CheckConstraint("used >= 0", name="used"),
)

# One row, made at the first change. No content: as the service's settings say.
simulations = sa.Table(
    "simulations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("content", sa.JSON(none_as_null=True)),
    sa.CheckConstraint("id = 1", name="one"),
)

requests = request_table(metadata)

clock_readings = readings_table(metadata)
