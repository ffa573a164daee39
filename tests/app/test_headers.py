"""Security headers on every answer, origins that may call, and addresses that a foreign Host does not change."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

import settings as settings_module
from app.headers import SECURITY
from app.operation import MAX_DEPTH
from tests.app.rows import Client

OURS, FOREIGN = "https://studio.example.com", "https://evil.example"
Set = Callable[..., None]


@pytest.fixture
def setting(settings_env: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """Change settings for one test."""

    def change(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"BATON_{name.upper()}", value)
        settings_module.reload()

    yield change
    monkeypatch.undo()
    settings_module.reload()


@pytest.mark.parametrize(
    "path",
    ["/api/v1/runs", "/api/v1/health/live", "/api/v1/nowhere", "/nowhere", "/metrics", "/openapi.json", "/docs"],
)
def test_every_answer_is_protected(anonymous: FlaskClient, client: Client, path: str) -> None:
    for answer in (anonymous.get(path), anonymous.delete(path), client.get(path)):
        for name, value in SECURITY.items():
            own_policy = name == "Content-Security-Policy" and path == "/docs"
            assert own_policy or answer.headers.getlist(name) == [value], (path, name)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
        assert ("no-store" in answer.headers.get("Cache-Control", "")) == path.startswith("/api/")


def test_a_stream_is_no_store_of_its_own_kind(client: Client, make_run: Callable[..., object]) -> None:
    run_id = make_run("completed", steps={"1": {}})
    answer = client.get(f"/api/v1/runs/{run_id}/events", Accept="text/event-stream")
    assert answer.headers.getlist("Cache-Control") == ["no-cache, no-transform"]
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_behind_https_browsers_are_told_to_stay(anonymous: FlaskClient, setting: Set) -> None:
    setting(behind_https="true")
    assert "max-age=" in anonymous.get("/api/v1/health/live").headers["Strict-Transport-Security"]


def test_the_page_runs_its_own_script_and_nothing_else(anonymous: FlaskClient) -> None:
    page = anonymous.get("/docs")
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
    assert "unsafe" not in str(policy)
    for tag in ("script", "style"):
        (block,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"<[^>]+\s(on[a-z]+|style)=", re.sub("<script>.*?</script>", "", page.text, flags=re.DOTALL))


# -- CORS --------------------------------------------------------------------------------------------------------------


def preflight(client: FlaskClient, origin: str) -> object:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    return client.options("/api/v1/runs", headers=asked)


def test_cors_is_closed(anonymous: FlaskClient, client: Client) -> None:
    # Given no origin in the settings, when a page of another origin asks, then no answer lets it read anything
    for answer in (preflight(anonymous, OURS), client.get("/api/v1/runs", Origin=OURS)):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
    assert preflight(anonymous, OURS).status_code != 204


def test_a_listed_origin_may_call(anonymous: FlaskClient, client: Client, setting: Set) -> None:
    setting(cors_origins=f"https://other.example, {OURS}")
    # A preflight, which carries no key, is answered
    answer = preflight(anonymous, OURS)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "X-API-Key" in answer.headers["Access-Control-Allow-Headers"]
    # The call itself still needs a key, and its answer may be read, errors too
    refused = anonymous.get("/api/v1/runs", headers={"Origin": OURS})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, OURS)
    allowed = client.get("/api/v1/runs", Origin=OURS)
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, OURS)
    for one in (answer, refused, allowed):
        assert "Origin" in one.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in one.headers


@pytest.mark.parametrize(
    "origin",
    [FOREIGN, "null", "", "*", "https://studio.example.com.evil.example", "http://studio.example.com", f"{OURS}:444",
     "https://STUDIO.example.com", f"{OURS}/", f"{OURS}, {FOREIGN}"],
)  # fmt: skip
def test_any_other_origin_may_not(anonymous: FlaskClient, client: Client, setting: Set, origin: str) -> None:
    setting(cors_origins=OURS)
    for answer in (preflight(anonymous, origin), client.get("/api/v1/runs", Origin=origin)):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
        assert "Origin" in answer.headers["Vary"]  # or a cache would hand out what another origin got


# -- WebSocket ---------------------------------------------------------------------------------------------------------

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "x" * 24,
}


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "http://localhost:81", "https://localhost.evil.example", "file://", "http://[::1"]
)
def test_a_websocket_of_a_foreign_page_is_refused(client: Client, make_run: Callable[..., object], origin: str) -> None:
    run_id = make_run("completed", steps={"1": {}})
    answer = client.raw("GET", f"/api/v1/runs/{run_id}/ws", headers={**UPGRADE, "Origin": origin})
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost", OURS])
def test_a_websocket_of_our_own_page_gets_past_that(
    anonymous: FlaskClient, make_run: Callable[..., object], setting: Set, origin: str
) -> None:
    setting(cors_origins=OURS)
    run_id = make_run("completed", steps={"1": {}})
    # Without a key, so that the call ends at the next check
    answer = anonymous.get(f"/api/v1/runs/{run_id}/ws", headers={**UPGRADE, "Origin": origin})
    assert answer.status_code == 401


# -- bodies and addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_body_nested_too_deeply_is_refused(client: Client, opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> str:
        inner = opening * (depth - 2) + ("1" if opening != "[" else "") + closing * (depth - 2)
        return f'{{"chain": "probe", "input": {{"unknown": {inner}}}}}'

    for depth in (MAX_DEPTH + 1, 900, 100_000):
        answer = client.raw("POST", "/api/v1/runs", data=nested(depth), content_type="application/json")
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "body"), depth
        assert "nested" in answer.json["detail"]
    answer = client.raw("POST", "/api/v1/runs", data=nested(MAX_DEPTH), content_type="application/json")
    assert "nested" not in answer.json["detail"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:99", "localhost@evil.example", "a b"])
def test_a_foreign_host_does_not_come_back(client: Client, host: str) -> None:
    # Given a request with a Host that is not ours, when something is made, then its address is relative
    headers = {"Host": host, "X-Forwarded-Host": "evil.example"}
    answer = client.raw("POST", "/api/v1/runs", json={"chain": "probe", "input": {}}, headers=headers)
    assert answer.status_code in (202, 400)
    assert "evil" not in str(answer.headers) + answer.text
    if answer.status_code == 202:
        assert answer.headers["Location"].startswith("/api/v1/runs/")


@pytest.mark.parametrize(
    "head", ["GET / HTTP/9.9", "GET /" + "x" * 9000 + " HTTP/1.1", "GET / HTTP/1.1\r\nX-Long: " + "x" * 9000,
             "GET / HTTP/1.1" + "".join(f"\r\nX-{number}: y" for number in range(70))],
    ids=["version", "line", "header", "headers"],
)  # fmt: skip
def test_what_gunicorn_refuses_is_protected_too(address: str, head: str) -> None:
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=10) as raw:
        raw.sendall(f"{head}\r\nHost: x\r\n\r\n".encode())
        told = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
    assert re.match(r"HTTP/1.1 4\d\d ", told)
    assert all(f"\r\n{name}: {value}\r\n" in told for name, value in SECURITY.items())


def test_no_version_of_the_server_is_told(address: str) -> None:
    with urllib.request.urlopen(f"{address}/api/v1/health/live", timeout=10) as answer:
        assert not re.search(r"\d", answer.headers.get("Server", ""))
