"""Answers by the meaning of their question: nearest neighbours in `semantic_answers`, by pgvector where it is there.

The table holds plain real[], so the schema needs no extension; `ensure_index` adds the index by distance. Neighbours
are only looked for within a scope: a hash over everything that must be equal to the letter, the tenant
included, and row-level security keeps tenants apart once more.

Best effort like all caches: what fails here is a miss, and is left alone for a while.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg2
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from storage.outages import first_line
from storage.postgres import Row, hot
from storage.tables import uuid7

log = structlog.get_logger(__name__)

DIMENSIONS = 512
INDEX = "semantic_answers_near"
LOOK_AGAIN_SECONDS = 60.0
QUIET_SECONDS = 5.0
STATEMENT_MILLISECONDS = 2000

# Called once a semantic lookup that L1 and L2 did not answer. Not prepared: the plan depends on the scope's size. The
# planner knows it from statistics: few rows are sorted, for many the index by distance is read in strict order until
# enough rows of this scope came. SET LOCAL ends with the string, which is one transaction.
_NEAR = f"""
SET LOCAL baton.tenant = %(tenant)s;
SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS};
SET LOCAL hnsw.iterative_scan = strict_order;
SET LOCAL hnsw.ef_search = 40;
SELECT answer, 1 - (embedding::vector({DIMENSIONS}) <=> %(embedding)s::vector({DIMENSIONS}))
FROM semantic_answers
WHERE tenant_id = %(tenant)s::uuid AND scope = %(scope)s AND expires_at > now()
ORDER BY embedding::vector({DIMENSIONS}) <=> %(embedding)s::vector({DIMENSIONS})
LIMIT %(limit)s
"""  # nosec B608 # numbers of this module

# Called once a new answer. A lost one costs one more call of a model, so nobody waits for the disk.
_KEEP = f"""
SET LOCAL baton.tenant = %(tenant)s;
SET LOCAL synchronous_commit = off;
SET LOCAL statement_timeout = {STATEMENT_MILLISECONDS};
INSERT INTO semantic_answers (id, tenant_id, scope, question_hash, embedding, answer, expires_at)
VALUES (%(id)s, %(tenant)s::uuid, %(scope)s, %(question_hash)s, %(embedding)s::real[], %(answer)s,
        now() + make_interval(secs => %(ttl_seconds)s))
ON CONFLICT (tenant_id, scope, question_hash)
DO UPDATE SET answer = excluded.answer, created_at = now(), expires_at = excluded.expires_at
"""  # nosec B608 # a number of this module

_there = False
_quiet_until = 0.0
_said_missing = False


@dataclass(frozen=True)
class Near:
    """An answer, and how near its question is: the cosine."""

    answer: str
    similarity: float


def ensure_index(owner: Connection) -> None:
    """Make the index by distance where pgvector is installed; the owner's connection, at the end of a migration.

    Never fails the migration: the cache does without.
    """
    # Looked up first: CREATE INDEX IF NOT EXISTS would wait for every writer, at each start.
    has_vector = "EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
    wanted = f"SELECT to_regclass('{INDEX}') IS NULL AND {has_vector}"  # nosec B608 # a name of this module
    try:
        with owner.begin():
            if owner.scalar(text(wanted)):
                owner.exec_driver_sql(
                    f"CREATE INDEX {INDEX} ON semantic_answers"
                    f" USING hnsw ((embedding::vector({DIMENSIONS})) vector_cosine_ops)"
                )
    except DBAPIError as error:
        log.warning("semantic_cache_without_index", error=first_line(error))


def available() -> bool:
    """Whether answers can be found by meaning here. Looked up anew once a minute while they cannot."""
    global _there, _quiet_until, _said_missing
    if _there or time.monotonic() < _quiet_until:
        return _there
    try:
        found = _run("SELECT to_regclass(%(index)s) IS NOT NULL", {"index": INDEX})
        _there = bool(found and found[0][0])
    except psycopg2.Error as error:
        _away(error)
        return False
    if not _there:
        _quiet_until = time.monotonic() + LOOK_AGAIN_SECONDS
        if not _said_missing:
            log.warning(
                "semantic_cache_off", reason="the extension vector or its index is missing; see manage.py migrate"
            )
        _said_missing = True
    return _there


def near(tenant_id: UUID, scope: bytes, embedding: Sequence[float], threshold: float, limit: int = 5) -> list[Near]:
    """The answers of this scope whose questions are at least so near, the nearest first."""
    if not available() or time.monotonic() < _quiet_until:
        return []
    values = {"tenant": str(tenant_id), "scope": scope, "embedding": _vector(embedding), "limit": limit}
    try:
        rows = _run(_NEAR, values)
    except psycopg2.Error as error:
        _away(error)
        return []
    return [Near(answer, similarity) for answer, similarity in rows if similarity >= threshold]


def keep(
    tenant_id: UUID, scope: bytes, embedding: Sequence[float], question_hash: bytes, answer: str, ttl_seconds: float
) -> None:
    """Keep an answer for so long; a newer one to the same question takes its place."""
    if not available() or time.monotonic() < _quiet_until or ttl_seconds <= 0:
        return
    values = {
        "id": uuid7(),
        "tenant": str(tenant_id),
        "scope": scope,
        "question_hash": question_hash,
        "embedding": list(embedding),
        "answer": answer,
        "ttl_seconds": ttl_seconds,
    }
    try:
        _run(_KEEP, values)
    except psycopg2.Error as error:
        _away(error)


def look_again() -> None:
    """Forget what was found out about the database (tests)."""
    global _there, _quiet_until, _said_missing
    _there, _quiet_until, _said_missing = False, 0.0, False


def _run(statement: str, values: dict[str, object]) -> list[Row]:
    """One round trip; the rows of the last statement in the string."""
    with hot() as db, db.connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def _vector(embedding: Sequence[float]) -> str:
    return f"[{','.join(map(repr, embedding))}]"


def _away(error: psycopg2.Error) -> None:
    global _quiet_until
    _quiet_until = time.monotonic() + QUIET_SECONDS
    log.warning("semantic_cache_away", error=first_line(error))
