"""Limits: a plan for each tenant, and runs that wait for a free slot."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Only adds columns with constant defaults and the two indexes of admission."""
    # the driver's own cursor: without parameters it leaves % and : alone
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute((HERE / "0007_tables.sql").read_text())


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
