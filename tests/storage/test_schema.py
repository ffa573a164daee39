"""The schema that migrations make is the schema that the models tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg2.extensions import connection as Connection
from sqlalchemy import create_engine, text

from storage.audit_tables import AuditLog
from storage.identity_tables import User
from storage.model_tables import ModelCall
from storage.postgres import driver_url
from storage.studio_tables import ProductProfile
from storage.tables import uuid7, uuid7_floor
from tests.conftest import Servers
from tests.storage.conftest import rows

METADATA = ModelCall.metadata  # the engine's tables are in it too
assert METADATA is ProductProfile.metadata is User.metadata is AuditLog.metadata
OURS = r"relname !~ '^(events|llm_call_logs|audit_logs)_(default|\d{4}_\d{2})' AND relname !~ '^alembic_version'"
# Made beside the migrations where pgvector is there (storage/semantic_cache.py).
OURS += " AND relname <> 'semantic_answers_near'"
CATALOG = {
    "columns": f"""
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND {OURS}""",
    "constraints": f"""
        SELECT relname, conname, contype, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid
        WHERE relnamespace = %s::regnamespace AND {OURS}""",
    "indexes": f"""
        SELECT relname, pg_get_indexdef(pg_class.oid), reloptions FROM pg_class
        WHERE relnamespace = %s::regnamespace AND relkind IN ('i', 'I') AND {OURS}""",
    "options": f"""
        SELECT relname, relkind, reloptions, pg_get_partkeydef(oid) FROM pg_class
        WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') AND {OURS}""",
}


@pytest.fixture
def models_schema(servers: Servers, owner_db: Connection) -> Iterator[str]:
    """A schema beside the real one, made from the models alone."""
    rows(owner_db, "CREATE SCHEMA models")
    engine = create_engine(driver_url(servers.owner_url), connect_args={"options": "-c search_path=models"})
    METADATA.create_all(engine)
    engine.dispose()
    yield "models"
    rows(owner_db, "DROP SCHEMA models CASCADE")


@pytest.mark.parametrize("part", CATALOG)
def test_migrations_and_models_make_the_same(part: str, models_schema: str, owner_db: Connection) -> None:
    def seen(schema: str) -> list[str]:
        return sorted(re.sub(rf"\b{schema}\.", "", str(row)) for row in rows(owner_db, CATALOG[part], (schema,)))

    assert seen("public") == seen(models_schema)
    assert seen("public")


def test_alembic_finds_nothing_to_do(servers: Servers, owner_db: Connection) -> None:
    def ours(name: str | None, kind: str, _parents: object) -> bool:
        if kind == "index" and name == "semantic_answers_near":
            return False
        return not (kind == "table" and (name or "").startswith(("events_", "llm_call_logs_", "audit_logs_")))

    engine = create_engine(driver_url(servers.owner_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_name": ours}
        )
        assert compare_metadata(context, METADATA) == []
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    engine.dispose()


def test_no_index_of_a_hot_table_holds_what_a_claim_or_a_commit_changes(owner_db: Connection) -> None:
    # A HOT update touches no index: none may hold these columns, not even in its condition.
    hot = {
        "segments": {"pos", "attempt", "sent_at", "sends", "token", "worker", "claimed_at", "deadline_at"},
        "runs": {"seq", "done", "resumes", "started_at"},
    }
    for table, columns in hot.items():
        for (definition,) in rows(owner_db, "SELECT indexdef FROM pg_indexes WHERE tablename = %s", (table,)):
            held = set(re.findall(r"\w+", str(definition).split(" ON ")[1]))
            if table == "runs":
                held -= {"deadline_at"}
            assert not held & columns, definition


def test_ids_are_made_in_the_order_of_time() -> None:
    now = datetime.now(UTC)
    made = uuid7()
    assert made.version == 7 and made.variant == "specified in RFC 4122"
    assert uuid7_floor(now) <= made < uuid7_floor(now + timedelta(minutes=1))


def test_payloads_are_stored_as_they_came(app_db: Callable[..., Connection], tenant: UUID) -> None:
    payload = '{"b": "\\u0000", "a": 1, "n": 1e400}'  # jsonb would refuse it, and reorder it
    columns = "id, tenant_id, chain, chain_version, trace_id, input"
    stored = rows(
        app_db(tenant),
        f"INSERT INTO runs ({columns}) VALUES (%s, %s, 'probe', '1', 't', %s) RETURNING input::text",
        (str(uuid7()), str(tenant), payload),
    )
    assert stored == [(payload,)]
