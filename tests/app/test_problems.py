"""Whatever is wrong with a request, the answer is a problem that names it."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from app import auth
from storage import outages
from tests.app.rows import Client, MakeRun

RUNS = "/api/v1/runs"


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.data
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.data)
    assert {"type", "title", "status", "detail", "code", "errors"} <= body.keys()
    assert body["status"] == status
    return body


def fields(answer: Any, status: int = 422) -> list[str]:
    return [error["field"] for error in problem(answer, status)["errors"]]


def test_without_a_key_nothing_is_told(anonymous: FlaskClient, client: Client) -> None:
    for path in (RUNS, f"{RUNS}/{uuid4()}", "/api/v1/no-such-thing", "/api/v1", "/api/v1/skills"):
        answer = anonymous.get(path)
        assert problem(answer, 401)["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    problem(anonymous.get(RUNS, headers={"X-API-Key": "bt_00000000_" + "0" * 48}), 401)
    problem(anonymous.get(RUNS, headers={"Authorization": "Basic eDp5"}), 401)
    problem(anonymous.get(RUNS, headers={"Authorization": "Bearer \xe9"}), 401)
    assert client.get(RUNS).status_code == 200


def test_either_header_carries_the_key(anonymous: FlaskClient, api_key: str) -> None:
    assert anonymous.get(RUNS, headers={"X-API-Key": api_key}).status_code == 200
    assert anonymous.get(RUNS, headers={"Authorization": f"bearer {api_key}"}).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/health/live", "/api/v1/health/ready", "/metrics"])
def test_what_stands_open_needs_no_key(anonymous: FlaskClient, path: str) -> None:
    assert anonymous.get(path).status_code == 200


def test_unknown_paths_and_wrong_methods(client: Client, anonymous: FlaskClient) -> None:
    problem(anonymous.get("/nowhere"), 404)
    problem(client.get("/api/v1/nowhere"), 404)
    answer = client.raw("DELETE", RUNS)
    problem(answer, 405)
    assert "POST" in answer.headers["Allow"]
    problem(client.raw("PUT", "/metrics"), 405)
    problem(client.raw("BREW", RUNS), 405)
    problem(client.get(f"{RUNS}/{uuid4()}/ws"), 422)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"{", "body"),
        (b"", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"\xff\xfe", "body"),
        (b'{"chain": "probe", "input": {"steps": NaN}}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"input": {}}', "chain"),
        (b'{"chain": "probe"}', "input"),
        (b'{"chain": "", "input": {}}', "chain"),
        (b'{"chain": 7, "input": {}}', "chain"),
        (b'{"chain": "probe", "input": []}', "input"),
        (b'{"chain": "probe", "input": {}, "unknown": 1}', "unknown"),
        (b'{"chain": "probe", "input": {}, "deadline_seconds": 0}', "deadline_seconds"),
        (b'{"chain": "probe", "input": {}, "deadline_seconds": 1e999}', "deadline_seconds"),
        (b'{"chain": "probe", "input": {}, "on_busy": "maybe"}', "on_busy"),
        (b'{"chain": "probe", "input": {}, "session_id": ""}', "session_id"),
        (b'{"chain": "pro\\u0000be", "input": {}}', "chain"),
        (b'{"chain": "probe", "input": {"a": [{"b": "x\\u0000"}]}}', "input.a[0].b"),
        (b'{"chain": "probe", "input": {"a": "\\ud800"}}', "input.a"),
        (b'{"chain": "probe", "input": {"steps": 0}}', "input.steps"),
        (b'{"chain": "probe", "input": {"steps": 1001}}', "input.steps"),
        (b'{"chain": "probe", "input": {"effect": "twice"}}', "input.effect"),
        (b'{"chain": "probe", "input": {"nonsense": 1}}', "input.nonsense"),
    ],
)
def test_a_bad_body_is_told_by_its_field(client: Client, raw: bytes, field: str) -> None:
    answer = client.raw("POST", RUNS, data=raw, content_type="application/json")
    assert field in fields(answer)
    assert client.get(RUNS).json["items"] == []


def test_the_body_must_be_json(client: Client) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.raw("POST", RUNS, data=b'{"chain":"probe","input":{}}', content_type=content_type)
        assert problem(answer, 415)["code"] == "unsupported_media_type"


def test_a_body_that_is_too_large_is_refused(client: Client) -> None:
    data = b'{"chain":"probe","input":{"x":"' + b"a" * 9_000_000 + b'"}}'
    answer = client.raw("POST", RUNS, data=data, content_type="application/json")
    assert problem(answer, 413)["status"] == 413


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%E4%BD%A0", "cursor"),
        ("cursor=WzEsMl0", "cursor"),
        ("status=gone", "status"),
        ("chain=a%00b", "chain"),
        ("colour=red", "colour"),
    ],
)
def test_a_bad_query_is_told_by_its_field(client: Client, query: str, field: str) -> None:
    assert fields(client.get(f"{RUNS}?{query}")) == [field]


def test_other_lists_are_as_strict(client: Client) -> None:
    for path in ("/api/v1/sessions", "/api/v1/dead-letters"):
        assert fields(client.get(f"{path}?cursor=nonsense")) == ["cursor"]
        assert fields(client.get(f"{path}?limit=1001")) == ["limit"]
    run_id = client.post(RUNS, {"chain": "probe", "input": {}}).json["run_id"]
    assert fields(client.get(f"{RUNS}/{run_id}/checkpoints?cursor=x")) == ["cursor"]
    assert fields(client.get(f"{RUNS}/{run_id}/effects?cursor=x")) == ["cursor"]
    assert fields(client.get(f"{RUNS}/{run_id}/events?after=-1")) == ["after"]
    assert fields(client.get(f"{RUNS}/{run_id}/events", Last_Event_ID="x")) == ["Last-Event-ID"]
    assert fields(client.get(f"{RUNS}/{run_id}?wait=61")) == ["wait"]
    assert client.get(f"{RUNS}/{run_id}/checkpoints/99999999999999999999").status_code == 404
    assert client.get(f"{RUNS}/{run_id}/checkpoints/0").status_code == 404


def test_types_are_told_by_the_field_alone(client: Client) -> None:
    for body, field in (
        ({"input": 5}, "input"),
        ({"input": {}, "stream": "yes"}, "stream"),
        ({"input": {}, "deadline_seconds": "5"}, "deadline_seconds"),
    ):
        assert fields(client.post("/api/v1/agents/probe/runs", body)) == [field]


def test_a_websocket_is_asked_for_where_there_is_one(client: Client, make_run: MakeRun) -> None:
    run = f"{RUNS}/{make_run()}"
    assert fields(client.get(f"{run}/ws")) == ["Upgrade"]
    asked = {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert fields(client.raw("GET", f"{run}/events", headers=asked)) == ["Upgrade"]


def test_an_unknown_chain_is_told_with_the_nearest(client: Client) -> None:
    found = problem(client.post(RUNS, {"chain": "prob", "input": {}}), 422)
    assert found["code"] == "unknown_chain" and "probe" in found["detail"]


def test_a_key_that_is_too_long_is_told(client: Client) -> None:
    answer = client.post(RUNS, {"chain": "probe", "input": {}}, Idempotency_Key="k" * 256)
    assert fields(answer) == ["Idempotency-Key"]


def test_a_database_that_is_away_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_key: str) -> None:
        raise outages.DATABASE_AWAY[0]("select", {}, Exception("gone"))

    monkeypatch.setattr(auth.keys, "authenticate", away)
    answer = client.get(RUNS)
    assert problem(answer, 503)["code"] == "unavailable"
    assert answer.headers["Retry-After"]


def test_a_crash_tells_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_key: str) -> None:
        raise RuntimeError("the secret is xyzzy")

    monkeypatch.setattr(auth.keys, "authenticate", crash)
    answer = client.get(RUNS)
    problem(answer, 500)
    assert b"xyzzy" not in answer.data and b"Traceback" not in answer.data
