"""Identity: users, groups, keys with scopes, refresh and one-time tokens, OIDC, signing keys."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Only adds: tables, and columns with constant defaults, which rewrite nothing."""
    # the driver's own cursor: without parameters it leaves % and : alone
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute((HERE / "0005_tables.sql").read_text())


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
