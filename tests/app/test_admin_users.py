"""Users over HTTP: made, changed, disabled, and who may do that to whom."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from psycopg2.extensions import connection as Connection

from app.schemas.admin import User, UserPage
from storage.tables import uuid7
from tests.app.people import PASSWORD, person, record, send, service, stranger
from tests.app.rows import Client
from tests.conftest import Servers

URL = "/api/v1/admin/users"


def ada(**fields: Any) -> dict[str, Any]:
    return {"email": "Ada@Example.com", "name": "Ada", "roles": ["viewer"], **fields}


def test_a_user_is_made_shown_and_listed_as_described(client: Client) -> None:
    made = client.post(URL, ada(password=PASSWORD))
    assert made.status_code == 201, made.json
    shown = client.get(made.headers["Location"])
    assert shown.json == made.json == client.get(URL).json["items"][0]
    User.model_validate(shown.json)
    UserPage.model_validate(client.get(URL).json)
    expected = {
        "email": "Ada@Example.com",
        "roles": ["viewer"],
        "groups": [],
        "status": "active",
        "last_login_at": None,
    }
    assert expected.items() <= shown.json.items()
    assert PASSWORD not in made.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (ada(email="ada"), "email"),
        (ada(email="a b@example.com"), "email"),
        (ada(name=""), "name"),
        (ada(roles=["root"]), "roles[0]"),
        (ada(password="short"), "password"),
        (ada(password="ada@example.com"), "password"),
        (ada(status="disabled"), "status"),
    ],
)
def test_a_wrong_field_is_named(body: Any, field: str, client: Client) -> None:
    answer = client.post(URL, body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field), answer.json
    assert client.get(URL).json["items"] == []


def test_an_address_belongs_to_one_user_however_it_is_written(client: Client, flask_app: Flask) -> None:
    assert client.post(URL, ada()).status_code == 201
    for same in ("ada@example.com", "ＡＤＡ@example.COM"):
        answer = client.post(URL, ada(email=same))
        assert (answer.status_code, answer.json["code"]) == (409, "already_exists")
        assert answer.json["errors"][0]["field"] == "email"
    other = client.post(URL, ada(email="bob@example.com")).headers["Location"]
    assert send(client, "PATCH", other, {"email": "ADA@example.com"}).status_code == 409
    # And another tenant has users of its own
    assert stranger(flask_app).post(URL, ada()).status_code == 201


def test_a_patch_changes_what_it_names(client: Client) -> None:
    place = client.post(URL, ada()).headers["Location"]
    changed = send(client, "PATCH", place, {"roles": ["operator", "approver", "operator"]}).json
    assert (changed["roles"], changed["name"]) == (["operator", "approver"], "Ada")
    assert changed["updated_at"] > changed["created_at"]
    assert send(client, "PATCH", place, {"name": "Ada L.", "email": "al@example.com"}).json["email"] == "al@example.com"
    assert send(client, "PATCH", place, {}).json["name"] == "Ada L."
    for wrong in ({"name": None}, {"roles": None}, {"status": "gone"}, {"email": ""}):
        assert send(client, "PATCH", place, wrong).status_code == 422, wrong


def test_the_list_goes_by_pages_and_filters(client: Client) -> None:
    for number in range(3):
        client.post(URL, ada(email=f"u{number}@example.com", name=f"User {number}"))
    first = client.get(f"{URL}?limit=2").json
    rest = client.get(f"{URL}?limit=2&cursor={first['next_cursor']}").json
    assert [row["name"] for row in first["items"] + rest["items"]] == ["User 2", "User 1", "User 0"]
    assert rest["next_cursor"] is None
    assert [row["name"] for row in client.get(f"{URL}?q=USER 1").json["items"]] == ["User 1"]
    assert [row["name"] for row in client.get(f"{URL}?q=u2@").json["items"]] == ["User 2"]
    assert client.get(f"{URL}?status=disabled").json["items"] == [] == client.get(f"{URL}?q=%25").json["items"]
    assert client.get(f"{URL}?cursor=x").status_code == 422


def test_another_tenants_users_are_not_found(client: Client, flask_app: Flask) -> None:
    place = client.post(URL, ada()).headers["Location"]
    other = stranger(flask_app)
    assert other.get(place).status_code == 404
    assert send(other, "PATCH", place, {"name": "mine"}).status_code == 404
    assert other.post(f"{place}/password", {"password": PASSWORD}).status_code == 404
    assert other.get(URL).json["items"] == []
    assert client.get(f"{URL}/{uuid7()}").status_code == 404


@pytest.mark.parametrize("role", ["developer", "approver", "viewer", "service", "operator"])
def test_who_does_not_manage_users_changes_none(role: str, client: Client, tenant: UUID, flask_app: Flask) -> None:
    place = client.post(URL, ada()).headers["Location"]
    one = service(flask_app, tenant, role)
    assert one.post(URL, ada(email="b@example.com")).status_code == 403
    assert send(one, "PATCH", place, {"name": "x"}).status_code == 403
    assert one.post(f"{place}/password", {"password": PASSWORD}).status_code == 403
    assert one.get(URL).status_code == (200 if role == "operator" else 403)


def test_only_owners_make_or_change_owners(tenant: UUID, flask_app: Flask) -> None:
    owner, admin = person(flask_app, tenant, "owner"), person(flask_app, tenant, "admin")
    # When an admin would make an owner, of a new user or of themselves, Then it is refused
    assert admin.client.post(URL, ada(roles=["owner"])).json["code"] == "forbidden"
    assert send(admin.client, "PATCH", f"{URL}/{admin.id}", {"roles": ["owner"]}).status_code == 403
    # And so is whatever they would do to the owner
    for change in ({"name": "x"}, {"roles": []}, {"status": "disabled"}, {"email": "me@example.com"}):
        assert send(admin.client, "PATCH", f"{URL}/{owner.id}", change).status_code == 403, change
    assert admin.client.post(f"{URL}/{owner.id}/password", {"password": PASSWORD}).status_code == 403
    assert owner.client.get(f"{URL}/{owner.id}").json["roles"] == ["owner"]
    # But an owner may, and an admin manages everybody else
    assert send(owner.client, "PATCH", f"{URL}/{admin.id}", {"roles": ["owner"]}).status_code == 200
    other = person(flask_app, tenant, "admin")
    assert other.client.post(URL, ada(roles=["admin", "approver"])).status_code == 201


def test_a_key_cut_down_to_managing_users_gives_no_more_than_it_may(tenant: UUID, flask_app: Flask) -> None:
    cut = service(flask_app, tenant, "owner", scopes=["users:*"])
    assert cut.post(URL, ada(roles=["admin"])).status_code == 403
    assert cut.post(URL, ada(roles=["owner"])).status_code == 403
    viewer = person(flask_app, tenant, "viewer")
    # Nor takes it over who may more: the password of a viewer opens what the key does not
    assert cut.post(f"{URL}/{viewer.id}/password", {"password": PASSWORD}).status_code == 403
    assert cut.post(URL, ada(roles=[])).status_code == 201


def test_there_is_always_one_active_owner(tenant: UUID, flask_app: Flask) -> None:
    owner = person(flask_app, tenant, "owner")
    for change in ({"status": "disabled"}, {"roles": ["admin"]}):
        answer = send(owner.client, "PATCH", f"{URL}/{owner.id}", change)
        assert (answer.status_code, answer.json["code"]) == (409, "last_owner")
    assert owner.client.get(f"{URL}/{owner.id}").json["status"] == "active"
    # A disabled owner is none
    second = person(flask_app, tenant, "owner")
    assert send(owner.client, "PATCH", f"{URL}/{second.id}", {"status": "disabled"}).status_code == 200
    assert send(owner.client, "PATCH", f"{URL}/{owner.id}", {"roles": []}).status_code == 409


def test_of_two_owners_who_disable_each_other_at_once_one_stays(
    tenant: UUID, flask_app: Flask, owner_db: Connection, until: Callable[[Callable[[], bool]], None]
) -> None:
    # Given two owners, each past the door and at the directory's lock
    one, other = person(flask_app, tenant, "owner"), person(flask_app, tenant, "owner")
    lock = "hashtextextended('baton directory ' || %s, 0)"
    with owner_db.cursor() as cursor, ThreadPoolExecutor(2) as pool:
        cursor.execute(f"SELECT pg_advisory_lock({lock})", (str(tenant),))

        def waiting() -> bool:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return bool(cursor.fetchone()[0] == 2)

        def disable(by: Client, whom: UUID) -> Any:
            return send(by, "PATCH", f"{URL}/{whom}", {"status": "disabled"})

        asked = [pool.submit(disable, one.client, other.id), pool.submit(disable, other.client, one.id)]
        until(waiting)
        # When both go on
        cursor.execute(f"SELECT pg_advisory_unlock({lock})", (str(tenant),))
        answers = sorted((each.result() for each in asked), key=lambda answer: answer.status_code)
    # Then the second is refused, and one owner is left
    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[1].json["code"] == "last_owner"


def test_disabling_ends_keys_and_logins_at_once(tenant: UUID, flask_app: Flask, client: Client) -> None:
    # Given a user with a key and a login
    user = person(flask_app, tenant, "developer")
    name = _name_of(tenant)
    told = _login(flask_app, name, user.email)
    assert user.client.get("/api/v1/auth/me").status_code == 200
    # When they are disabled
    assert send(client, "PATCH", f"{URL}/{user.id}", {"status": "disabled"}).json["status"] == "disabled"
    # Then key, access token, refresh token and password open nothing
    assert user.client.get("/api/v1/auth/me").status_code == 401
    assert Client(flask_app, told["access_token"]).get("/api/v1/auth/me").status_code == 401
    anonymous = flask_app.test_client()
    refreshed = anonymous.post("/api/v1/auth/refresh", json={"refresh_token": told["refresh_token"]})
    assert refreshed.status_code == 401
    assert _logged_in(flask_app, name, user.email).status_code == 401
    # And when they are enabled again, keys and logins stay ended, and the password opens
    assert send(client, "PATCH", f"{URL}/{user.id}", {"status": "active"}).status_code == 200
    assert user.client.get("/api/v1/auth/me").status_code == 401
    assert Client(flask_app, told["access_token"]).get("/api/v1/auth/me").status_code == 401
    assert _logged_in(flask_app, name, user.email).status_code == 200


def test_a_password_set_by_an_administrator_ends_the_old_ones_logins(
    tenant: UUID, flask_app: Flask, client: Client
) -> None:
    user, name = person(flask_app, tenant, "viewer"), _name_of(tenant)
    told = _login(flask_app, name, user.email)
    new = "another battery staple"
    assert client.post(f"{URL}/{user.id}/password", {"password": "aaaaaaaaaaaa"}).status_code == 422
    assert client.post(f"{URL}/{user.id}/password", {"password": new}).status_code == 204
    assert Client(flask_app, told["access_token"]).get("/api/v1/auth/me").status_code == 401
    assert _logged_in(flask_app, name, user.email).status_code == 401
    assert _logged_in(flask_app, name, user.email, new).status_code == 200


def test_a_change_of_roles_is_felt_by_who_is_inside(tenant: UUID, flask_app: Flask, client: Client) -> None:
    user = person(flask_app, tenant, "admin")
    assert user.client.get(URL).status_code == 200
    send(client, "PATCH", f"{URL}/{user.id}", {"roles": ["viewer"]})
    assert user.client.get(URL).status_code == 403


def test_each_change_is_in_the_record_and_a_refused_one_is_not(
    tenant: UUID, client: Client, flask_app: Flask, servers: Servers, connect: Callable[[str], Any]
) -> None:
    place = client.post(URL, ada(password=PASSWORD)).headers["Location"]
    user_id = place.rpartition("/")[2]
    send(client, "PATCH", place, {"roles": ["operator"], "name": "Ada L."})
    send(client, "PATCH", place, {"roles": ["operator"]})  # nothing changes
    client.post(f"{place}/password", {"password": "another battery staple"})
    client.post(URL, ada())  # refused: the address is taken
    told = record(connect, servers.owner_url, tenant)
    assert [(one["action"], one["resource"]) for one in told] == [
        ("user.create", f"user:{user_id}"),
        ("user.change", f"user:{user_id}"),
        ("user.password", f"user:{user_id}"),
    ]
    assert all(one["actor"].startswith("key:") for one in told)
    assert told[1]["before"]["roles"] == ["viewer"] and told[1]["after"]["roles"] == ["operator"]
    text = str(told)
    assert PASSWORD not in text and "Ada" not in text and "xample.com" not in text


def _name_of(tenant: UUID) -> str:
    from storage import tenant_records

    return str(tenant_records.get(tenant)["name"])


def _logged_in(app: Flask, name: str, email: str, password: str = PASSWORD) -> Any:
    body = {"tenant": name, "email": email, "password": password}
    return app.test_client().post("/api/v1/auth/login", json=body)


def _login(app: Flask, name: str, email: str) -> dict[str, str]:
    answer = _logged_in(app, name, email)
    assert answer.status_code == 200, answer.json
    told: dict[str, str] = answer.json
    return told
