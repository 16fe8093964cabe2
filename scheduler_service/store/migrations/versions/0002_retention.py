"""The images that retention looks after; those that were made before it came are among them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("executions", sa.Column("image_expire_time", sa.BigInteger(), nullable=True))
    op.add_column("image_tasks", sa.Column("image_delete_time", sa.BigInteger(), nullable=True))
    op.create_table(
        "image_series",
        sa.Column("policy_uid", sa.String(length=36), nullable=False),
        sa.Column("instance", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=63), nullable=False),
        sa.Column("region", sa.String(length=63), nullable=False),
        sa.Column("policy_id", sa.String(length=63), nullable=False),
        sa.Column("due_product", sa.BigInteger(), nullable=False),
        sa.Column("due_operating", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("after_time", sa.BigInteger(), nullable=True),
        sa.Column("after_image", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("policy_uid", "instance", name=op.f("pk_image_series")),
    )
    op.create_index("ix_image_series_due", "image_series", ["due_product"], unique=False)
    op.create_index(
        "ix_image_series_policy",
        "image_series",
        ["account", "region", "policy_id", "instance", "policy_uid"],
        unique=False,
    )
    op.create_table(
        "kept_images",
        sa.Column("image", sa.String(length=255), nullable=False),
        sa.Column("policy_uid", sa.String(length=36), nullable=False),
        sa.Column("instance", sa.String(length=255), nullable=False),
        sa.Column("scheduled_time", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("execution_uid", sa.String(length=36), nullable=False),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_uid", "instance"],
            ["image_series.policy_uid", "image_series.instance"],
            name=op.f("fk_kept_images_policy_uid"),
        ),
        sa.PrimaryKeyConstraint("image", name=op.f("pk_kept_images")),
    )
    op.create_index(
        "ix_kept_images_series", "kept_images", ["policy_uid", "instance", "scheduled_time", "image"], unique=False
    )
    _take_over_images()


def _take_over_images() -> None:
    made = (
        "FROM image_tasks JOIN executions ON executions.uid = image_tasks.execution_uid"
        " WHERE image_tasks.state = 'SUCCEEDED' OR image_tasks.late_image_time IS NOT NULL"
    )
    op.execute(
        "INSERT INTO image_series (policy_uid, instance, account, region, policy_id, due_product, due_operating,"
        " fence, tries, asked, after_image)"
        f" SELECT DISTINCT image_tasks.policy_uid, instance, account, region, policy_id, 0, 0, 0, 0, 1, '' {made}"
    )
    op.execute(
        "INSERT INTO kept_images (image, policy_uid, instance, scheduled_time, request_id, execution_uid, deleting)"
        f" SELECT image, image_tasks.policy_uid, instance, scheduled_time, request_id, execution_uid, FALSE {made}"
    )
