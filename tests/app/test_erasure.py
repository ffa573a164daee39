"""Requests to forget somebody over HTTP: who may ask, what is refused, what is shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from policy.audit import fingerprint
from storage import postgres, tenants
from storage.identity_tables import User
from storage.reads import audit
from storage.tables import Run, uuid7
from tests.app.rows import Client


def test_a_request_is_a_run_that_names_nobody(client: Client, tenant: UUID, api_key: str) -> None:
    answer = client.post("/api/v1/erasure", {"subject": {"user_id": "shop-user-7"}})
    assert answer.status_code == 202
    made = answer.json
    assert answer.headers["Location"].endswith(f"/api/v1/erasure/{made['erasure_id']}")
    assert (made["status"], made["counts"], made["done_at"]) == ("requested", {}, None)
    assert made["subject_hash"] == fingerprint("user:shop-user-7")
    assert client.get(answer.headers["Location"]).json == made
    assert client.get("/api/v1/erasure").json == {"items": [made], "next_cursor": None}
    run = client.get(f"/api/v1/runs/{made['run_id']}").json
    assert (run["chain"], run["input"], run["session_id"]) == ("erasure", {"erasure_id": made["erasure_id"]}, None)
    (entry,) = audit.page(tenant)[0]
    assert (entry["action"], entry["resource"]) == ("erasure.request", f"erasure:{made['erasure_id']}")
    assert entry["after"] == {"subject": made["subject_hash"]}
    assert entry["actor"] == made["requested_by"] == f"key:{api_key.split('_')[1]}"


@pytest.mark.parametrize(
    "subject",
    [{}, {"user_id": "a", "session_id": "b"}, {"user_id": ""}, {"user_id": None}, {"user": "a"}, {"session_id": 7}],
)
def test_a_wrong_subject_is_told(subject: dict[str, Any], client: Client, tenant: UUID) -> None:
    answer = client.post("/api/v1/erasure", {"subject": subject})
    assert answer.status_code == 422
    assert all(one["field"].startswith("subject") for one in answer.json["errors"])
    assert client.get("/api/v1/erasure").json["items"] == [] and audit.page(tenant)[0] == []


def user(tenant: UUID, name: str, roles: list[str]) -> str:
    made = uuid7()
    with postgres.session(tenant) as db:
        email = f"{name}@example.com"
        db.add(User(id=made, tenant_id=tenant, email=email, email_key=email, name=name, roles=roles))
    return str(made)


def test_a_user_of_ours_is_shut_out_at_once(client: Client, tenant: UUID) -> None:
    user(tenant, "owner", ["owner"])
    ada = user(tenant, "ada", ["developer"])
    assert client.post("/api/v1/erasure", {"subject": {"user_id": ada}}).status_code == 202
    with postgres.session(tenant) as db:
        assert db.get_one(User, UUID(ada)).status == "disabled"
    assert [one["action"] for one in audit.page(tenant)[0]] == ["erasure.request", "user.change"]


def test_the_last_owner_cannot_be_forgotten(client: Client, tenant: UUID) -> None:
    owner = user(tenant, "owner", ["owner"])
    answer = client.post("/api/v1/erasure", {"subject": {"user_id": owner}})
    assert (answer.status_code, answer.json["code"]) == (409, "last_owner")
    assert client.get("/api/v1/erasure").json["items"] == []


def test_an_erasure_whose_run_was_given_up_has_failed(client: Client, tenant: UUID) -> None:
    made = client.post("/api/v1/erasure", {"subject": {"session_id": "s"}}).json
    with postgres.session(tenant) as db:
        db.get_one(Run, UUID(made["run_id"])).status = "failed"
    assert client.get(f"/api/v1/erasure/{made['erasure_id']}").json["status"] == "failed"


def test_the_chain_is_no_skill_and_no_client_starts_it(client: Client) -> None:
    made = client.post("/api/v1/erasure", {"subject": {"session_id": "s"}}).json
    refused = client.post("/api/v1/runs", {"chain": "erasure", "input": {"erasure_id": made["erasure_id"]}})
    assert (refused.status_code, refused.json["code"]) == (422, "unknown_chain")
    assert "erasure" not in {one["name"] for one in client.get("/api/v1/skills").json["items"]}


def test_another_tenants_erasure_is_not_there(client: Client, flask_app: Flask) -> None:
    made = client.post("/api/v1/erasure", {"subject": {"session_id": "s"}}).json["erasure_id"]
    other = Client(flask_app, tenants.create_api_key(tenants.create_tenant(f"other-{uuid7()}"), "tests"))
    for path in (made, uuid4()):
        assert other.get(f"/api/v1/erasure/{path}").status_code == 404
    assert other.get("/api/v1/erasure").json["items"] == []


def test_pages_are_newest_first(client: Client) -> None:
    made = [client.post("/api/v1/erasure", {"subject": {"session_id": f"s{n}"}}).json["erasure_id"] for n in range(3)]
    first = client.get("/api/v1/erasure?limit=2").json
    assert [one["erasure_id"] for one in first["items"]] == made[:0:-1]
    rest = client.get(f"/api/v1/erasure?limit=2&cursor={first['next_cursor']}").json
    assert [one["erasure_id"] for one in rest["items"]] == made[:1]
