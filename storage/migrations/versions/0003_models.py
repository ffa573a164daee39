"""The model gateway: calls by month, what a tenant spent and may spend, answers that are found again by meaning."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Only adds: the tables, then the functions for the months of any table, then the first months of calls."""
    for part in ("0003_tables.sql", "0003_partitions.sql"):
        # the driver's own cursor: without parameters it leaves % and : alone
        with op.get_bind().connection.cursor() as cursor:
            cursor.execute((HERE / part).read_text())


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
