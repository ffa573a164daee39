"""No tenant sees, changes or counts another's rows: what forced row-level security and the grants hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from uuid import UUID

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection

from storage import tenants
from storage.audit_tables import AuditLog
from storage.identity_tables import User
from storage.migrations.access import GRANTS, TENANT_COLUMN
from storage.model_tables import ModelCall
from storage.studio_tables import ProductProfile
from storage.tables import uuid7
from tests.storage.conftest import rows

METADATA = ModelCall.metadata  # the engine's tables are in it too
assert METADATA is ProductProfile.metadata is User.metadata is AuditLog.metadata
PARTITION = r"(events|llm_call_logs|audit_logs)_(default|\d{4}_\d{2})$"
OpenApp = Callable[[UUID | None], Connection]

SAMPLE: dict[str, dict[str, object]] = {
    "sessions": {"id": "s"},
    "turns": {"session_id": "s", "no": 1, "role": "user", "content": "hi"},
    "runs": {"chain": "probe", "chain_version": "1", "trace_id": "t", "input": "{}"},
    "segments": {"no": 1, "keys": ["1"], "nodes": ["probe.work"], "queue": "agents"},
    "steps": {"key": "1", "node": "probe.work", "status": "succeeded"},
    "effects": {
        "key": "k", "step": "1", "attempt": 1, "name": "n",
        "kind": "idempotent", "status": "done", "request_hash": "h",
    },
    "events": {"seq": 1, "type": "run_accepted", "data": json.dumps({})},
    "model_spend": {"day": "2026-11-20"},
    "llm_call_logs": {
        "chain": "c", "agent_id": "a", "operation": "chat", "provider": "openai", "backend": "b", "model": "m",
        "prompt_version": "", "status": "started",
    },
    "semantic_answers": {
        "scope": b"s", "question_hash": b"q", "embedding": [0.5] * 512, "answer": "{}", "expires_at": "2026-11-20",
    },
    "creator_profiles": {"name": "小雅", "name_key": "小雅"},
    "product_profiles": {"name": "云朵枕", "name_key": "云朵枕", "extra": "{}"},
    "users": {"email": "a@b.c", "email_key": "a@b.c", "name": "A"},
    "groups": {"name": "security-ops"},
    "api_keys": {"name": "k", "prefix": "0123abcd"},
    "oidc_providers": {"issuer": "https://id.example", "client_id": "c"},
    "erasures": {"subject_hash": b"s", "requested_by": "user:1"},
}  # fmt: skip

ID = {
    "runs": "id", "llm_call_logs": "call_id", "semantic_answers": "id", "creator_profiles": "id",
    "product_profiles": "id", "users": "id", "groups": "id", "api_keys": "id", "erasures": "id",
}  # fmt: skip


def insert(connection: Connection, table: str, tenant_id: UUID, run_id: UUID) -> None:
    """Insert the sample row of a table for a tenant."""
    row = {"tenant_id": str(tenant_id), **SAMPLE[table]}
    if table in ID:
        row[ID[table]] = str(run_id)
    elif "run_id" in METADATA.tables[table].columns:
        row["run_id"] = str(run_id)
    if table == "effects":
        row["key"] = str(run_id)
    if table == "api_keys":
        row["hash"] = run_id.bytes
    marks = ", ".join(["%s"] * len(row))
    rows(connection, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def count(connection: Connection, table: str) -> object:
    """How many rows of a table this connection sees."""
    return rows(connection, f"SELECT count(*) FROM {table}")[0][0]


def test_every_table_of_a_tenant_is_listed_and_protected(owner_db: Connection) -> None:
    held = {
        table
        for (table,) in rows(
            owner_db,
            "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND attname = 'tenant_id'"
            " AND NOT attisdropped",
        )
    }
    protected = {
        table
        for (table,) in rows(
            owner_db,
            "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
            " AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid)",
        )
    }
    assert held <= protected
    assert {table for table in held if not re.match(PARTITION, str(table))} | {"tenants"} == set(TENANT_COLUMN)
    assert set(GRANTS) == set(METADATA.tables)


def test_no_policy_names_public(owner_db: Connection) -> None:
    assert rows(owner_db, "SELECT polname FROM pg_policy WHERE 0 = ANY (polroles)") == []


@pytest.fixture
def two_tenants(settings_env: object) -> tuple[UUID, UUID]:
    """Two fresh tenants."""
    return tenants.create_tenant(f"a-{uuid7()}"), tenants.create_tenant(f"b-{uuid7()}")


def test_each_sees_its_own_rows_only(two_tenants: tuple[UUID, UUID], app_db: OpenApp) -> None:
    # Given a row of every table for one tenant, made by itself
    mine, other = two_tenants
    me = app_db(mine)
    for table in SAMPLE:
        insert(me, table, mine, run_id=uuid7())
    # Then it sees them, another tenant and an unset one do not
    assert {table: count(me, table) for table in SAMPLE} == dict.fromkeys(SAMPLE, 1)
    for stranger in (app_db(other), app_db(None)):
        assert {table: count(stranger, table) for table in SAMPLE} == dict.fromkeys(SAMPLE, 0)
    assert count(me, "tenants") == 1 and count(app_db(None), "tenants") == 0


def test_nobody_writes_for_another(two_tenants: tuple[UUID, UUID], app_db: OpenApp) -> None:
    mine, other = two_tenants
    for writer in (app_db(other), app_db(None)):
        for table in SAMPLE:
            with pytest.raises(InsufficientPrivilege, match="row-level security"):
                insert(writer, table, mine, run_id=uuid7())


def test_nobody_changes_or_moves_anothers_rows(two_tenants: tuple[UUID, UUID], app_db: OpenApp) -> None:
    mine, other = two_tenants
    me, stranger = app_db(mine), app_db(other)
    insert(me, "runs", mine, run_id=uuid7())
    insert(stranger, "runs", other, run_id=uuid7())
    with stranger.cursor() as cursor:
        cursor.execute("UPDATE runs SET status = 'failed' WHERE tenant_id = %s", (str(mine),))
        assert cursor.rowcount == 0
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        rows(stranger, "UPDATE runs SET tenant_id = %s", (str(mine),))


def test_a_tenant_ends_with_its_transaction(two_tenants: tuple[UUID, UUID], app_db: OpenApp) -> None:
    mine, _ = two_tenants
    insert(app_db(mine), "runs", mine, run_id=uuid7())
    pooled = app_db(None)
    with pooled.cursor() as cursor:
        cursor.execute("SELECT set_config('baton.tenant', %s, true); SELECT count(*) FROM runs", (str(mine),))
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT count(*) FROM runs")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("table", [table for table, (app_may, _) in GRANTS.items() if app_may is None])
def test_the_application_has_no_way_to_the_keepers_tables(table: str, tenant: UUID, app_db: OpenApp) -> None:
    with pytest.raises(InsufficientPrivilege):
        rows(app_db(tenant), f"SELECT count(*) FROM {table}")


def test_the_application_owns_nothing(tenant: UUID, app_db: OpenApp) -> None:
    app = app_db(tenant)
    for statement in (
        "CREATE TABLE mine (id int)",
        "DROP TABLE runs",
        "TRUNCATE runs",
        "DELETE FROM runs",
        "DELETE FROM events",
        "UPDATE events SET seq = 2",
        "ALTER TABLE runs DISABLE ROW LEVEL SECURITY",
        "DROP POLICY app ON runs",
        "SELECT * FROM alembic_version",
        "SELECT baton_make_partitions(1)",
        "SELECT baton_drop_partitions(now())",
        "SELECT baton_make_partitions('llm_call_logs', 1)",
        "SELECT baton_drop_partitions('llm_call_logs', now())",
        "DELETE FROM llm_call_logs",
        "DELETE FROM model_spend",
        "DELETE FROM product_profiles",
        "DELETE FROM creator_profiles",
        "INSERT INTO model_policies (tenant_id) VALUES (gen_random_uuid())",
        "UPDATE model_policies SET tokens_per_day = 0",
        "UPDATE audit_logs SET actor = 'nobody'",
        "DELETE FROM audit_logs",
        "INSERT INTO audit_logs (id, tenant_id, seq, at, actor, action, resource, prev_hash, hash)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 1, now(), 'a', 'b', 'c', '', '')",
        "UPDATE audit_heads SET seq = 0",
        "UPDATE tenants SET plan = 'unlimited'",
        "SELECT baton_netstring('a')",
        "SET ROLE baton_keeper",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            rows(app, statement)


def test_partitions_are_reached_through_their_parent_only(
    tenant: UUID, app_db: OpenApp, keeper_db: Connection, owner_db: Connection
) -> None:
    run_id = uuid7()
    partitions = ["events_default", "llm_call_logs_default", "audit_logs_default"]
    for table, key in (("events", "run_id"), ("llm_call_logs", "call_id")):
        insert(app_db(tenant), table, tenant, run_id)
        found = rows(owner_db, f"SELECT tableoid::regclass::text FROM {table} WHERE {key} = %s", (str(run_id),))
        partitions.append(str(found[0][0]))
        assert partitions[-1].startswith(f"{table}_2")
    for role in (app_db(tenant), keeper_db):
        for table in partitions:
            with pytest.raises(InsufficientPrivilege):
                rows(role, f"SELECT count(*) FROM {table}")


def test_the_keeper_sees_every_tenant(two_tenants: tuple[UUID, UUID], app_db: OpenApp, keeper_db: Connection) -> None:
    made = []
    for one in two_tenants:
        made.append(uuid7())
        insert(app_db(one), "runs", one, made[-1])
    seen = rows(keeper_db, "SELECT count(*) FROM runs WHERE id = ANY (%s::uuid[])", (list(map(str, made)),))
    assert seen == [(2,)]
