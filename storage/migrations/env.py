"""What alembic runs: the migrations, then the access rules, on the connection that `storage.migrate` hands in."""

from __future__ import annotations

from alembic import context

from storage import audit_tables, identity_tables, model_tables, studio_tables  # noqa: F401
from storage.migrations import access
from storage.tables import Base

if context.is_offline_mode():
    raise SystemExit("run `python manage.py migrate`: migrations need a connection, they also make roles and policies")

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `python manage.py migrate`: it takes the lock and makes the roles first")

context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
    access.apply(connection, context.config.attributes["app_role"], context.config.attributes["keeper_role"])
