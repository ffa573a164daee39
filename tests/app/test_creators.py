"""Creators over HTTP: made, shown, listed, replaced, changed, archived, imported."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.schemas.studio import Creator, CreatorPage
from storage import tenants
from storage.tables import uuid7
from tests.app.rows import Client

URL = "/api/v1/creators"
XIAOYA = {
    "name": "小雅",
    "language": "zh",
    "categories": ["beauty"],
    "style": "语速轻快",
    "default_tone": "活泼",
    "catch_phrases": ["姐妹们听我说"],
    "banned": ["白菜价"],
    "brand_bans": ["某友商"],
    "policy_tags": ["不提竞品"],
    "external_id": "kol-7",
}


@pytest.fixture
def stranger(flask_app: Flask) -> Client:
    """A client of another tenant."""
    return Client(flask_app, tenants.create_api_key(tenants.create_tenant(f"other-{uuid7()}"), "tests"))


def send(client: Client, method: str, path: str, body: Any) -> Any:
    return client.raw(method, path, data=json.dumps(body), content_type="application/json")


def test_a_creator_is_made_shown_and_listed_as_described(client: Client) -> None:
    # Given a creator with all that can be said of one
    made = client.post(URL, XIAOYA)
    assert made.status_code == 201, made.json
    # Then its address shows it, and so does the list
    shown = client.get(made.headers["Location"])
    assert shown.json == made.json == client.get(URL).json["items"][0]
    assert XIAOYA.items() <= shown.json.items() and UUID(shown.json["id"]).version == 7
    Creator.model_validate(shown.json)
    CreatorPage.model_validate(client.get(URL).json)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\u200bb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a", "language": "fr"}, "language"),
        ({"name": "a", "banned": ["ok", ""]}, "banned[1]"),
        ({"name": "a", "banned": ["ok"] * 51}, "banned"),
        ({"name": "a", "nickname": "b"}, "nickname"),
        ({"name": "a\x00"}, "name"),
    ],
)
def test_a_wrong_field_is_named(body: Any, field: str, client: Client) -> None:
    answer = client.post(URL, body)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert [one["field"] for one in answer.json["errors"]] == [field]


def test_a_taken_name_is_a_conflict_that_names_the_field(client: Client, stranger: Client) -> None:
    client.post(URL, {"name": "Emma", "external_id": "1"})
    for body, field in (({"name": "EMMA"}, "name"), ({"name": "Other", "external_id": "1"}, "external_id")):
        answer = client.post(URL, body)
        assert (answer.status_code, answer.json["code"]) == (409, "already_exists")
        assert answer.json["errors"][0]["field"] == field
    # And another tenant has names of its own
    assert stranger.post(URL, {"name": "Emma", "external_id": "1"}).status_code == 201


def test_put_replaces_and_patch_changes(client: Client) -> None:
    place = client.post(URL, XIAOYA).headers["Location"]
    # When one field is changed and another emptied, Then the others stay
    changed = send(client, "PATCH", place, {"style": "慢慢讲", "banned": None, "language": None})
    assert changed.status_code == 200, changed.json
    expected = {**XIAOYA, "style": "慢慢讲", "banned": [], "language": None}
    assert expected.items() <= changed.json.items()
    assert changed.json["updated_at"] > changed.json["created_at"]
    # When it is replaced, Then what was left out is empty
    replaced = send(client, "PUT", place, {"name": "小雅"}).json
    assert (replaced["style"], replaced["catch_phrases"], replaced["external_id"]) == (None, [], None)
    assert client.get(place).json == replaced
    # And a change to another's name, or to none, is refused
    client.post(URL, {"name": "Emma"})
    assert send(client, "PATCH", place, {"name": "emma"}).status_code == 409
    assert send(client, "PATCH", place, {"name": None}).json["errors"][0]["field"] == "name"
    assert send(client, "PATCH", place, {}).json == replaced


def test_an_archived_creator_is_gone_and_its_name_is_free(client: Client) -> None:
    place = client.post(URL, XIAOYA).headers["Location"]
    gone = client.raw("DELETE", place)
    assert (gone.status_code, gone.data) == (204, b"")
    for method in ("GET", "DELETE"):
        assert client.raw(method, place).status_code == 404
    assert send(client, "PATCH", place, {"style": "x"}).status_code == 404
    assert client.get(URL).json["items"] == []
    assert client.post(URL, XIAOYA).status_code == 201


def test_another_tenants_creator_is_not_found(client: Client, stranger: Client) -> None:
    place = client.post(URL, XIAOYA).headers["Location"]
    assert stranger.get(place).status_code == 404
    assert send(stranger, "PUT", place, {"name": "mine"}).status_code == 404
    assert send(stranger, "PATCH", place, {"name": "mine"}).status_code == 404
    assert stranger.raw("DELETE", place).status_code == 404
    assert stranger.get(URL).json["items"] == []
    assert client.get(place).json["name"] == "小雅"
    assert client.get(f"{URL}/none").status_code == 404


def test_the_list_goes_by_pages_and_filters(client: Client) -> None:
    for number in range(5):
        client.post(URL, {"name": f"达人{number}", "language": "zh", "categories": ["food", "home"]})
    client.post(URL, {"name": "Emma", "language": "en", "categories": ["beauty"], "external_id": "KOL-9"})

    def named(query: str) -> list[str]:
        answer = client.get(f"{URL}?{query}")
        assert answer.status_code == 200, answer.json
        return [row["name"] for row in answer.json["items"]]

    assert named("language=en") == ["Emma"] == named("category=beauty") == named("q=EMM") == named("q=kol-9")
    assert named("q=达人3") == ["达人3"] and named("q=%25") == [] and named("category=home&language=en") == []
    # When the pages are read one after the other, Then each row comes once, the newest first
    seen, cursor = [], ""
    for _ in range(4):
        page = client.get(f"{URL}?limit=2{cursor}").json
        seen += [row["name"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["Emma", "达人4", "达人3", "达人2", "达人1", "达人0"]
    for wrong in ("cursor=x", "limit=0", "language=fr", "what=1"):
        assert client.get(f"{URL}?{wrong}").status_code == 422


def test_creators_are_imported_by_their_chinese_column_names(client: Client) -> None:
    sheet = (
        "达人名称,语言,话术风格,口头禅,禁用表达,品牌策略标签,达人编号\n"
        "小雅,zh,轻快,姐妹们；听我说,白菜价|吐血价,不提竞品,7\n"
    )
    answer = client.raw("POST", f"{URL}/import", data=sheet.encode("gb18030"), content_type="text/csv")
    assert answer.json == {"imported": 1, "updated": 0, "failed": 0, "errors": []}
    made = client.get(URL).json["items"][0]
    assert (made["catch_phrases"], made["banned"]) == (["姐妹们", "听我说"], ["白菜价", "吐血价"])
    assert (made["external_id"], made["policy_tags"], made["style"]) == ("7", ["不提竞品"], "轻快")
    # And the same file again changes nothing but its time
    again = client.raw("POST", f"{URL}/import", data=sheet.encode(), content_type="text/csv")
    assert (again.json["imported"], again.json["updated"]) == (0, 1)
