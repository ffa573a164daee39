"""Groups over HTTP: their roles are their members'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask

from app.schemas.admin import Group, GroupPage, UserPage
from storage.tables import uuid7
from tests.app.people import person, record, send, stranger
from tests.app.rows import Client
from tests.conftest import Servers

URL = "/api/v1/admin/groups"
USERS = "/api/v1/admin/users"


def test_a_group_is_made_shown_listed_changed_and_deleted(client: Client) -> None:
    made = client.post(URL, {"name": "security-ops", "roles": ["approver"]})
    assert made.status_code == 201, made.json
    place = made.headers["Location"]
    assert client.get(place).json == made.json == client.get(URL).json["items"][0]
    Group.model_validate(made.json)
    GroupPage.model_validate(client.get(URL).json)
    assert send(client, "PATCH", place, {"name": "ops"}).json == {**made.json, "name": "ops"}
    taken = client.post(URL, {"name": "ops"})
    assert (taken.status_code, taken.json["errors"][0]["field"]) == (409, "name")
    for wrong in ({"roles": ["root"]}, {"name": None}, {"what": 1}):
        assert send(client, "PATCH", place, wrong).status_code == 422
    assert client.raw("DELETE", place).status_code == 204
    assert client.get(place).status_code == 404 == client.raw("DELETE", place).status_code
    assert client.get(URL).json["items"] == []


def test_its_members_have_its_roles_while_they_are_in_it(client: Client, tenant: UUID, flask_app: Flask) -> None:
    # Given a viewer and a group of operators
    user = person(flask_app, tenant, "viewer")
    group = client.post(URL, {"name": "ops", "roles": ["operator"]}).headers["Location"]
    place = f"{group}/members/{user.id}"
    assert user.client.get(USERS).status_code == 403
    # When they are put into it, twice
    assert [client.raw("PUT", place).status_code for _ in range(2)] == [204, 204]
    # Then they may what operators may
    assert user.client.get(USERS).status_code == 200
    me = user.client.get("/api/v1/auth/me").json
    assert (me["groups"], me["roles"]) == (["ops"], ["operator", "viewer"])
    listed = client.get(f"{group}/members").json
    UserPage.model_validate(listed)
    assert [(one["id"], one["groups"]) for one in listed["items"]] == [(str(user.id), ["ops"])]
    assert client.get(group).json["members"] == 1
    # And when the group's roles change, or they leave, no more
    send(client, "PATCH", group, {"roles": []})
    assert user.client.get(USERS).status_code == 403
    send(client, "PATCH", group, {"roles": ["operator"]})
    assert client.raw("DELETE", place).status_code == 204
    assert user.client.get(USERS).status_code == 403
    assert client.raw("DELETE", place).status_code == 404


def test_nobody_gives_by_a_group_what_they_may_not_give(tenant: UUID, flask_app: Flask, client: Client) -> None:
    admin, owner = person(flask_app, tenant, "admin"), person(flask_app, tenant, "owner")
    owners = client.post(URL, {"name": "owners", "roles": ["owner"]}).headers["Location"]
    plain = client.post(URL, {"name": "plain"}).headers["Location"]
    refused = [
        admin.client.post(URL, {"name": "mine", "roles": ["owner"]}),
        send(admin.client, "PATCH", plain, {"roles": ["owner"]}),
        send(admin.client, "PATCH", owners, {"name": "x"}),
        admin.client.raw("DELETE", owners),
        admin.client.raw("PUT", f"{owners}/members/{admin.id}"),
        admin.client.raw("PUT", f"{plain}/members/{owner.id}"),  # an admin changes no owner
    ]
    assert {answer.status_code for answer in refused} == {403}
    assert admin.client.raw("PUT", f"{plain}/members/{admin.id}").status_code == 204


def test_the_last_owner_may_be_one_by_a_group(tenant: UUID, flask_app: Flask, client: Client) -> None:
    # Given one whose only ownership comes from a group
    group = client.post(URL, {"name": "owners", "roles": ["owner"]}).headers["Location"]
    user = person(flask_app, tenant, "viewer")
    client.raw("PUT", f"{group}/members/{user.id}")
    # Then neither the group, nor its role, nor the membership can go
    for answer in (
        client.raw("DELETE", group),
        send(client, "PATCH", group, {"roles": ["admin"]}),
        client.raw("DELETE", f"{group}/members/{user.id}"),
        send(client, "PATCH", f"{USERS}/{user.id}", {"status": "disabled"}),
    ):
        assert (answer.status_code, answer.json["code"]) == (409, "last_owner")
    # Until there is another
    person(flask_app, tenant, "owner")
    assert client.raw("DELETE", group).status_code == 204


def test_another_tenants_groups_and_users_are_not_found(client: Client, tenant: UUID, flask_app: Flask) -> None:
    other = stranger(flask_app)
    group = client.post(URL, {"name": "ops"}).headers["Location"]
    theirs = other.post(URL, {"name": "ops"}).headers["Location"]
    user = person(flask_app, tenant, "viewer")
    for answer in (
        other.get(group),
        send(other, "PATCH", group, {"name": "x"}),
        other.raw("DELETE", group),
        other.get(f"{group}/members"),
        other.raw("PUT", f"{group}/members/{user.id}"),
        other.raw("PUT", f"{theirs}/members/{user.id}"),
        other.raw("DELETE", f"{group}/members/{user.id}"),
        client.raw("PUT", f"{group}/members/{uuid7()}"),
    ):
        assert answer.status_code == 404
    assert client.get(f"{group}/members").json["items"] == [] == other.get(f"{theirs}/members").json["items"]


def test_each_change_of_a_group_is_in_the_record(
    client: Client, tenant: UUID, flask_app: Flask, servers: Servers, connect: Callable[[str], Any]
) -> None:
    user = person(flask_app, tenant, "viewer")
    group = client.post(URL, {"name": "ops"}).headers["Location"]
    client.raw("PUT", f"{group}/members/{user.id}")
    client.raw("PUT", f"{group}/members/{user.id}")  # nothing changes
    send(client, "PATCH", group, {"roles": ["approver"]})
    client.raw("DELETE", f"{group}/members/{user.id}")
    client.raw("DELETE", group)
    told = [one for one in record(connect, servers.owner_url, tenant) if one["resource"].startswith("group:")]
    assert [one["action"] for one in told] == [
        "group.create",
        "group.add",
        "group.change",
        "group.remove",
        "group.delete",
    ]
    assert (told[2]["before"]["roles"], told[2]["after"]["roles"]) == ([], ["approver"])
