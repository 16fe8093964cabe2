"""Finds failed images that may be forgotten without looking at the protected ones each time."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.drop_index("ix_images_ended", "images")
    op.create_index("ix_images_ended", "images", ["state", "deletion_protected", "finish_micros"])
