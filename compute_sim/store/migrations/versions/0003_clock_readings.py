"""The clocks of the machines that run replicas, as they were when product time was last trusted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "clock_readings",
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("product_micros", sa.BigInteger, nullable=False),
        sa.Column("uptime_micros", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("boot_id", name="pk_clock_readings"),
    )
