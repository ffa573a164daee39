"""Who may see and change what: the grants and row-level policies of the three roles, applied after every migration.

* the **owner** runs migrations and owns the tables; FORCE binds it to the policies too, so it has one of its own;
* the **application** sees the rows of one tenant, named for the transaction by `set_config('baton.tenant', ..., true)`;
  without a tenant it sees nothing, and it has no grant on a partition (policies hold only through the parent);
* the **keeper** sees all tenants' rows of the tables that it looks after, without BYPASSRLS.

A new table of a later migration gets its line in `GRANTS`, and in `TENANT_COLUMN` when its rows belong to a tenant.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, text

READ = "SELECT"
ADD = "SELECT, INSERT"
EDIT = "SELECT, INSERT, UPDATE"
ALL = "SELECT, INSERT, UPDATE, DELETE"

# table -> (what the application may do, what the keeper may do); None: nothing
GRANTS: dict[str, tuple[str | None, str | None]] = {
    "tenants": (READ, EDIT),
    "api_keys": (EDIT, EDIT),
    "sessions": (ALL, ALL),
    "turns": (ALL, ALL),
    "runs": (EDIT, ALL),
    "segments": (ALL, ALL),
    "steps": (ALL, ALL),
    "effects": (ALL, ALL),
    "events": (ADD, ALL),
    "workers": (None, ALL),
    "broker": (None, ALL),
    "slots": (None, ALL),
    "model_policies": (READ, EDIT),
    "model_spend": (EDIT, ALL),
    "llm_call_logs": (EDIT, ALL),
    "semantic_answers": (ALL, ALL),
    "creator_profiles": (EDIT, ALL),
    "product_profiles": (EDIT, ALL),
    "users": (EDIT, EDIT),
    "user_passwords": (None, ALL),
    "groups": (ALL, ALL),
    "group_members": (ALL, ALL),
    "refresh_tokens": (None, ALL),
    "one_time_tokens": (None, ALL),
    "login_failures": (None, ALL),
    "oidc_providers": (ALL, READ),
    "signing_keys": (None, ALL),
    "audit_logs": (READ, READ),
    "audit_heads": (READ, READ),
    "audit_anchors": (READ, ADD),
    "erasures": (ADD, EDIT),
}

# table -> the column that names the tenant; such a table has forced row-level security
TENANT_COLUMN: dict[str, str] = {
    "tenants": "id",
    "api_keys": "tenant_id",
    "sessions": "tenant_id",
    "turns": "tenant_id",
    "runs": "tenant_id",
    "segments": "tenant_id",
    "steps": "tenant_id",
    "effects": "tenant_id",
    "events": "tenant_id",
    "model_policies": "tenant_id",
    "model_spend": "tenant_id",
    "llm_call_logs": "tenant_id",
    "semantic_answers": "tenant_id",
    "creator_profiles": "tenant_id",
    "product_profiles": "tenant_id",
    "users": "tenant_id",
    "user_passwords": "tenant_id",
    "groups": "tenant_id",
    "group_members": "tenant_id",
    "refresh_tokens": "tenant_id",
    "one_time_tokens": "tenant_id",
    "login_failures": "tenant_id",
    "oidc_providers": "tenant_id",
    "audit_logs": "tenant_id",
    "audit_heads": "tenant_id",
    "audit_anchors": "tenant_id",
    "erasures": "tenant_id",
}

KEEPER_FUNCTIONS = (
    "baton_make_partitions(integer)",
    "baton_make_partitions(text, integer)",
    "baton_drop_partitions(timestamptz)",
    "baton_drop_partitions(text, timestamptz)",
    "baton_audit_cut(timestamptz)",
)
BOTH_FUNCTIONS = ("baton_audit(text, text, text, text, text, text, text)",)

CURRENT_TENANT = "nullif(current_setting('baton.tenant', true), '')::uuid"


def apply(connection: Connection, app_role: str, keeper_role: str) -> None:
    """Bring grants and policies to what this page says, in the connection's transaction.

    A policy is replaced under a lock that waits for every running statement on its table, so nothing is done when
    nothing changed: the rules' digest stands in the comment of alembic's own table. What stands there is believed only
    where the rules do too: a backup restored on a server without the roles has the comment and no rules.
    """
    quote = connection.dialect.identifier_preparer.quote
    owner = str(connection.scalar(text("SELECT current_user")))
    statements = rules(quote(owner), quote(app_role), quote(keeper_role))
    digest = "access " + hashlib.sha256("\n".join(statements).encode()).hexdigest()
    known = connection.scalar(text("SELECT obj_description('alembic_version'::regclass, 'pg_class')"))
    if known == digest and _in_place(connection, owner, app_role, keeper_role):
        return
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{digest}'")


def _in_place(connection: Connection, owner: str, app_role: str, keeper_role: str) -> bool:
    """Whether every role has its grants and every table its three policies, as far as the catalog's names tell."""
    may = text("SELECT has_table_privilege(CAST(:role AS name), :table, :privilege)")
    for table, (app_may, keeper_may) in GRANTS.items():
        for role, wanted in ((app_role, app_may), (keeper_role, keeper_may)):
            for privilege in (wanted or "").split(", "):
                asked = {"role": role, "table": table, "privilege": privilege}
                if privilege and not connection.scalar(may, asked):
                    return False
    there = set(connection.execute(text("SELECT tablename, policyname, roles[1] FROM pg_policies")).tuples())
    names = {"owner": owner, "app": app_role, "keeper": keeper_role}
    return all((table, policy, role) in there for table in TENANT_COLUMN for policy, role in names.items())


def rules(owner: str, app: str, keeper: str) -> list[str]:
    """Every statement that makes the access rules, for role names that are quoted already."""
    statements = [f"GRANT USAGE ON SCHEMA public TO {app}, {keeper}"]
    for table, (app_may, keeper_may) in GRANTS.items():
        statements.append(f"REVOKE ALL ON {table} FROM PUBLIC, {app}, {keeper}")
        for role, may in ((app, app_may), (keeper, keeper_may)):
            if may:
                statements.append(f"GRANT {may} ON {table} TO {role}")
    for table, column in TENANT_COLUMN.items():
        statements.append(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        own = f"{column} = {CURRENT_TENANT}"
        for name, role, condition in (("owner", owner, "true"), ("app", app, own), ("keeper", keeper, "true")):
            statements.append(f"DROP POLICY IF EXISTS {name} ON {table}")
            statements.append(f"CREATE POLICY {name} ON {table} TO {role} USING ({condition}) WITH CHECK ({condition})")
    statements += [f"GRANT EXECUTE ON FUNCTION {function} TO {keeper}" for function in KEEPER_FUNCTIONS]
    statements += [f"GRANT EXECUTE ON FUNCTION {function} TO {app}, {keeper}" for function in BOTH_FUNCTIONS]
    return statements
