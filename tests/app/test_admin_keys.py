"""API keys over HTTP: made, rotated, revoked; of users, of services, and of one's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection as Connection

from app.schemas.admin import KeyPage, MadeKey
from identity import acting
from storage.tables import uuid7
from tests.app.people import person, record, send, service, stranger
from tests.app.rows import Client
from tests.conftest import Servers

URL = "/api/v1/admin/keys"
OWN = "/api/v1/auth/keys"
ME = "/api/v1/auth/me"


def named(client: Client, name: str, url: str = URL) -> dict[str, Any]:
    return next(one for one in client.get(url).json["items"] if one["name"] == name)


def test_a_services_key_is_shown_once_and_opens_what_its_roles_give(client: Client, flask_app: Flask) -> None:
    made = client.post(URL, {"name": "worker", "roles": ["viewer"]})
    assert made.status_code == 201, made.json
    MadeKey.model_validate(made.json)
    key = made.json["key"]
    me = Client(flask_app, key).get(ME).json
    assert (me["roles"], me["actor"], me["user_id"]) == (["viewer"], f"key:{made.json['prefix']}", None)
    # Then no list shows the key or its hash, only when it was used
    listed = client.get(URL)
    KeyPage.model_validate(listed.json)
    assert key not in listed.text and "hash" not in listed.text
    found = named(client, "worker")
    assert found["last_used_at"] is not None and found["created_by"].startswith("key:")
    # And without roles it is a service's
    assert client.post(URL, {"name": "plain"}).json["roles"] == ["service"]


def test_scopes_cut_a_key_down(client: Client, flask_app: Flask) -> None:
    key = client.post(URL, {"name": "cut", "roles": ["developer"], "scopes": ["catalog:*", "self:read"]}).json["key"]
    assert Client(flask_app, key).get(ME).json["permissions"] == ["catalog:read", "catalog:write", "self:read"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "a", "scopes": ["runs:fly"]}, "scopes"),
        ({"name": "a", "scopes": ["*"]}, "scopes"),
        ({"name": "a", "roles": ["root"]}, "roles[0]"),
        ({"name": "a", "expires_at": "2026-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "hash": "x"}, "hash"),
        ({"name": "a", "user_id": str(uuid7()), "roles": ["viewer"]}, "roles"),
    ],
)
def test_a_wrong_field_is_named(body: Any, field: str, client: Client) -> None:
    answer = client.post(URL, body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field), answer.json


def test_a_users_key_may_what_the_user_may_and_ends_with_them(client: Client, tenant: UUID, flask_app: Flask) -> None:
    user = person(flask_app, tenant, "developer")
    made = client.post(URL, {"name": "theirs", "user_id": str(user.id), "scopes": ["runs:*", "self:read"]}).json
    key = Client(flask_app, made["key"])
    assert key.get(ME).json["user_id"] == str(user.id)
    assert "runs:start" in key.get(ME).json["permissions"] and made["roles"] == []
    # When the user's roles change, Then so does what the key may
    send(client, "PATCH", f"/api/v1/admin/users/{user.id}", {"roles": ["viewer"]})
    assert key.get(ME).json["permissions"] == ["runs:read", "self:read"]
    # And of a disabled user no key is made
    send(client, "PATCH", f"/api/v1/admin/users/{user.id}", {"status": "disabled"})
    refused = client.post(URL, {"name": "more", "user_id": str(user.id)})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "user_id")
    assert client.post(URL, {"name": "none", "user_id": str(uuid7())}).status_code == 404


def test_a_rotated_key_and_its_successor_overlap_and_then_the_old_one_ends(
    client: Client, tenant: UUID, flask_app: Flask, owner_db: Connection
) -> None:
    old = client.post(URL, {"name": "worker", "roles": ["viewer"], "scopes": ["self:read"]}).json
    # When it is rotated
    answer = client.post(f"{URL}/{old['id']}/rotate", {"overlap_seconds": 3600})
    assert answer.status_code == 201, answer.json
    new = answer.json
    assert new["key"] != old["key"] and new["expires_at"] is None
    assert {name: new[name] for name in ("name", "roles", "scopes")} == {
        "name": "worker",
        "roles": ["viewer"],
        "scopes": ["self:read"],
    }
    # Then both open the door, and the list says what follows what
    assert Client(flask_app, old["key"]).get(ME).status_code == 200 == Client(flask_app, new["key"]).get(ME).status_code
    shown = next(one for one in client.get(URL).json["items"] if one["id"] == old["id"])
    assert shown["replaced_by"] == new["id"]
    ends = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert ends == timedelta(hours=1)
    # And it is rotated once
    again = client.post(f"{URL}/{old['id']}/rotate")
    assert (again.status_code, again.json["code"]) == (409, "key_ended")
    # When the overlap is over, Then only the new one does
    with owner_db.cursor() as cursor:
        cursor.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (old["id"],))
    acting.take_effect()
    assert Client(flask_app, old["key"]).get(ME).status_code == 401
    assert Client(flask_app, new["key"]).get(ME).status_code == 200
    # And without an overlap the old one ends at once
    last = client.post(f"{URL}/{new['id']}/rotate", {"overlap_seconds": 0}).json
    assert Client(flask_app, new["key"]).get(ME).status_code == 401
    assert Client(flask_app, last["key"]).get(ME).status_code == 200
    assert client.post(f"{URL}/{last['id']}/rotate", {"overlap_seconds": -1}).status_code == 422


def test_a_rotated_key_that_expires_has_a_successor_that_lives_as_long(client: Client) -> None:
    soon = datetime.now(UTC) + timedelta(days=2)
    old = client.post(URL, {"name": "short", "expires_at": soon.isoformat()}).json
    new = client.post(f"{URL}/{old['id']}/rotate").json

    def life(key: dict[str, Any]) -> timedelta:
        return datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])

    assert life(new) == life(old)
    # And the overlap makes no key live longer than it was made to
    far = client.post(f"{URL}/{new['id']}/rotate", {"overlap_seconds": 30 * 86400})
    assert far.status_code == 201
    kept = next(one for one in client.get(URL).json["items"] if one["id"] == new["id"])
    assert kept["expires_at"] == new["expires_at"]


def test_a_revoked_key_opens_nothing(client: Client, flask_app: Flask) -> None:
    made = client.post(URL, {"name": "gone", "roles": ["viewer"]}).json
    assert Client(flask_app, made["key"]).get(ME).status_code == 200
    place = f"{URL}/{made['id']}"
    assert client.raw("DELETE", place).status_code == 204
    assert Client(flask_app, made["key"]).get(ME).status_code == 401
    ended_at = named(client, "gone")["revoked_at"]
    assert ended_at is not None
    # Again is nothing, and it is not rotated
    assert client.raw("DELETE", place).status_code == 204 and named(client, "gone")["revoked_at"] == ended_at
    assert client.post(f"{place}/rotate").json["code"] == "key_ended"


def test_nobody_makes_or_gets_a_key_that_may_more_than_they_do(client: Client, tenant: UUID, flask_app: Flask) -> None:
    owner, admin = person(flask_app, tenant, "owner"), person(flask_app, tenant, "admin")
    owners = client.post(URL, {"name": "owners", "roles": ["owner"]}).json["id"]
    cut = service(flask_app, tenant, "admin", scopes=["keys:manage", "runs:read"])
    admins = client.post(URL, {"name": "admins", "roles": ["admin"]}).json["id"]
    refused = [
        admin.client.post(URL, {"name": "a", "roles": ["owner"]}),
        admin.client.post(URL, {"name": "a", "roles": ["owner"], "scopes": ["runs:read"]}),
        admin.client.post(URL, {"name": "a", "user_id": str(owner.id)}),
        admin.client.post(f"{URL}/{owners}/rotate"),
        admin.client.raw("DELETE", f"{URL}/{owners}"),
        cut.post(URL, {"name": "a", "roles": ["viewer"]}),
        cut.post(URL, {"name": "a", "user_id": str(admin.id)}),
        cut.post(f"{URL}/{admins}/rotate"),
    ]
    assert {answer.status_code for answer in refused} == {403}, [answer.json for answer in refused]
    assert cut.post(URL, {"name": "a", "roles": ["viewer"], "scopes": ["runs:read"]}).status_code == 201


def test_an_administrator_does_not_rise_with_a_user(client: Client, tenant: UUID, flask_app: Flask) -> None:
    """Given a key that an administrator made for a viewer, when they become an owner, it may what it might."""
    admin, bob = person(flask_app, tenant, "admin").client, person(flask_app, tenant, "viewer")
    key = admin.post(URL, {"name": "bob's", "user_id": str(bob.id)}).json["key"]
    before = Client(flask_app, key).get(ME).json["permissions"]
    assert send(client, "PATCH", f"/api/v1/admin/users/{bob.id}", {"roles": ["owner"]}).status_code == 200
    assert Client(flask_app, key).get(ME).json["permissions"] == before
    assert "users:manage" in bob.client.get(ME).json["permissions"]


def test_ones_own_keys_are_ones_own(client: Client, tenant: UUID, flask_app: Flask) -> None:
    me, other = person(flask_app, tenant, "developer"), person(flask_app, tenant, "developer")
    made = me.client.post(OWN, {"name": "laptop", "scopes": ["runs:read", "self:read", "keys:own"]})
    assert made.status_code == 201, made.json
    laptop = Client(flask_app, made.json["key"])
    assert laptop.get(ME).json["user_id"] == str(me.id)
    # Then one's list has one's own keys alone, and another's are not found
    assert {one["name"] for one in me.client.get(OWN).json["items"]} == {"tests", "laptop"}
    assert {one["name"] for one in other.client.get(OWN).json["items"]} == {"tests"}
    theirs = f"{OWN}/{made.json['id']}"
    assert other.client.raw("DELETE", theirs).status_code == 404
    assert other.client.post(f"{theirs}/rotate").status_code == 404
    # And a key that was cut down makes none that was not
    assert laptop.post(OWN, {"name": "more"}).status_code == 403
    assert laptop.post(OWN, {"name": "less", "scopes": ["runs:read"]}).status_code == 201
    rotated = me.client.post(f"{theirs}/rotate", {"overlap_seconds": 0}).json
    assert Client(flask_app, rotated["key"]).get(ME).status_code == 200 and laptop.get(ME).status_code == 401
    assert me.client.raw("DELETE", f"{OWN}/{rotated['id']}").status_code == 204
    # And a service's key has no keys of its own
    assert client.get(OWN).status_code == 403
    assert person(flask_app, tenant, "viewer").client.post(OWN, {"name": "a"}).status_code == 403


def test_another_tenants_keys_are_not_found(client: Client, tenant: UUID, flask_app: Flask) -> None:
    other, user = stranger(flask_app), person(flask_app, tenant, "viewer")
    made = client.post(URL, {"name": "mine", "roles": ["viewer"]}).json
    assert other.post(f"{URL}/{made['id']}/rotate").status_code == 404
    assert other.raw("DELETE", f"{URL}/{made['id']}").status_code == 404
    assert other.post(URL, {"name": "a", "user_id": str(user.id)}).status_code == 404
    assert {one["name"] for one in other.get(URL).json["items"]} == {"tests"}
    assert other.get(f"{URL}?user_id={user.id}").json["items"] == []
    assert Client(flask_app, made["key"]).get(ME).status_code == 200


def test_each_change_of_a_key_is_in_the_record_without_the_key(
    client: Client, tenant: UUID, servers: Servers, connect: Callable[[str], Any]
) -> None:
    old = client.post(URL, {"name": "k", "roles": ["viewer"]}).json
    new = client.post(f"{URL}/{old['id']}/rotate").json
    client.raw("DELETE", f"{URL}/{new['id']}")
    client.raw("DELETE", f"{URL}/{new['id']}")  # nothing changes
    told = record(connect, servers.owner_url, tenant)
    assert [(one["action"], one["resource"]) for one in told] == [
        ("key.create", f"key:{old['prefix']}"),
        ("key.rotate", f"key:{old['prefix']}"),
        ("key.revoke", f"key:{new['prefix']}"),
    ]
    assert told[1]["after"]["prefix"] == new["prefix"] and told[0]["after"]["roles"] == ["viewer"]
    assert old["key"] not in str(told) and new["key"].rpartition("_")[2] not in str(told)
