"""What a provider's word is worth: who is made, linked, refused, and with which roles; and where a login ends."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from flask import Flask

from storage import tenants
from storage.tables import uuid7
from tests.app.oidc.browser import FRONT, PROVIDER, Browser, everybody, forbidden, local, me, refused
from tests.app.oidc.house import House
from tests.app.people import PASSWORD, person, send
from tests.app.rows import Client


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "a@example.com"},
        {"email": "a@example.com", "email_verified": False},
        {"email": "a@example.com", "email_verified": "true"},
        {"email": "nobody", "email_verified": True},
        {"email_verified": True},
    ],
)
def test_an_address_that_is_not_verified_makes_nobody(
    claims: dict[str, Any], browser: Browser, client: Client, provider: House
) -> None:
    provider.knows("mallory", **claims)
    assert "not verified" in forbidden(browser.log_in("mallory"))
    assert everybody(client) == []


def test_an_address_of_another_domain_makes_nobody(
    browser: Browser, grace: str, client: Client, configured: dict[str, Any], flask_app: Flask
) -> None:
    send(client, "PUT", PROVIDER, {**configured, "allowed_domains": ["corp.example"]})
    assert "domains" in forbidden(browser.log_in(grace))
    send(client, "PUT", PROVIDER, {**configured, "allowed_domains": ["Example.com"]})
    assert me(flask_app, browser.log_in(grace))["roles"] == ["viewer"]


def test_who_is_here_already_is_linked_where_the_domain_is_listed(
    browser: Browser, grace: str, client: Client, configured: dict[str, Any], tenant: UUID, flask_app: Flask
) -> None:
    there = local(flask_app, tenant, client, grace, "operator")
    # An address alone makes nobody somebody else, verified as it is
    assert "ask an administrator" in forbidden(browser.log_in(grace))
    send(client, "PUT", PROVIDER, {**configured, "allowed_domains": ["example.com"]})
    found = me(flask_app, browser.log_in(grace))
    assert (found["user_id"], found["roles"]) == (str(there.id), ["operator"])


def test_neither_an_owner_nor_who_is_linked_elsewhere_is_linked_by_an_address(
    browser: Browser,
    grace: str,
    client: Client,
    configured: dict[str, Any],
    tenant: UUID,
    flask_app: Flask,
    provider: House,
) -> None:
    send(client, "PUT", PROVIDER, {**configured, "allowed_domains": ["example.com"]})
    local(flask_app, tenant, client, grace, "owner")
    forbidden(browser.log_in(grace))
    # Given another user who came from the provider, and a second subject with the same address
    for subject in ("first", "second"):
        provider.knows(subject, email="twin@example.com", email_verified=True)
    assert browser.log_in("first").status_code == 200
    forbidden(browser.log_in("second"))


def test_a_disabled_user_does_not_enter(browser: Browser, grace: str, client: Client, flask_app: Flask) -> None:
    user_id = me(flask_app, browser.log_in(grace))["user_id"]
    send(client, "PATCH", f"/api/v1/admin/users/{user_id}", {"status": "disabled"})
    assert "disabled" in forbidden(browser.log_in(grace))


def test_roles_follow_the_claim_at_each_login(
    browser: Browser, grace: str, client: Client, configured: dict[str, Any], flask_app: Flask, provider: House
) -> None:
    mapped = {"role_claim": "realm.groups", "role_map": {"ops": "operator", "devs": "developer", "boss": "owner"}}
    assert send(client, "PUT", PROVIDER, {**configured, **mapped, "default_roles": ["approver"]}).status_code == 200
    claims = {"email": f"{grace}@example.com", "email_verified": True}

    def roles(groups: Any) -> list[str]:
        provider.knows(grace, **claims, realm={"groups": groups})
        return list(me(flask_app, browser.log_in(grace))["roles"])

    assert roles(["ops", "devs", "unknown"]) == ["developer", "operator"]
    assert roles("ops") == ["operator"]
    assert roles([]) == ["approver"] == roles({"ops": True}) == roles([["ops"]])
    # The last owner stays one, whatever the provider says
    assert roles(["boss"]) == ["owner"]
    assert roles(["ops"]) == ["operator", "owner"]


def test_a_map_that_makes_no_owners_unmakes_none(
    browser: Browser, grace: str, client: Client, configured: dict[str, Any], flask_app: Flask, tenant: UUID
) -> None:
    # Given an owner who logs in at the provider, and another one
    user_id = me(flask_app, browser.log_in(grace))["user_id"]
    send(client, "PATCH", f"/api/v1/admin/users/{user_id}", {"roles": ["owner"]})
    person(flask_app, tenant, "owner")
    # When an administrator, who may not change owners, maps everybody to a lesser role
    admin = person(flask_app, tenant, "admin").client
    mapped = {**configured, "role_claim": "sub", "role_map": {grace: "viewer"}}
    assert send(admin, "PUT", PROVIDER, mapped).status_code == 200
    # Then the owner stays one
    assert me(flask_app, browser.log_in(grace))["roles"] == ["owner", "viewer"]
    # And an owner's map, which makes owners, unmakes them too
    assert send(client, "PUT", PROVIDER, {**mapped, "role_map": {grace: "viewer", "x": "owner"}}).status_code == 200
    assert me(flask_app, browser.log_in(grace))["roles"] == ["viewer"]


def test_a_mailbox_that_only_looks_alike_when_folded_is_another(
    browser: Browser, client: Client, configured: dict[str, Any], tenant: UUID, flask_app: Flask, provider: House
) -> None:
    send(client, "PUT", PROVIDER, {**configured, "allowed_domains": ["example.com", "strasse.example"]})
    subject = f"gro\u00df-{uuid7()}"
    local(flask_app, tenant, client, subject.replace("\u00df", "ss"), "developer")
    provider.knows(subject, email=f"{subject}@example.com", email_verified=True)
    assert "ask an administrator" in forbidden(browser.log_in(subject))
    provider.knows("mallory", email="m@stra\u00dfe.example", email_verified=True)
    assert "domains" in forbidden(browser.log_in("mallory"))


def test_a_login_at_the_provider_leaves_the_password_alone(
    browser: Browser, grace: str, client: Client, configured: Any, tenant: UUID, flask_app: Flask, name: str
) -> None:
    there = local(flask_app, tenant, client, grace, "viewer")
    send(client, "PUT", PROVIDER, {**configured, "allowed_domains": ["example.com"]})
    assert me(flask_app, browser.log_in(grace))["user_id"] == str(there.id)
    body = {"tenant": name, "email": f"{grace}@example.com", "password": PASSWORD}
    assert flask_app.test_client().post("/api/v1/auth/login", json=body).status_code == 200


def test_a_browser_goes_on_to_a_listed_front_end_with_a_code_for_its_tokens(
    browser: Browser, grace: str, flask_app: Flask
) -> None:
    answer = browser.log_in(grace, next=f"{FRONT}/welcome?x=1")
    assert answer.status_code == 302 and answer.headers["Location"].startswith(f"{FRONT}/welcome?x=1&login_code=")
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["login_code"][0]
    anonymous = flask_app.test_client()
    told = anonymous.post(f"{browser.base}/token", json={"code": code})
    assert me(flask_app, told)["roles"] == ["viewer"]
    # Once, and only a code
    refused(anonymous.post(f"{browser.base}/token", json={"code": code}))
    refused(anonymous.post(f"{browser.base}/token", json={"code": "x"}))


def test_a_front_ends_code_is_its_tenants(browser: Browser, grace: str, flask_app: Flask, configured: Any) -> None:
    other = f"other-{uuid7()}"
    theirs = Client(flask_app, tenants.create_api_key(tenants.create_tenant(other), "tests"))
    send(theirs, "PUT", PROVIDER, configured)
    place = browser.log_in(grace, next=FRONT).headers["Location"]
    code = parse_qs(urlsplit(place).query)["login_code"][0]
    refused(flask_app.test_client().post(f"/api/v1/auth/oidc/{other}/token", json={"code": code}))
    assert everybody(theirs) == []


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/",
        "https://app.example.com.evil.example/",
        "https://app.example.com@evil.example/",
        "https://evil.example/https://app.example.com",
        "http://app.example.com/",
        "https://app.example.com:444/",
        "//app.example.com/",
        "/relative",
        "https://app.example.com\\@evil.example/",
        "https://app.example.com/#fragment",
        "javascript:alert(1)",
        "https://[app.example.com/",
        "https://app.example.com/\t",
    ],
)
def test_a_login_ends_at_no_other_address(place: str, browser: Browser) -> None:
    answer = browser.begin(next=place)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "next")
