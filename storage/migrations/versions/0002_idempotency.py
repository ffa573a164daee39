"""Idempotency keys: an index of the runs that have one, which no statement without a key can choose."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The old index also held every run without a key, under its tenant: a small one, so on a young database it looked
    cheaper than the primary key, and the hot path keeps its plans. Nothing was released with it, so it goes at once."""
    has_key = text("idem_key IS NOT NULL")
    op.create_index("runs_by_key", "runs", ["tenant_id", "idem_key"], unique=True, postgresql_where=has_key)
    op.drop_constraint("runs_idempotency", "runs")


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
