"""The simulation's own table; and failed images are found without looking at the protected ones each time."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.drop_index("ix_images_ended", "images")
    op.create_index("ix_images_ended", "images", ["state", "deletion_protected", "finish_micros"])
    op.create_table(
        "simulations",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("content", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_simulations"),
        sa.CheckConstraint("id = 1", name=op.f("ck_simulations_one")),
    )
