"""The door: which credential opens what, for how long, and that no route stands beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
import websocket
from flask import Flask
from flask.testing import FlaskClient
from psycopg2.extensions import connection as Connection

from app import auth
from app.operation import OPERATIONS
from identity import access_tokens, keys, login, refresh, signing, tickets
from identity.caller import Caller
from policy.permissions import PERMISSIONS, PUBLIC, ROLES, permissions_of
from storage import tenants
from storage.tables import uuid7
from tests.app.people import PASSWORD, person
from tests.app.rows import Client, MakeRun

RUNS = "/api/v1/runs"


def sql(db: Connection, query: str, *values: Any) -> Any:
    with db.cursor() as cursor:
        cursor.execute(query, values)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Nothing is remembered from another test."""
    keys.forget()
    access_tokens.forget()


# --- keys


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: key + "0",
        lambda key: key.upper(),
        lambda _: "",
        lambda _: "bt_' OR 1=1 --",
        lambda _: "bt_\x00",
    ],
)
def test_any_other_key_opens_nothing(api_key: str, change: Callable[[str], str]) -> None:
    assert keys.authenticate(api_key) is not None
    assert keys.authenticate(change(api_key)) is None


def test_a_key_opens_its_tenant_until_it_is_revoked(
    tenant: UUID, api_key: str, owner_db: Connection, later: Callable[[], None]
) -> None:
    found = keys.authenticate(api_key)
    assert found is not None and found.tenant_id == tenant
    assert found.actor == f"key:{api_key.split('_')[1]}" and found.permissions == permissions_of({"owner"})
    # revoked by another process: this one takes it for some seconds more
    sql(owner_db, "UPDATE api_keys SET revoked_at = now() WHERE tenant_id = %s", tenant)
    assert keys.authenticate(api_key) == found
    later()
    assert keys.authenticate(api_key) is None


def test_a_key_expires(tenant: UUID, api_key: str, owner_db: Connection) -> None:
    sql(owner_db, "UPDATE api_keys SET expires_at = now() + interval '1 minute' WHERE tenant_id = %s", tenant)
    assert keys.authenticate(api_key) is not None
    sql(owner_db, "UPDATE api_keys SET expires_at = now() WHERE tenant_id = %s", tenant)
    keys.forget()
    assert keys.authenticate(api_key) is None


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(tenant: UUID, api_key: str, owner_db: Connection) -> None:
    query = "SELECT last_used_at FROM api_keys WHERE tenant_id = %s"
    assert sql(owner_db, query, tenant) is None
    keys.authenticate(api_key)
    first = sql(owner_db, query, tenant)
    assert first is not None
    keys.forget()
    keys.authenticate(api_key)
    assert sql(owner_db, query, tenant) == first


def test_a_default_tenants_key_may_manage_tenants_and_no_other(settings_env: Any, api_key: str) -> None:
    platform = keys.authenticate(tenants.create_api_key(tenants.ensure_default_tenant(), "tests"))
    other = keys.authenticate(api_key)
    assert platform is not None and platform.may("tenants:manage")
    assert other is not None and not other.may("tenants:manage")


