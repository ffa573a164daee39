"""Expired tokens and old counts go; what is still good, and what still says that a login ended, stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection

from identity import acting, leftovers, login, signing, users
from identity.caller import Caller
from identity.lockout import by_name
from storage import logins, one_time_tokens
from storage.tables import uuid7


def count(db: Connection, table: str, tenant: UUID) -> Any:
    with db.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (tenant,))
        (found,) = cursor.fetchone() or (None,)
        return found


def test_what_is_over_goes_and_a_due_key_is_replaced(tenant: UUID, owner_db: Connection) -> None:
    # Given a login, a ticket and a failed login
    now = datetime.now(UTC)
    made = users.create(acting.operator(tenant), "ada@example.com", "Ada", ["viewer"], "correct battery staple")
    login.by_other_proof(tenant, made["id"], "oidc", Caller(), now)
    one_time_tokens.add(uuid7().bytes, tenant, "ticket", {}, now + timedelta(seconds=30))
    logins.attempt([by_name(tenant, "tenant", "bob@example.com")], now)
    tables = ("refresh_tokens", "one_time_tokens", "login_failures")
    # Then nothing of it goes at once
    assert leftovers.run_once(now).new_key is None
    assert [count(owner_db, table, tenant) for table in tables] == [1, 1, 1]
    # After a day the ticket and the failure are over, after two weeks the login
    leftovers.run_once(now + timedelta(days=1, seconds=1))
    assert [count(owner_db, table, tenant) for table in tables] == [1, 0, 0]
    leftovers.run_once(now + timedelta(days=14, seconds=1))
    assert [count(owner_db, table, tenant) for table in tables] == [0, 0, 0]
    # And after a month the key that signs is replaced, once
    month = now + timedelta(days=30, seconds=1)
    assert leftovers.run_once(month).new_key is not None
    assert leftovers.run_once(month).new_key is None
    signing.forget()
