"""The engine: tenants, sessions, runs, segments, steps, effects, events by month, workers."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Make the tables, then the functions that look after the partitions, then the first partitions."""
    for part in ("0001_tables.sql", "0001_partitions.sql"):
        # the driver's own cursor: without parameters it leaves % and : alone
        with op.get_bind().connection.cursor() as cursor:
            cursor.execute((HERE / part).read_text())


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
