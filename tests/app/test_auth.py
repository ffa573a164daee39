"""Logging in over HTTP: tokens, their rotation and end, what is told to whom, and who is slowed down."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet
from psycopg2.extensions import connection as Connection

from errors import InvalidCredentials
from identity import access_tokens, acting, keys, login, passwords, refresh, secrets, signing, users
from identity.access_tokens import Login
from identity.caller import Caller
from storage import refresh_tokens, tenants
from storage.refresh_tokens import Family, Lives, Refusal
from storage.tables import uuid7
from tests.app.people import PASSWORD, Person, person

AUTH = "/api/v1/auth"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HERE = Caller("192.0.2.7", "a" * 32)


@pytest.fixture(autouse=True)
def forgotten(owner_db: Connection) -> None:
    """Nothing is remembered from another test, and no failures under the address that all of them come from."""
    keys.forget()
    access_tokens.forget()
    ask(owner_db, "DELETE FROM login_failures WHERE tenant_id = %s", UUID(int=0))


def ask(db: Connection, query: str, *values: Any) -> Any:
    with db.cursor() as cursor:
        cursor.execute(query, values)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def post(client: FlaskClient, path: str, body: Any, token: str | None = None, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.post(f"{AUTH}{path}", json=body, headers=headers, **options)


def me(client: FlaskClient, token: str) -> Any:
    return client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})


def log_in(client: FlaskClient, tenant_name: str, who: Person, password: str = PASSWORD) -> dict[str, Any]:
    answer = post(client, "/login", {"tenant": tenant_name, "email": who.email, "password": password})
    assert answer.status_code == 200, answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    told: dict[str, Any] = answer.json
    return told


def actions(db: Connection, tenant: UUID) -> list[tuple[str, str]]:
    with db.cursor() as cursor:
        cursor.execute("SELECT action, actor FROM audit_logs WHERE tenant_id = %s ORDER BY seq", (tenant,))
        return [
            (action, actor) for action, actor in cursor.fetchall() if action.startswith(("login", "user.password_"))
        ]


def test_a_login_opens_the_api_and_says_who_one_is(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection
) -> None:
    # When Ada logs in, writing her address in her own way
    given = {"tenant": tenant_name, "email": ada.email.upper(), "password": PASSWORD}
    tokens = post(anonymous, "/login", given).json
    # Then the access token opens the API
    shown = me(anonymous, tokens["access_token"]).json
    assert (shown["tenant_id"], shown["user_id"], shown["roles"]) == (str(tenant), str(ada.id), ["owner"])
    assert "runs:start" in shown["permissions"] and "tenants:manage" not in shown["permissions"]
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert tokens["refresh_expires_in"] == 14 * 86400
    # And it is recorded
    assert actions(owner_db, tenant) == [("login.success", f"user:{ada.id}")]
    assert ask(owner_db, "SELECT last_login_at FROM users WHERE id = %s", ada.id) is not None


def test_others_can_verify_a_token_by_the_jwks(anonymous: FlaskClient, ada: Person, tenant_name: str) -> None:
    token = log_in(anonymous, tenant_name, ada)["access_token"]
    answer = anonymous.get("/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert {name for key in answer.json["keys"] for name in key} == {"kty", "n", "e", "kid", "use", "alg"}
    verified = jwt.decode(token, KeySet.import_key_set(answer.json), algorithms=["RS256"])
    assert verified.claims["sub"] == str(ada.id) and verified.header["typ"] == "at+jwt"


def test_nobody_learns_who_there_is(
    anonymous: FlaskClient,
    ada: Person,
    flask_app: Flask,
    tenant: UUID,
    tenant_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a user who is disabled, and one without a password
    gone = person(flask_app, tenant, "viewer")
    users.change(acting.operator(tenant), gone.id, {"status": "disabled"})
    without = f"{uuid7()}@example.com"
    users.create(acting.operator(tenant), without, "Bob", ["viewer"])
    works: list[str] = []
    real = passwords._hasher

    class Counted:
        def verify(self, kept: str, plain: str) -> bool:
            works.append(kept.split("$")[3])
            return real.verify(kept, plain)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    monkeypatch.setattr(passwords, "_hasher", Counted())
    # When somebody tries each of them
    tried = [
        {"tenant": tenant_name, "email": ada.email, "password": "not the password"},
        {"tenant": tenant_name, "email": f"nobody-{uuid7()}@example.com", "password": PASSWORD},
        {"tenant": f"nowhere-{uuid7()}", "email": ada.email, "password": PASSWORD},
        {"tenant": tenant_name, "email": gone.email, "password": PASSWORD},
        {"tenant": tenant_name, "email": without, "password": PASSWORD},
        {"tenant": tenant_name, "email": ada.email, "password": "x" * 1000},
    ]
    answers = [post(anonymous, "/login", body) for body in tried]
    # Then all get the same answer, for the same work
    assert {(answer.status_code, answer.data) for answer in answers} == {(401, answers[0].data)}
    assert answers[0].json["code"] == "invalid_credentials"
    ids = {"X-Request-Id", "traceparent", "Date"}
    assert len({str([one for one in answer.headers if one[0] not in ids]) for answer in answers}) == 1
    assert len(works) == len(tried) and len(set(works)) == 1


def test_a_failure_is_recorded_without_the_name(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection
) -> None:
    post(anonymous, "/login", {"tenant": tenant_name, "email": ada.email, "password": "wrong password"})
    assert actions(owner_db, tenant) == [("login.failure", "anonymous")]
    kept = ask(
        owner_db,
        "SELECT row_to_json(a)::text FROM audit_logs a WHERE tenant_id = %s AND action = 'login.failure'",
        tenant,
    )
    assert ada.email not in kept and "wrong password" not in kept and '"source":"127.0.0.1"' in kept


def test_each_refresh_gives_the_next_and_a_second_use_ends_the_login(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection
) -> None:
    # Given a login that was refreshed twice
    first = log_in(anonymous, tenant_name, ada)
    second = post(anonymous, "/refresh", {"refresh_token": first["refresh_token"]}).json
    third = post(anonymous, "/refresh", {"refresh_token": second["refresh_token"]}).json
    assert me(anonymous, third["access_token"]).status_code == 200
    assert len({one["refresh_token"] for one in (first, second, third)}) == 3
    # When somebody uses the first token again
    answer = post(anonymous, "/refresh", {"refresh_token": first["refresh_token"]})
    # Then the login has ended, with all of its tokens
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_credentials")
    again = post(anonymous, "/refresh", {"refresh_token": third["refresh_token"]})
    assert (again.status_code, again.data) == (401, answer.data)
    for tokens in (first, second, third):
        assert me(anonymous, tokens["access_token"]).status_code == 401
    # And it is recorded once
    assert actions(owner_db, tenant)[1:] == [("login.reuse_detected", f"user:{ada.id}")]


def test_of_four_that_refresh_at_once_one_wins_and_the_login_ends(
    ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection
) -> None:
    # Given a login, and four who use its token at the same moment
    token = login.by_password(tenant_name, ada.email, PASSWORD, HERE, datetime.now(UTC)).refresh_token
    at_once = threading.Barrier(4)

    def attempt(number: int) -> Family | Refusal:
        at_once.wait(10)
        hashes = (secrets.hashed(refresh.KIND, token), secrets.hashed(refresh.KIND, f"next {number} {token}"))
        lives = Lives(timedelta(days=14), timedelta(days=90))
        return refresh_tokens.rotate(
            *hashes,
            datetime.now(UTC),
            lives,
            None,
            lambda user, _: HERE.entry(f"user:{user}", "login.reuse_detected", ""),
        )

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(attempt, range(4)))
    # Then one gets the next token, one ends the login, and nothing of it opens anything
    assert len([one for one in found if isinstance(one, Family)]) == 1
    assert sorted(one.value for one in found if isinstance(one, Refusal)) == ["ended", "ended", "reused"]
    query = "SELECT count(*) FROM refresh_tokens WHERE user_id = %s AND ended_at IS NULL"
    assert ask(owner_db, query, ada.id) == 0


def test_a_login_ends_unused_and_in_the_end_however_it_is_used(ada: Person, tenant_name: str) -> None:
    begin = datetime.now(UTC)  # a login's begin is the time of its id
    tokens = login.by_password(tenant_name, ada.email, PASSWORD, HERE, begin)
    idle = login.by_password(tenant_name, ada.email, PASSWORD, HERE, begin)
    with pytest.raises(InvalidCredentials):
        refresh.rotate(idle.refresh_token, HERE, begin + timedelta(days=14, seconds=1))
    for days in range(13, 90, 13):
        tokens = refresh.rotate(tokens.refresh_token, HERE, begin + timedelta(days=days))
    assert tokens.refresh_expires_in <= 12 * 86400
    with pytest.raises(InvalidCredentials):
        refresh.rotate(tokens.refresh_token, HERE, begin + timedelta(days=90, seconds=5))


@pytest.mark.parametrize("token", ["", "br_", "br_" + "a" * 43, "bt_00000000_" + "0" * 48, "br_' OR 1=1 --", "é" * 46])
def test_what_is_no_refresh_token_is_refused(anonymous: FlaskClient, token: str) -> None:
    answer = post(anonymous, "/refresh", {"refresh_token": token})
    assert answer.status_code == (401 if token else 422)


def test_logging_out_ends_this_login_or_all(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection
) -> None:
    here, there, elsewhere = (log_in(anonymous, tenant_name, ada) for _ in range(3))
    assert post(anonymous, "/logout", {}, here["access_token"]).status_code == 204
    assert me(anonymous, here["access_token"]).status_code == 401
    assert post(anonymous, "/refresh", {"refresh_token": here["refresh_token"]}).status_code == 401
    assert me(anonymous, there["access_token"]).status_code == 200
    assert post(anonymous, "/logout", {"everywhere": True}, there["access_token"]).status_code == 204
    assert me(anonymous, elsewhere["access_token"]).status_code == 401
    assert [action for action, _ in actions(owner_db, tenant)][3:] == ["login.logout", "login.logout_everywhere"]


def test_an_api_key_has_no_login_to_end(ada: Person) -> None:
    for path, body in (("/logout", {}), ("/password", {"current": PASSWORD, "new": "another long one"})):
        answer = ada.client.post(f"{AUTH}{path}", body)
        assert (answer.status_code, answer.json["code"]) == (409, "no_login")


def test_a_new_password_ends_every_login(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection
) -> None:
    here, there = log_in(anonymous, tenant_name, ada), log_in(anonymous, tenant_name, ada)
    for body, field in (
        ({"current": "not the password", "new": "another long password"}, "current"),
        ({"current": PASSWORD, "new": "short"}, "new"),
        ({"current": PASSWORD, "new": ada.email}, "new"),
        ({"current": PASSWORD, "new": "aaaaaaaaaaaaaaaa"}, "new"),
        ({"current": PASSWORD, "new": "QwertyUIOP123"}, "new"),
    ):
        answer = post(anonymous, "/password", body, here["access_token"])
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
    answer = post(anonymous, "/password", {"current": PASSWORD, "new": "another long password"}, here["access_token"])
    assert answer.status_code == 204, answer.json
    for tokens in (here, there):
        assert me(anonymous, tokens["access_token"]).status_code == 401
        assert post(anonymous, "/refresh", {"refresh_token": tokens["refresh_token"]}).status_code == 401
    assert ("user.password_changed", f"user:{ada.id}") in actions(owner_db, tenant)
    old = post(anonymous, "/login", {"tenant": tenant_name, "email": ada.email, "password": PASSWORD})
    assert old.status_code == 401
    log_in(anonymous, tenant_name, ada, "another long password")


def test_a_password_that_was_changed_meanwhile_is_not_changed_by_the_old_one(
    ada: Person, tenant: UUID, tenant_name: str, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = log_in(anonymous, tenant_name, ada)
    hashed = passwords.hashed

    def meanwhile(password: str) -> str:
        monkeypatch.setattr(passwords, "hashed", hashed)
        users.set_password(acting.operator(tenant), ada.id, "set by an administrator")
        return hashed(password)

    # Given somebody who has seen the password, and an administrator who gives the user another one at that moment
    monkeypatch.setattr(passwords, "hashed", meanwhile)
    body = {"current": PASSWORD, "new": "a password of the thief"}
    assert post(anonymous, "/password", body, tokens["access_token"]).status_code == 401
    log_in(anonymous, tenant_name, ada, "set by an administrator")


def test_a_hash_of_other_parameters_is_made_anew_at_login(
    anonymous: FlaskClient, ada: Person, tenant_name: str, owner_db: Connection
) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    ask(owner_db, "UPDATE user_passwords SET hash = %s WHERE user_id = %s", weak, ada.id)
    log_in(anonymous, tenant_name, ada)
    kept = ask(owner_db, "SELECT hash FROM user_passwords WHERE user_id = %s", ada.id)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_what_is_kept_opens_nothing(
    anonymous: FlaskClient, ada: Person, tenant_name: str, owner_db: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    # When somebody logs in, refreshes and takes a ticket
    with caplog.at_level(logging.DEBUG):
        tokens = log_in(anonymous, tenant_name, ada)
        fresh = post(anonymous, "/refresh", {"refresh_token": tokens["refresh_token"]}).json
        ticket = post(anonymous, "/tickets", {}, fresh["access_token"]).json["ticket"]
        anonymous.get(f"/api/v1/runs/{uuid7()}/events?ticket={ticket}")
    # Then neither the tables nor the log hold what was sent
    kept = ""
    for table in ("refresh_tokens", "one_time_tokens", "user_passwords", "audit_logs", "signing_keys"):
        kept += json.dumps(ask(owner_db, f"SELECT json_agg(t) FROM (SELECT * FROM {table}) t"))
    for secret in (PASSWORD, tokens["refresh_token"], fresh["refresh_token"], ticket, tokens["access_token"]):
        assert secret not in caplog.text and secret not in kept
        assert secret.encode().hex() not in kept


def test_disabled_suspended_and_demoted_take_effect_within_seconds(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str, owner_db: Connection, later: Any
) -> None:
    token = log_in(anonymous, tenant_name, ada)["access_token"]
    mine = {"Authorization": f"Bearer {token}"}

    def both() -> list[int]:
        """The status by access token and by key, once what was remembered is old."""
        later()
        return [anonymous.get("/api/v1/usage", headers=mine).status_code, ada.client.get("/api/v1/usage").status_code]

    assert both() == [200, 200]
    # changed by another process: nothing here forgets
    ask(owner_db, "UPDATE users SET roles = '{approver}' WHERE id = %s", ada.id)
    assert both() == [403, 403]
    ask(owner_db, "UPDATE users SET roles = '{owner}', status = 'disabled' WHERE id = %s", ada.id)
    assert both() == [401, 401]
    ask(owner_db, "UPDATE users SET status = 'active' WHERE id = %s", ada.id)
    assert both() == [200, 200]
    ask(owner_db, "UPDATE tenants SET status = 'suspended' WHERE id = %s", tenant)
    assert both() == [401, 401]
    ask(owner_db, "UPDATE tenants SET status = 'active' WHERE id = %s", tenant)
    ask(owner_db, "UPDATE refresh_tokens SET ended_at = now() WHERE user_id = %s", ada.id)
    assert both() == [401, 200]


def test_what_was_found_is_remembered_for_seconds(
    anonymous: FlaskClient, ada: Person, tenant_name: str, owner_db: Connection, later: Any
) -> None:
    token = log_in(anonymous, tenant_name, ada)["access_token"]
    assert me(anonymous, token).status_code == 200
    ask(owner_db, "UPDATE users SET status = 'disabled' WHERE id = %s", ada.id)
    assert me(anonymous, token).status_code == 200
    later()
    assert me(anonymous, token).status_code == 401


def test_an_expired_token_and_one_of_another_installation_are_refused(
    anonymous: FlaskClient, ada: Person, tenant: UUID, tenant_name: str
) -> None:
    tokens = log_in(anonymous, tenant_name, ada)
    proved = access_tokens.verify(tokens["access_token"], datetime.now(UTC))
    who = access_tokens.principal(proved)
    assert who is not None
    old, _ = access_tokens.issue(proved, who, datetime.now(UTC) - timedelta(minutes=16))
    stranger, _ = access_tokens.issue(Login(tenant, ada.id, uuid7()), who, datetime.now(UTC))
    elsewhere = Login(tenants.create_tenant(f"other-{uuid7()}"), ada.id, proved.family)
    for token in (old, stranger, access_tokens.issue(elsewhere, who, datetime.now(UTC))[0]):
        answer = me(anonymous, token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_signing_keys_rotate_without_ending_a_token(anonymous: FlaskClient, ada: Person, tenant_name: str) -> None:
    def kids() -> list[str]:
        return [key["kid"] for key in anonymous.get("/.well-known/jwks.json").json["keys"]]

    old = log_in(anonymous, tenant_name, ada)["access_token"]
    now = datetime.now(UTC)
    signs = signing.signer(now)[0]
    # When a new key is made
    made = signing.rotate(now)
    # Then it is shown at once, signs ten minutes later, and what the old one signed holds meanwhile
    assert {signs, made} <= set(kids())
    assert signing.signer(now)[0] == signs
    assert signing.signer(now + timedelta(minutes=11))[0] == made
    assert me(anonymous, old).status_code == 200
    # And a key that others may know ends at once
    newest = signing.rotate(now, at_once=True)
    assert kids() == [newest]
    assert me(anonymous, old).status_code == 401
    assert me(anonymous, log_in(anonymous, tenant_name, ada)["access_token"]).status_code == 200
    assert signing.rotate_if_due(now) is None


def test_a_web_process_takes_many_logins_at_once(address: str, ada: Person, tenant_name: str) -> None:
    body = {"tenant": tenant_name, "email": ada.email, "password": PASSWORD}

    def attempt(_: int) -> int:
        return requests.post(f"{address}{AUTH}/login", json=body, timeout=30).status_code

    # at most four at once: a fifth attempt counts as a fifth failure until one of them has succeeded
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(attempt, range(12))) == {200}
