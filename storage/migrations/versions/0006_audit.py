"""The record: entries in a chain of hashes, its anchors, and the receipts of erasures."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Only adds: the tables, then the one function that writes entries, then the first months."""
    # the driver's own cursor: without parameters it leaves % and : alone
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute((HERE / "0006_tables.sql").read_text())


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