def test_scopes_cut_a_key_down_and_never_give_more(flask_app: Flask, tenant: UUID) -> None:
    reader = person(flask_app, tenant, "developer", scopes=["runs:read", "usage:*"]).client
    assert reader.get(RUNS).status_code == 200
    assert reader.get("/api/v1/usage").status_code == 200
    # refused before the body is looked at
    answer = reader.raw("POST", RUNS, data=b"{", content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "runs:start" in answer.json["detail"]
    viewer = person(flask_app, tenant, "viewer", scopes=["runs:read"]).client
    assert viewer.post(RUNS, {"chain": "probe", "input": {}}).status_code == 403


# --- headers


def test_two_different_credentials_open_nothing(anonymous: FlaskClient, api_key: str, tenant: UUID) -> None:
    bearer = {"Authorization": f"Bearer {api_key}"}
    assert anonymous.get(RUNS, headers={**bearer, "X-API-Key": api_key}).status_code == 200
    other = tenants.create_api_key(tenant, "other")
    assert anonymous.get(RUNS, headers={**bearer, "X-API-Key": other}).status_code == 401


@pytest.mark.parametrize("name", ["access_token", "api_key"])
def test_a_credential_in_the_address_opens_nothing(anonymous: FlaskClient, api_key: str, name: str) -> None:
    answer = anonymous.get(f"{RUNS}?{name}={api_key}")
    assert answer.status_code == 401 and "address" in answer.json["detail"]
    assert anonymous.get(f"{RUNS}?{name}={api_key}", headers={"X-API-Key": api_key}).status_code == 401


@pytest.mark.parametrize("value", ["Bearer bt_x", "Bearer a.b.c", "Bearer \xe9", "Bearer " + "a" * 9000])
def test_what_is_wrong_is_told_as_the_standard_says(anonymous: FlaskClient, value: str) -> None:
    answer = anonymous.get(RUNS, headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "client"),
    [
        ("", "10.0.0.9", "203.0.113.5", "10.0.0.9"),
        ("10.0.0.0/8", "10.0.0.9", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.0/8", "192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.9", "6.6.6.6, 203.0.113.5, 10.1.1.1", "203.0.113.5"),
        ("10.0.0.0/8", "10.0.0.9", "nonsense", "10.0.0.9"),
        ("10.0.0.0/8", "10.0.0.9", "", "10.0.0.9"),
        ("10.0.0.0/8, ::1", "::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_only_a_trusted_proxy_says_who_the_client_is(
    flask_app: Flask, monkeypatch: pytest.MonkeyPatch, trusted: str, remote: str, forwarded: str, client: str
) -> None:
    known = auth.settings().model_copy(update={"trusted_proxies": trusted})
    monkeypatch.setattr(auth, "settings", lambda: known)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    with flask_app.test_request_context(environ_base={"REMOTE_ADDR": remote}, headers=headers):
        assert auth.client_address() == client


# --- tickets


def ticket(client: Client, **body: Any) -> str:
    answer = client.post("/api/v1/auth/tickets", body)
    assert (answer.status_code, answer.json["expires_in"]) == (201, 30)
    return str(answer.json["ticket"])


def test_a_ticket_opens_one_stream_once(client: Client, anonymous: FlaskClient, make_run: MakeRun) -> None:
    run_id = make_run(steps={"1": {}})
    opening = f"{RUNS}/{run_id}/events?ticket={ticket(client)}"
    assert anonymous.get(opening).status_code == 200
    assert anonymous.get(opening).status_code == 401
    # one that names a run opens no other, and is used up by the try
    named = ticket(client, run_id=str(run_id))
    assert anonymous.get(f"{RUNS}/{make_run(steps={'1': {}})}/events?ticket={named}").status_code == 401
    assert anonymous.get(f"{RUNS}/{run_id}/events?ticket={named}").status_code == 401


def test_a_ticket_opens_nothing_else(client: Client, anonymous: FlaskClient, make_run: MakeRun) -> None:
    made = ticket(client)
    for path in (RUNS, f"{RUNS}/{make_run()}", "/api/v1/auth/me"):
        assert anonymous.get(f"{path}?ticket={made}").status_code == 401
    assert anonymous.get(f"{RUNS}/{make_run()}/events", headers={"X-API-Key": made}).status_code == 401


def test_a_ticket_sees_its_own_tenants_runs_only(client: Client, anonymous: FlaskClient, make_run: MakeRun) -> None:
    theirs = make_run(owner=tenants.create_tenant(f"other-{uuid7()}"))
    assert anonymous.get(f"{RUNS}/{theirs}/events?ticket={ticket(client)}").status_code == 404


def test_a_ticket_ends_with_time_and_with_what_it_stands_for(
    flask_app: Flask, tenant: UUID, owner_db: Connection, later: Callable[[], None]
) -> None:
    now, run_id = datetime.now(UTC), uuid7()
    ada = person(flask_app, tenant, "viewer")
    name = str(sql(owner_db, "SELECT name FROM tenants WHERE id = %s", tenant))
    tokens = login.by_password(name, ada.email, PASSWORD, Caller(), now)
    proved = access_tokens.verify(tokens.access_token, now)
    # while the login lives, a ticket is whoever made it, cut down to looking
    found = tickets.redeem(tickets.issue(tenant, proved, now), run_id, now)
    assert found is not None and found.user_id == ada.id and found.permissions == {"runs:read"}
    old, kept = tickets.issue(tenant, proved, now), tickets.issue(tenant, proved, now)
    assert tickets.redeem(old, run_id, now + timedelta(seconds=31)) is None
    refresh.end(proved, Caller(), now)
    assert tickets.redeem(kept, run_id, now) is None
    for nonsense in ("", "bk_", "bk_" + "a" * 43, "bk_' OR 1=1"):
        assert tickets.redeem(nonsense, run_id, now) is None


def test_a_browser_opens_a_websocket_with_a_ticket(address: str, api_key: str, make_run: MakeRun) -> None:
    run_id = make_run(steps={"1": {}})
    headers = {"X-API-Key": api_key}
    made = requests.post(f"{address}/api/v1/auth/tickets", json={"run_id": str(run_id)}, headers=headers, timeout=10)
    opening = f"{address.replace('http', 'ws')}{RUNS}/{run_id}/ws?ticket={made.json()['ticket']}"
    viewer = websocket.create_connection(opening, timeout=15)
    assert json.loads(viewer.recv())["seq"] == 1
    viewer.close()
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(opening, timeout=15)
    assert refused.value.status_code == 401


# --- no route beside the door


def undeclared(app: Flask) -> list[str]:
    """The rules that say nothing of who may use them."""
    known = set(PERMISSIONS) | {PUBLIC}
    found = []
    for rule in app.url_map.iter_rules():
        entrance = auth.ENTRANCES.get(rule.endpoint)
        if entrance is None or entrance.needs not in known:
            found.append(rule.rule)
    return found


def test_every_route_declares_what_it_needs(flask_app: Flask) -> None:
    assert undeclared(flask_app) == []
    public = {rule.rule for rule in flask_app.url_map.iter_rules() if auth.ENTRANCES[rule.endpoint].needs == PUBLIC}
    # whoever adds a line here opens a door to everybody
    assert {rule for rule in public if "/oidc/" not in rule} == {
        "/api/v1/health",
        "/api/v1/health/live",
        "/api/v1/health/ready",
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/.well-known/jwks.json",
        "/openapi.json",
        "/docs",
        "/metrics",
    }


def test_a_route_that_forgot_is_found_and_lets_nobody_in(settings_env: Any, api_key: str) -> None:
    from app import create_app

    app = create_app()
    app.add_url_rule("/api/v1/forgotten", "forgotten", lambda: "open")
    app.add_url_rule("/forgotten", "forgotten_too", lambda: "open")
    assert undeclared(app) == ["/api/v1/forgotten", "/forgotten"]
    for path in ("/api/v1/forgotten", "/forgotten"):
        assert app.test_client().get(path).status_code == 401
        assert app.test_client().get(path, headers={"X-API-Key": api_key}).status_code == 403


def test_a_permission_that_there_is_not_stops_the_boot() -> None:
    with pytest.raises(ValueError, match="runs:everything"):
        auth.declare("tests.forgotten", "runs:everything")


def paths() -> list[tuple[str, str, str]]:
    """(method, path with made-up ids, what it needs) of every operation."""
    made = []
    for one in OPERATIONS:
        path = re.sub(r"<uuid:\w+>", str(uuid4()), one.path)
        path = re.sub(r"<int:\w+>", "1", path)
        made.append((one.method, re.sub(r"<\w+>", "x", path), one.needs))
    return made


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_table_says_and_nothing_else(flask_app: Flask, tenant: UUID, role: str) -> None:
    holder, wrong = person(flask_app, tenant, role).client, []
    for method, path, needs in paths():
        if needs == PUBLIC:
            continue
        # a body that no call takes: whoever may come in is told so, or that nothing is there
        answer = holder.raw(method, path, data=b"{", content_type="text/plain" if method != "GET" else None)
        allowed = role in PERMISSIONS[needs] and needs != "tenants:manage"  # not in this tenant
        if (answer.status_code == 403) == allowed or answer.status_code == 401 or answer.status_code >= 500:
            wrong.append((method, path, needs, answer.status_code))
    assert wrong == []


def test_without_a_good_credential_every_route_says_the_same(
    flask_app: Flask, tenant: UUID, owner_db: Connection
) -> None:
    # Given an expired, a tampered and a forged token, and a revoked key
    ada, now = person(flask_app, tenant, "owner"), datetime.now(UTC)
    name = str(sql(owner_db, "SELECT name FROM tenants WHERE id = %s", tenant))
    tokens = login.by_password(name, ada.email, PASSWORD, Caller(), now)
    proved = access_tokens.verify(tokens.access_token, now)
    who = access_tokens.principal(proved)
    assert who is not None
    expired = access_tokens.issue(proved, who, now - timedelta(hours=1))[0]
    head, claims, signature = tokens.access_token.split(".")
    key = tenants.create_api_key(tenant, "revoked")
    sql(owner_db, "UPDATE api_keys SET revoked_at = now() WHERE prefix = %s", key.split("_")[1])
    credentials = [None, expired, f"{head}.{claims[:-4]}AAAA.{signature}", f"{head}.{claims}.", key, "bt_x"]
    client, wrong = flask_app.test_client(), []
    for credential in credentials:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        for method, path, needs in paths():
            if needs == PUBLIC:
                continue
            answer = client.open(path, method=method, headers=headers, data=b"{")
            if answer.status_code != 401 or answer.json["code"] != "unauthorized":
                wrong.append((method, path, credential, answer.status_code))
    assert wrong == []
    assert signing.KID.fullmatch(signing.signer(now)[0])


def test_who_started_a_run_is_kept(client: Client, api_key: str, owner_db: Connection) -> None:
    run_id = client.post(RUNS, {"chain": "probe", "input": {}}).json["run_id"]
    kept = sql(owner_db, "SELECT actor FROM runs WHERE id = %s", run_id)
    assert kept == f"key:{api_key.split('_')[1]}"
