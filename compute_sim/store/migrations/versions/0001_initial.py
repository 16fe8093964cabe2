"""The first schema; what it means stands in store/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_instances()
    _create_images()
    op.create_table(
        "image_requests",
        *_key_columns("request_id", "instance_id"),
        sa.Column("fate", sa.Text, nullable=False),
        sa.Column("image_id", sa.Text),
        sa.Column("since_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "request_id", name="pk_image_requests"),
    )
    op.create_index("ix_image_requests_image", "image_requests", ["account", "region", "image_id"])
    op.create_index("ix_image_requests_fate", "image_requests", ["fate", "since_micros"])
    op.create_table(
        "quotas",
        *_key_columns("kind"),
        sa.Column("own_limit", sa.BigInteger),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "kind", name="pk_quotas"),
        sa.CheckConstraint("used >= 0", name=op.f("ck_quotas_used")),
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


def _create_instances() -> None:
    op.create_table(
        "instances",
        *_key_columns("instance_id"),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("folded_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("create_micros", sa.BigInteger, nullable=False),
        sa.Column("source_image_id", sa.Text),
        sa.PrimaryKeyConstraint("account", "region", "instance_id", name="pk_instances"),
    )
    op.create_table(
        "instance_disks",
        *_key_columns("instance_id", "device_name"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("size_gib", sa.Integer, nullable=False),
        sa.Column("disk_id", sa.Text),
        sa.Column("source_snapshot_id", sa.Text),
        sa.PrimaryKeyConstraint("account", "region", "instance_id", "device_name", name="pk_instance_disks"),
        sa.UniqueConstraint("account", "region", "disk_id", name="uq_instance_disks_account_region_disk_id"),
        sa.ForeignKeyConstraint(
            ["account", "region", "instance_id"],
            ["instances.account", "instances.region", "instances.instance_id"],
            name="fk_instance_disks_account_region_instance_id",
        ),
    )


def _create_images() -> None:
    op.create_table(
        "images",
        *_key_columns("image_id"),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("instance_id", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("building", sa.Boolean),
        sa.Column("left_out_disks", sa.JSON, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("create_micros", sa.BigInteger, nullable=False),
        sa.Column("finish_micros", sa.BigInteger, nullable=False),
        sa.Column("fails", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("deletion_protected", sa.Boolean, nullable=False),
        sa.Column("expire_micros", sa.BigInteger),
        sa.PrimaryKeyConstraint("account", "region", "image_id", name="pk_images"),
        sa.UniqueConstraint(
            "account", "region", "instance_id", "building", name="uq_images_account_region_instance_id_building"
        ),
    )
    op.create_index("ix_images_due", "images", ["account", "region", "building", "finish_micros"])
    op.create_index("ix_images_ended", "images", ["state", "finish_micros"])
    op.create_table(
        "image_disks",
        *_key_columns("image_id", "device_name"),
        sa.Column("size_gib", sa.Integer, nullable=False),
        sa.Column("disk_id", sa.Text, nullable=False),
        sa.Column("snapshot_id", sa.Text),
        sa.PrimaryKeyConstraint("account", "region", "image_id", "device_name", name="pk_image_disks"),
        sa.UniqueConstraint("account", "region", "snapshot_id", name="uq_image_disks_account_region_snapshot_id"),
        sa.ForeignKeyConstraint(
            ["account", "region", "image_id"],
            ["images.account", "images.region", "images.image_id"],
            name="fk_image_disks_account_region_image_id",
        ),
    )


def _key_columns(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in ("account", "region", *names)]
