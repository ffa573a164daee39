"""Indexes that begin with the tenant: only a statement that asks for one may use it.

Row-level security puts the tenant into every statement's conditions. While a tenant has few runs, such an index looks
as cheap as the primary key, and the hot path keeps its plans: later it read all runs of the tenant at every commit.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was released with the old ones, so they go at once."""
    has_key, asked_for = text("idem_key IS NOT NULL"), text("created_at > '-infinity'")
    op.create_index("runs_by_key", "runs", ["tenant_id", "idem_key"], unique=True, postgresql_where=has_key)
    op.drop_constraint("runs_idempotency", "runs")
    op.drop_index("runs_newest", "runs")
    op.create_index("runs_newest", "runs", ["tenant_id", "created_at", "id"], postgresql_where=asked_for)


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
