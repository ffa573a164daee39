"""A tenant's login provider is set by its administrators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection as Connection

from tests.app.oidc.browser import PROVIDER, Browser
from tests.app.people import person, send
from tests.app.rows import Client


def test_the_provider_is_set_shown_without_its_secret_and_removed(
    client: Client, configured: dict[str, Any], browser: Browser, owner_db: Connection, tenant: UUID
) -> None:
    shown = client.get(PROVIDER)
    assert shown.json["has_client_secret"] is True and configured["client_secret"] not in shown.text
    with owner_db.cursor() as cursor:
        cursor.execute("SELECT client_secret FROM oidc_providers WHERE tenant_id = %s", (tenant,))
        assert configured["client_secret"].encode() not in bytes(cursor.fetchone()[0])
    # A secret stays with its issuer and client, and goes to no other
    same = {name: value for name, value in configured.items() if name != "client_secret"}
    assert send(client, "PUT", PROVIDER, {**same, "scopes": ["openid"]}).json["has_client_secret"] is True
    moved = send(client, "PUT", PROVIDER, {**same, "issuer": "https://other.example.com"})
    assert moved.json["has_client_secret"] is False
    assert client.raw("DELETE", PROVIDER).status_code == 204
    assert client.get(PROVIDER).status_code == 404 == client.raw("DELETE", PROVIDER).status_code
    assert browser.begin().status_code == 404


def test_an_administrator_lets_no_provider_make_owners(
    configured: dict[str, Any], tenant: UUID, flask_app: Flask
) -> None:
    admin = person(flask_app, tenant, "admin").client
    for fields in ({"default_roles": ["owner"]}, {"role_claim": "groups", "role_map": {"x": "owner"}}):
        assert send(admin, "PUT", PROVIDER, {**configured, **fields}).status_code == 403
    assert send(admin, "PUT", PROVIDER, {**configured, "default_roles": ["developer"]}).status_code == 200
    assert person(flask_app, tenant, "developer").client.get(PROVIDER).status_code == 403


def test_a_key_that_may_set_the_provider_alone_cannot_let_it_vouch_for_an_administrator(
    client: Client, configured: dict[str, Any], tenant: UUID, flask_app: Flask
) -> None:
    client.raw("DELETE", PROVIDER)
    # A provider of one's own, a listed domain: whoever it calls ada@example.com is linked to her
    cut = person(flask_app, tenant, "admin", scopes=["login:manage"]).client
    alone = {**configured, "default_roles": []}
    assert send(cut, "PUT", PROVIDER, {**alone, "allowed_domains": ["example.com"]}).status_code == 403
    assert send(cut, "PUT", PROVIDER, alone).status_code == 200


def test_an_administrator_changes_no_provider_that_makes_owners(
    client: Client, configured: dict[str, Any], tenant: UUID, flask_app: Flask
) -> None:
    owners = {**configured, "role_claim": "groups", "role_map": {"boss": "owner"}}
    assert send(client, "PUT", PROVIDER, owners).status_code == 200
    admin = person(flask_app, tenant, "admin").client
    assert send(admin, "PUT", PROVIDER, configured).status_code == 403 == admin.raw("DELETE", PROVIDER).status_code
    assert client.raw("DELETE", PROVIDER).status_code == 204


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"issuer": None}, "issuer"),
        ({"client_id": ""}, "client_id"),
        ({"role_map": {"a": "root"}}, "role_map.a"),
        ({"default_roles": ["root"]}, "default_roles[0]"),
        ({"allowed_domains": ["a@b"]}, "allowed_domains[0]"),
        ({"enabled": None}, "enabled"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str, client: Client) -> None:
    body = {"issuer": "https://login.example.com", "client_id": "baton", **fields}
    answer = send(client, "PUT", PROVIDER, body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field), answer.json
