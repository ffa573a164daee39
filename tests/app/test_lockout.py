"""Who guesses passwords is slowed down, by name and by address, whether there is such a user or not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from psycopg2.extensions import connection as Connection

from errors import InvalidCredentials, LoginLocked
from identity import lockout, login
from identity.caller import Caller
from storage import logins
from storage.tables import uuid7
from tests.app.people import PASSWORD, Person

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def forgotten(owner_db: Connection) -> None:
    """No failures of other tests stand under the address that all of them come from."""
    with owner_db.cursor() as cursor:
        cursor.execute("DELETE FROM login_failures WHERE tenant_id = %s", (UUID(int=0),))


@pytest.mark.parametrize("known", [True, False])
def test_guessing_is_slowed_down_more_and_more(known: bool, ada: Person, tenant_name: str) -> None:
    email = ada.email if known else f"nobody-{uuid7()}@example.com"

    def guess(at: datetime, password: str = "a wrong password") -> float:
        """The seconds that the name is locked for, 0: the password was looked at."""
        try:
            login.by_password(tenant_name, email, password, Caller(None), at)
        except LoginLocked as locked:
            return locked.retry_after_seconds
        except InvalidCredentials:
            pass
        return 0

    # When five guesses fail
    assert [guess(NOW) for _ in range(5)] == [0] * 5
    # Then the name is locked for twice as long after each further one
    at, waits = NOW, []
    for _ in range(12):
        waits.append(guess(at))
        assert guess(at, PASSWORD) == waits[-1], "the right password opens nothing that is locked"
        at += timedelta(seconds=waits[-1])
        assert guess(at) == 0
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    # And a day of quiet ends it
    assert [guess(at + timedelta(days=2)) for _ in range(4)] == [0] * 4


def test_a_success_forgets_the_failures(ada: Person, tenant_name: str) -> None:
    for round_ in range(3):
        for _ in range(4):
            with pytest.raises(InvalidCredentials):
                login.by_password(tenant_name, ada.email, "a wrong password", Caller("192.0.2.7"), NOW)
        assert login.by_password(tenant_name, ada.email, PASSWORD, Caller("192.0.2.7"), NOW + timedelta(hours=round_))


def test_fifty_guesses_at_once_count_as_fifty(settings_env: Any) -> None:
    count = lockout.by_name(None, f"nowhere-{uuid7()}", "a@example.com")

    def admitted(_: int) -> bool:
        try:
            lockout.admit([count], NOW)
        except LoginLocked:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(admitted, range(50))) == 5


def test_an_address_that_tries_many_names_is_locked_and_others_are_not(settings_env: Any) -> None:
    def attempt(source: str) -> None:
        name = lockout.by_name(None, "nowhere", f"{uuid7()}@example.com")
        lockout.admit([*lockout.by_source(source), name], NOW)

    network = f"2001:db8:{uuid7().int & 0xFFFF:x}:{uuid7().int & 0xFFFF:x}"
    for host in range(51):
        attempt(f"{network}::{host:x}")
    with pytest.raises(LoginLocked):
        attempt(f"{network}::ffff")
    attempt("2001:db8:ffff:ffff::1")


def test_one_address_is_one_however_it_is_written() -> None:
    assert lockout.by_source("::ffff:192.0.2.7") == lockout.by_source("192.0.2.7") != lockout.by_source("192.0.2.8")


def test_an_attempt_at_what_is_locked_is_not_counted_anywhere(settings_env: Any) -> None:
    def locked(*counts: logins.Count) -> bool:
        try:
            lockout.admit(counts, NOW)
        except LoginLocked:
            return True
        return False

    name, other = (lockout.by_name(None, "nowhere", f"{uuid7()}@example.com") for _ in range(2))
    source, elsewhere = (logins.Count(UUID(int=0), uuid7().bytes, 3, lockout.MOST, timedelta(days=1)) for _ in range(2))
    # Given a locked address, when its people go on trying, then none of their names is locked by that
    while not locked(source):
        pass
    assert all(locked(source, name) for _ in range(9))
    assert not locked(elsewhere, name)
    # Given a locked name, when somebody goes on trying it, then their address is not locked by that
    while not locked(other):
        pass
    assert all(locked(elsewhere, other) for _ in range(9))
    assert not locked(elsewhere)


def test_a_locked_name_is_told_with_the_time(anonymous: FlaskClient, tenant_name: str) -> None:
    body = {"tenant": tenant_name, "email": f"nobody-{uuid7()}@example.com", "password": "a wrong password"}
    answers = [anonymous.post("/api/v1/auth/login", json=body) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[-1].json["reason"] == "login_locked" and int(answers[-1].headers["Retry-After"]) >= 1
