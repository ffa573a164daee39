"""${message}"""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Keep the running version working: add first, remove in a later release."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Migrations only move forward."""
    raise NotImplementedError("migrations only move forward: restore a backup to go back")
