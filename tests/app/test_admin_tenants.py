"""Tenants over HTTP, for the installation's own operators; suspending closes a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.schemas.admin import Tenant, TenantPage
from storage import tenants
from storage.tables import uuid7
from tests.app.people import PASSWORD, record, send, service
from tests.app.rows import Client
from tests.conftest import Servers

URL = "/api/v1/admin/tenants"


@pytest.fixture
def platform(settings_env: Any) -> UUID:
    """The installation's own tenant."""
    return tenants.ensure_default_tenant()


@pytest.fixture
def operator(flask_app: Flask, platform: UUID) -> Client:
    """An operator of the installation."""
    return service(flask_app, platform, "operator")


def new(**fields: Any) -> dict[str, Any]:
    return {"name": f"acme-{uuid7()}", **fields}


def test_a_tenant_is_made_with_its_first_owner_who_can_log_in(operator: Client, flask_app: Flask) -> None:
    owner = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD}
    body = new(plan="starter", weight=2, limits={"max_sessions": 500}, owner=owner)
    made = operator.post(URL, body)
    assert made.status_code == 201, made.json
    assert operator.get(made.headers["Location"]).json == made.json
    Tenant.model_validate(made.json)
    TenantPage.model_validate(operator.get(URL).json)
    expected = {"plan": "starter", "weight": 2, "limits": {"max_sessions": 500}, "status": "active"}
    assert expected.items() <= made.json.items()
    login = {"tenant": body["name"], "email": owner["email"], "password": PASSWORD}
    told = flask_app.test_client().post("/api/v1/auth/login", json=login).json
    me = Client(flask_app, told["access_token"]).get("/api/v1/auth/me").json
    assert (me["roles"], me["tenant_id"]) == (["owner"], made.json["id"])
    # And the name is taken
    taken = operator.post(URL, {"name": body["name"]})
    assert (taken.status_code, taken.json["errors"][0]["field"]) == (409, "name")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"plan": "gold"}, "plan"),
        ({"weight": 0}, "weight"),
        ({"limits": {"max_sesions": 5}}, "limits.max_sesions"),
        ({"limits": {"burst": "many"}}, "limits.burst"),
        ({"owner": {"email": "a@b.c", "name": "A", "password": "short"}}, "owner.password"),
    ],
)
def test_a_wrong_field_is_named(fields: Any, field: str, operator: Client) -> None:
    answer = operator.post(URL, new(**fields))
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field), answer.json


def test_a_suspended_tenant_is_closed_and_opens_again(operator: Client, client: Client, tenant: UUID) -> None:
    assert client.get("/api/v1/auth/me").status_code == 200
    assert send(operator, "PATCH", f"{URL}/{tenant}", {"status": "suspended"}).json["status"] == "suspended"
    assert client.get("/api/v1/auth/me").status_code == 401
    listed = operator.get(f"{URL}?status=suspended&limit=1000").json["items"]
    assert str(tenant) in [one["id"] for one in listed]
    assert send(operator, "PATCH", f"{URL}/{tenant}", {"status": "active"}).status_code == 200
    assert client.get("/api/v1/auth/me").status_code == 200


def test_plan_weight_and_limits_are_changed_and_cleared(operator: Client, tenant: UUID) -> None:
    place = f"{URL}/{tenant}"
    changed = send(operator, "PATCH", place, {"plan": "enterprise", "weight": 4, "limits": {"burst": -1}}).json
    assert (changed["plan"], changed["weight"], changed["limits"]) == ("enterprise", 4, {"burst": -1})
    assert send(operator, "PATCH", place, {"limits": None}).json == {**changed, "limits": None}
    for wrong in ({"plan": None}, {"name": "x"}, {"limits": {"nothing": 1}}, {"status": "gone"}):
        assert send(operator, "PATCH", place, wrong).status_code == 422
    assert send(operator, "PATCH", f"{URL}/{uuid7()}", {"weight": 1}).status_code == 404


def test_a_plan_brings_its_weight_where_none_is_given(operator: Client) -> None:
    made = operator.post(URL, new(plan="professional")).json
    place = f"{URL}/{made['id']}"
    assert made["weight"] == 2
    assert send(operator, "PATCH", place, {"plan": "enterprise"}).json["weight"] == 4
    assert send(operator, "PATCH", place, {"plan": "starter", "weight": 3}).json["weight"] == 3
    assert send(operator, "PATCH", place, {"limits": {"burst": -1}}).json["weight"] == 3


def test_the_installations_own_tenant_is_not_suspended(operator: Client, platform: UUID) -> None:
    answer = send(operator, "PATCH", f"{URL}/{platform}", {"status": "suspended"})
    assert (answer.status_code, answer.json["code"]) == (409, "own_tenant")
    assert operator.get(f"{URL}/{platform}").json["status"] == "active"


def test_nobody_of_another_tenant_manages_tenants(client: Client, tenant: UUID) -> None:
    # Given an owner of a tenant that is not the installation's
    for answer in (
        client.get(URL),
        client.post(URL, new()),
        client.get(f"{URL}/{tenant}"),
        send(client, "PATCH", f"{URL}/{tenant}", {"plan": "enterprise"}),
    ):
        assert answer.status_code == 403
    assert "tenants:manage" not in client.get("/api/v1/auth/me").json["permissions"]


def test_a_change_is_in_the_record_of_both_tenants(
    operator: Client, platform: UUID, servers: Servers, connect: Callable[[str], Any]
) -> None:
    made = operator.post(URL, new()).json
    send(operator, "PATCH", f"{URL}/{made['id']}", {"weight": 3})
    send(operator, "PATCH", f"{URL}/{made['id']}", {"weight": 3})  # nothing changes
    theirs = record(connect, servers.owner_url, UUID(made["id"]))
    assert [one["action"] for one in theirs] == ["tenant.create", "tenant.change"]
    assert (theirs[1]["before"], theirs[1]["after"]) == ({"weight": 1}, {"weight": 3})
    ours = [one for one in record(connect, servers.owner_url, platform) if one["resource"] == f"tenant:{made['id']}"]
    assert ours == theirs
