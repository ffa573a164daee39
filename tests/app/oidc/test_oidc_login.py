"""Login at a real OIDC provider: there and back, and everything that may not open the door."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection as Connection

import settings as settings_module
from identity import oidc_discovery
from storage import outbound, tenants
from storage.tables import uuid7
from tests.app.oidc.browser import PROVIDER, Browser, everybody, me, refused
from tests.app.oidc.house import House, signed
from tests.app.people import record, send
from tests.app.rows import Client
from tests.conftest import Servers


def test_the_first_login_makes_the_user_and_the_next_finds_them(
    browser: Browser, grace: str, client: Client, flask_app: Flask, provider: House
) -> None:
    # When somebody logs in for the first time
    answer = browser.log_in(grace)
    # Then they are a user of the tenant, with the default roles and with tokens
    first = me(flask_app, answer)
    assert first["roles"] == ["viewer"] and everybody(client) == [f"{grace}@example.com"]
    assert answer.json["token_type"] == "Bearer" and answer.headers["Cache-Control"] == "no-store"
    shown = client.get(f"/api/v1/admin/users/{first['user_id']}").json
    assert (shown["name"], shown["external_issuer"]) == ("Grace", provider.url) and shown["last_login_at"] is not None
    # And the next login finds them by their subject, whatever their address is by then
    provider.knows(grace, email="married@example.com", email_verified=False)
    assert me(flask_app, browser.log_in(grace))["user_id"] == first["user_id"]
    assert everybody(client) == [f"{grace}@example.com"]


def test_the_provider_is_asked_with_pkce_state_and_nonce(browser: Browser, grace: str, provider: House) -> None:
    begun = browser.begin()
    asked = {key: values[0] for key, values in parse_qs(urlsplit(begun.headers["Location"]).query).items()}
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
    assert asked["scope"].split()[0] == "openid" and asked["redirect_uri"].endswith(f"{browser.base}/callback")
    assert min(len(asked[one]) for one in ("state", "nonce", "code_challenge")) == 43
    cookie = begun.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Max-Age=600" in cookie
    # No two logins share any of it
    again = parse_qs(urlsplit(browser.begin().headers["Location"]).query)
    assert all(again[one][0] != asked[one] for one in ("state", "nonce", "code_challenge"))


def test_behind_https_the_cookie_belongs_to_this_host_alone(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_PUBLIC_URL", "https://baton.example.com")
    settings_module.reload()
    begun = browser.begin()
    assert begun.headers["Set-Cookie"].startswith("__Host-baton-oidc=") and "Secure" in begun.headers["Set-Cookie"]
    assert parse_qs(urlsplit(begun.headers["Location"]).query)["redirect_uri"][0].startswith(
        "https://baton.example.com/"
    )


def test_who_makes_and_enters_is_in_the_record(
    browser: Browser, grace: str, tenant: UUID, servers: Servers, connect: Callable[[str], Any]
) -> None:
    browser.log_in(grace)
    told = record(connect, servers.owner_url, tenant)
    assert [(one["actor"].partition(":")[0], one["action"]) for one in told] == [
        ("key", "login.provider"),
        ("system", "user.create"),
        ("user", "login.success"),
    ]
    assert grace not in json.dumps(told)


def test_a_state_opens_once_in_the_browser_that_began(
    browser: Browser, grace: str, name: str, flask_app: Flask, provider: House, client: Client
) -> None:
    # A state of nobody's, none, and one that was altered
    back = browser.back(grace)
    state = parse_qs(urlsplit(back).query)["state"][0]
    for wrong in ("", "x", state[:-1] + ("A" if state[-1] != "A" else "B"), state + "A", "é" * 43):
        refused(browser.http.get(f"{browser.base}/callback", query_string={"code": "c", "state": wrong}))
    # Another browser, which has a cookie of its own: and the state is used up by that
    other = Browser(flask_app, name, provider)
    other.begin()
    refused(other.http.get(back))
    refused(browser.http.get(back))
    refused(flask_app.test_client().get(browser.back(grace)))
    # The right browser, once
    back = browser.back(grace)
    assert browser.http.get(back).status_code == 200
    refused(browser.http.get(back))
    assert len(everybody(client)) == 1


def test_a_login_that_took_too_long_is_over(
    browser: Browser, grace: str, owner_db: Connection, tenant: UUID, client: Client
) -> None:
    back = browser.back(grace)
    with owner_db.cursor() as cursor:
        cursor.execute("UPDATE one_time_tokens SET expires_at = now() WHERE tenant_id = %s", (tenant,))
    refused(browser.http.get(back))
    assert everybody(client) == []


def test_the_way_back_of_one_tenant_is_no_way_into_another(
    browser: Browser, grace: str, flask_app: Flask, provider: House, configured: dict[str, Any]
) -> None:
    # Given another tenant that logs in at the same provider as the same client
    other = f"other-{uuid7()}"
    theirs = Client(flask_app, tenants.create_api_key(tenants.create_tenant(other), "tests"))
    assert send(theirs, "PUT", PROVIDER, configured).status_code == 200
    # When the browser comes back there with the state and code of ours
    back, exchanges = browser.back(grace), provider.exchanges
    refused(browser.http.get(back.replace(browser.base, f"/api/v1/auth/oidc/{other}")))
    # Then the provider is not even asked
    assert everybody(theirs) == [] and provider.exchanges == exchanges


def test_a_provider_that_was_changed_meanwhile_is_not_asked_with_the_old_code(
    browser: Browser, grace: str, client: Client, configured: dict[str, Any], provider: House
) -> None:
    back, exchanges = browser.back(grace), provider.exchanges
    assert send(client, "PUT", PROVIDER, {**configured, "client_id": "another"}).status_code == 200
    refused(browser.http.get(back))
    assert provider.exchanges == exchanges


def test_without_the_right_verifier_the_provider_keeps_its_code(
    browser: Browser, grace: str, provider: House, client: Client
) -> None:
    back = browser.back(grace)
    provider.challenges[parse_qs(urlsplit(back).query)["code"][0]] = "of another login"
    refused(browser.http.get(back))
    assert everybody(client) == []


def test_a_code_that_the_provider_does_not_know_and_a_refusal_open_nothing(
    browser: Browser, grace: str, client: Client
) -> None:
    back = browser.back(grace)
    refused(browser.http.get(back.replace("code=", "code=x")))
    refused(browser.http.get(browser.back(None)))
    # And an answer in another issuer's name (RFC 9207)
    refused(browser.http.get(browser.back(grace) + "&iss=https%3A%2F%2Fevil.example"))
    assert everybody(client) == []


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("nonce", {"nonce": "of another login"}),
        ("no nonce", {"nonce": None}),
        ("aud", {"aud": "another client"}),
        ("iss", {"iss": "https://evil.example"}),
        ("exp", {"exp": 1_700_000_000}),
        ("azp", {"azp": "another client"}),
        ("at_hash", {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
        ("sub", {"sub": ""}),
    ],
)
def test_an_id_token_with_a_wrong_claim_opens_nothing(
    what: str, change: dict[str, Any], browser: Browser, grace: str, provider: House, client: Client
) -> None:
    def lie(claims: dict[str, Any], key: Any) -> str:
        return signed({name: value for name, value in {**claims, **change}.items() if value is not None}, key)

    provider.lie = lie
    refused(browser.log_in(grace))
    assert everybody(client) == []
    # And the same token without the change does
    provider.lie = signed
    assert browser.log_in(grace).status_code == 200


def test_a_provider_that_cannot_be_asked_is_away(
    browser: Browser, grace: str, client: Client, provider: House, configured: dict[str, Any], free_port: int
) -> None:
    # An issuer that says that it is another one (this provider answers to both names of this machine)
    allowed = f"{provider.url.removeprefix('http://')},127.0.0.1:{free_port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATON_OUTBOUND_ALLOW", allowed)
        settings_module.reload()
        for issuer in (f"{provider.url}/", f"http://127.0.0.1:{free_port}"):
            assert send(client, "PUT", PROVIDER, {**configured, "issuer": issuer}).status_code == 200
            answer = browser.begin()
            assert (answer.status_code, answer.json["code"]) == (503, "oidc_provider_unavailable")


def test_strangers_do_not_make_us_ask_a_provider_that_is_away_again_and_again(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(url: str, **_: Any) -> None:
        asked.append(url)
        raise outbound.FetchFailed("nobody is there")

    monkeypatch.setattr(outbound, "fetch", away)
    assert [browser.begin().status_code for _ in range(5)] == [503] * 5
    assert len(asked) == 1
    # And a moment later it is asked again
    oidc_discovery.forget()
    browser.begin()
    assert len(asked) == 2


def test_an_issuer_on_our_own_network_is_not_taken(client: Client, configured: dict[str, Any]) -> None:
    for issuer in (
        "http://127.0.0.1:1",
        "https://169.254.169.254",
        "https://user:pw@example.com",
        "file:///etc/passwd",
    ):
        answer = send(client, "PUT", PROVIDER, {**configured, "issuer": issuer})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "issuer")


def test_unknown_suspended_and_unconfigured_tenants_are_not_told_apart(
    browser: Browser,
    client: Client,
    tenant: UUID,
    flask_app: Flask,
    provider: House,
    configured: dict[str, Any],
    owner_db: Connection,
) -> None:
    plain = f"plain-{uuid7()}"
    tenants.create_tenant(plain)
    answers = [Browser(flask_app, one, provider).begin() for one in (plain, "nobody")]
    send(client, "PUT", PROVIDER, {**configured, "enabled": False})
    answers.append(browser.begin())
    send(client, "PUT", PROVIDER, configured)
    assert browser.begin().status_code == 302
    with owner_db.cursor() as cursor:
        cursor.execute("UPDATE tenants SET status = 'suspended' WHERE id = %s", (tenant,))
    answers.append(browser.begin())
    assert {(answer.status_code, answer.json["detail"]) for answer in answers} == {(404, answers[0].json["detail"])}
