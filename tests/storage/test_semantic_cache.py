"""Answers by meaning in Postgres: the nearest of a scope, never over a tenant, never after their time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from unittest.mock import Mock
from uuid import UUID

import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection
from sqlalchemy import create_engine

from settings import Settings
from storage import migrate, postgres, semantic_cache, tenants
from storage.tables import uuid7
from tests.storage.conftest import Database, connect_to, rows

OpenApp = Callable[[UUID | None], Connection]


def vector(*parts: float) -> list[float]:
    """A vector of length 1 that begins with these numbers, scaled."""
    length = sum(part * part for part in parts) ** 0.5
    return [part / length for part in parts] + [0.0] * (semantic_cache.DIMENSIONS - len(parts))


def keep(tenant: UUID, scope: bytes, embedding: list[float], answer: str, seconds: float = 60.0) -> None:
    """Keep an answer under the hash of its embedding."""
    question = hashlib.sha256(repr(embedding).encode()).digest()
    semantic_cache.keep(tenant, scope, embedding, question, answer, seconds)


@pytest.fixture(autouse=True)
def _looked_anew(settings_env: Settings) -> Iterator[None]:
    semantic_cache.look_again()
    yield
    semantic_cache.look_again()


def test_the_nearest_of_the_scope_comes_first_and_none_below_the_threshold(tenant: UUID) -> None:
    # Given three answers of one scope, at falling nearness, and the nearest of all in another scope
    keep(tenant, b"one", vector(1, 0.1), "near")
    keep(tenant, b"one", vector(1, 0.3), "nearer than 0.92")
    keep(tenant, b"one", vector(1, 1.0), "far")
    keep(tenant, b"other", vector(1, 0.0), "same question, other scope")
    # When the scope is asked
    found = semantic_cache.near(tenant, b"one", vector(1, 0.0), 0.92)
    # Then
    assert [near.answer for near in found] == ["near", "nearer than 0.92"]
    assert found[0].similarity == pytest.approx(vector(1, 0.1)[0], abs=1e-5)


def test_few_rows_among_many_nearer_ones_of_other_scopes_are_found(tenant: UUID, owner_db: Connection) -> None:
    # Given 600 answers of other scopes that are nearer than the one of ours
    for number in range(600):
        keep(tenant, f"scope {number % 3}".encode(), vector(1, 0.0001 * number), "not ours")
    keep(tenant, b"ours", vector(1, 0.2), "ours")
    # When the planner knows how many there are, and when it has to go by the index by distance
    rows(owner_db, "ANALYZE semantic_answers")
    for forced in ("", "DROP INDEX semantic_answers_of_scope; "):
        with connect_to(postgres.settings().database_url) as owner, owner.cursor() as cursor:
            cursor.execute("BEGIN; " + forced)
            cursor.execute("SET LOCAL enable_seqscan = off")
            values = {"tenant": str(tenant), "scope": b"ours", "embedding": semantic_cache._vector(vector(1, 0.0))}
            cursor.execute(semantic_cache._NEAR, {**values, "limit": 5})
            found = cursor.fetchall()
            cursor.execute("ROLLBACK")
        # Then it is found either way
        assert [answer for answer, _ in found] == ["ours"]


def test_the_same_question_again_replaces_its_answer(tenant: UUID, owner_db: Connection) -> None:
    for answer in ("old", "new"):
        keep(tenant, b"s", vector(1), answer)
    assert [near.answer for near in semantic_cache.near(tenant, b"s", vector(1), 0.9)] == ["new"]
    assert rows(owner_db, "SELECT count(*) FROM semantic_answers WHERE tenant_id = %s", (str(tenant),)) == [(1,)]


def test_an_answer_ends_with_its_time(tenant: UUID, owner_db: Connection) -> None:
    keep(tenant, b"s", vector(1), "stale")
    assert semantic_cache.near(tenant, b"s", vector(1), 0.9)
    rows(owner_db, "UPDATE semantic_answers SET expires_at = now() WHERE tenant_id = %s", (str(tenant),))
    assert semantic_cache.near(tenant, b"s", vector(1), 0.9) == []
    keep(tenant, b"s", vector(1), "never kept", seconds=0.0)
    assert semantic_cache.near(tenant, b"s", vector(1), 0.9) == []


def test_no_tenant_finds_anothers_answer_even_under_its_scope(tenant: UUID, app_db: OpenApp) -> None:
    # Given an answer, and a stranger who knows its scope
    keep(tenant, b"s", vector(1), "secret")
    stranger = tenants.create_tenant(f"stranger-{uuid7()}")
    # Then the lookup finds nothing
    assert semantic_cache.near(stranger, b"s", vector(1), 0.0) == []
    # And neither does a query without any condition, nor can one be planted for the tenant
    assert rows(app_db(stranger), "SELECT answer FROM semantic_answers") == []
    assert rows(app_db(None), "SELECT answer FROM semantic_answers") == []
    assert [answer for (answer,) in rows(app_db(tenant), "SELECT answer FROM semantic_answers")] == ["secret"]
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        rows(
            app_db(stranger),
            "INSERT INTO semantic_answers (id, tenant_id, scope, question_hash, embedding, answer, expires_at)"
            " VALUES (%s, %s, 's', 'q', '{1}', 'planted', now() + interval '1 hour')",
            (str(uuid7()), str(tenant)),
        )


def test_without_the_index_nothing_is_found_and_it_is_said_once(
    tenant: UUID, fresh_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a database without the index by distance
    database = fresh_database("CREATEROLE")
    migrate.migrate(*database.urls)
    owner = connect_to(database.owner_url)
    rows(owner, f"DROP INDEX {semantic_cache.INDEX}")
    owner.close()
    monkeypatch.setattr(postgres, "_url", lambda role: database.app_url)
    said: list[str] = []
    monkeypatch.setattr(semantic_cache.log, "warning", lambda event, **details: said.append(event))
    # When answers are kept and looked for
    assert not semantic_cache.available()
    semantic_cache.keep(tenant, b"s", vector(1), b"q", "a", 60.0)
    # Then nothing is found, and one line says why
    assert semantic_cache.near(tenant, b"s", vector(1), 0.0) == []
    assert said == ["semantic_cache_off"]


def test_a_role_that_may_not_make_the_index_does_not_fail_the_migration(
    fresh_database: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = fresh_database("CREATEROLE")
    migrate.migrate(*database.urls)
    said: list[str] = []
    monkeypatch.setattr(semantic_cache.log, "warning", lambda event, **details: said.append(event))
    owner = connect_to(database.owner_url)
    rows(owner, f"DROP INDEX {semantic_cache.INDEX}")
    owner.close()
    # When a role that does not own the table is to make it
    engine = create_engine(postgres.driver_url(database.app_url))
    with engine.connect() as stranger:
        semantic_cache.ensure_index(stranger)
    engine.dispose()
    # Then it is logged, and nothing raised
    assert said == ["semantic_cache_without_index"]


def test_a_database_that_fails_is_a_miss_and_left_alone(tenant: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tenant, b"s", vector(1), "a")
    # Given statements that the server refuses
    monkeypatch.setattr(semantic_cache, "_NEAR", "SELECT * FROM no_such_table")
    assert semantic_cache.near(tenant, b"s", vector(1), 0.0) == []
    # Then the next lookup does not ask at all, though it could be answered
    monkeypatch.undo()
    asked = Mock(return_value=[("a", 1.0)])
    monkeypatch.setattr(semantic_cache, "_run", asked)
    assert semantic_cache.near(tenant, b"s", vector(1), 0.0) == []
    asked.assert_not_called()
