"""Nobody reaches another tenant's rows: every call with another's ids answers as for ids that never were."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from app import factory
from app.operation import OPERATIONS, Operation
from identity import acting, groups, key_management
from storage import tenants
from storage.tables import uuid7
from tests.app.people import person, service, stranger
from tests.app.rows import Client

assert factory.BLUEPRINTS  # importing them registers the operations

ID = re.compile(r"<(?:\w+:)?(\w+)>")
NO_ROW_OF_A_TENANT = {"agent_id", "tenant", "tenant_id", "version"}  # chains; names at the login; the platform's own
WITH_IDS = [
    one
    for one in OPERATIONS
    if set(ID.findall(one.path)) - NO_ROW_OF_A_TENANT and not one.path.endswith("/ws")  # tests/app/test_live.py
]
LISTS = [one for one in OPERATIONS if one.method == "GET" and not ID.search(one.path) and one.needs != "public"]

# A body that each call takes: what is refused as a body would never reach the look for the id.
BODIES: dict[str, Any] = {
    "/api/v1/runs/<uuid:run_id>/answer": {"answer": True},
    "/api/v1/runs/<uuid:run_id>/fork": {"after_step": "1"},
    "/api/v1/admin/groups/<uuid:group_id>": {"name": "renamed"},
    "/api/v1/admin/keys/<uuid:key_id>/rotate": {"overlap_seconds": 60},
    "/api/v1/auth/keys/<uuid:key_id>/rotate": {"overlap_seconds": 60},
    "/api/v1/admin/users/<uuid:user_id>": {"name": "renamed"},
    "/api/v1/admin/users/<uuid:user_id>/password": {"password": "a password nobody guesses"},
    "/api/v1/creators/<uuid:creator_id>": {"name": "renamed"},
    "/api/v1/products/<uuid:product_id>": {"name": "renamed"},
}


def asked(client: Client, one: Operation, ids: Rows) -> Any:
    """The call with these ids and a good body."""
    path = ID.sub(lambda found: ids.get(found[1], "1"), one.path)
    body = BODIES.get(one.path) if one.method not in ("GET", "DELETE") else None
    if body is None:
        return client.raw(one.method, path)
    return client.raw(one.method, path, data=json.dumps(body), content_type="application/json")


Rows = dict[str, str]


def rows_of(app: Flask, tenant: UUID) -> Rows:
    """A row of each kind that belongs to a tenant, by the name of its id in paths."""
    client, session_id, mine = service(app, tenant, "owner"), f"s-{uuid7()}", acting.operator(tenant)
    made = client.post("/api/v1/sessions", {"session_id": session_id})
    assert made.status_code in (200, 201)
    run = client.post("/api/v1/runs", {"chain": "probe", "input": {"steps": 1}, "session_id": session_id})
    return {
        "run_id": run.json["run_id"],
        "session_id": session_id,
        "creator_id": client.post("/api/v1/creators", {"name": "小雅"}).json["id"],
        "product_id": client.post("/api/v1/products", {"name": "云朵枕"}).json["id"],
        "erasure_id": client.post("/api/v1/erasure", {"subject": {"user_id": "somebody"}}).json["erasure_id"],
        "user_id": str(person(app, tenant, "viewer").id),
        "group_id": str(groups.create(mine, "security-ops", ["approver"])["id"]),
        "key_id": str(key_management.create(mine, "tests", roles=["viewer"])["id"]),
    }


@pytest.fixture
def theirs(flask_app: Flask, tenant: UUID) -> Rows:
    """Rows of `tenant`."""
    return rows_of(flask_app, tenant)


def unknown(ids: Rows) -> Rows:
    """Ids of the same form that nothing has."""
    return {name: str(uuid4()) for name in ids} | {"session_id": f"s-{uuid7()}"}


def said(answer: Any, ids: Rows) -> tuple[int, str]:
    """Status and body, without the ids that were asked for."""
    text = answer.get_data(as_text=True)
    for value in sorted(ids.values(), key=len, reverse=True):
        text = text.replace(value, "…")
    return answer.status_code, text


@pytest.mark.parametrize("one", WITH_IDS, ids=lambda one: f"{one.method} {one.path}")
def test_anothers_ids_are_ids_that_never_were(flask_app: Flask, theirs: Rows, one: Operation) -> None:
    """Given a row of one tenant, when another's owner names it, then the answer is that of an unknown id: 404."""
    other, made_up = person(flask_app, tenants.create_tenant(f"other-{uuid7()}"), "owner").client, unknown(theirs)
    found = asked(other, one, theirs)
    assert found.status_code == 404
    assert said(found, theirs) == said(asked(other, one, made_up), made_up)


def test_ids_in_bodies_are_held_to_the_tenant_too(flask_app: Flask, theirs: Rows) -> None:
    """Given a session and a run of one tenant, when another names them in a body, then it works on rows of its own."""
    other = stranger(flask_app)
    made = other.post("/api/v1/runs", {"chain": "probe", "input": {"steps": 1}, "session_id": theirs["session_id"]})
    assert made.status_code == 202
    assert made.json["run_id"] != theirs["run_id"]
    assert [one["session_id"] for one in other.get("/api/v1/sessions").json["items"]] == [theirs["session_id"]]
    ticket = other.post("/api/v1/auth/tickets", {"run_id": theirs["run_id"]}).json.get("ticket")
    opening = f"/api/v1/runs/{theirs['run_id']}/events?ticket={ticket}"
    assert flask_app.test_client().get(opening).status_code in (401, 404)


@pytest.mark.parametrize("one", LISTS, ids=lambda one: one.path)
def test_no_list_shows_or_counts_anothers_rows(flask_app: Flask, theirs: Rows, one: Operation) -> None:
    """Given rows of every kind of one tenant, when another looks at a list, then it is as if they were not there."""
    lonely, later = stranger(flask_app), stranger(flask_app)
    text = asked(lonely, one, {}).get_data(as_text=True)
    assert not [name for name, value in theirs.items() if value in text]
    # and a tenant that came with all of that there sees numbers of its own alone
    if "usage" in one.path:
        assert asked(later, one, {}).json == json.loads(text)


def test_a_suspended_tenant_is_shut_out(
    flask_app: Flask, tenant: UUID, client: Client, later: Callable[[], None]
) -> None:
    platform = Client(flask_app, tenants.create_api_key(tenants.ensure_default_tenant(), "tests"))
    assert client.get("/api/v1/runs").status_code == 200
    path = f"/api/v1/admin/tenants/{tenant}"
    for status, expected in (("suspended", 401), ("active", 200)):
        body = json.dumps({"status": status})
        assert platform.raw("PATCH", path, data=body, content_type="application/json").status_code == 200
        later()
        assert client.get("/api/v1/runs").status_code == expected
