"""No more note of which tasks were sent: every end without success is resolved, sent or not."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.drop_column("image_tasks", "sent")  # no release ever wrote it, so no replica of one can miss it
