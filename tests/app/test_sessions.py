"""Sessions, skills and health over HTTP."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.app.rows import Client


def test_a_session_keeps_its_makers_fields(client: Client) -> None:
    answer = client.post("/api/v1/sessions", {"influencer_name": "小雅", "category": "美妆", "user_id": "u-1"})
    assert answer.status_code == 201
    made = answer.json
    assert made["influencer_name"] == "小雅" and made["user_id"] == "u-1" and made["status"] == "active"
    found = client.get(answer.headers["Location"]).json
    assert found["session_id"] == made["session_id"] and found["turns"] == []
    assert [one["session_id"] for one in client.get("/api/v1/sessions").json["items"]] == [made["session_id"]]


def test_sessions_that_are_not_there(client: Client) -> None:
    assert client.get("/api/v1/sessions/nobody").status_code == 404
    assert client.get("/api/v1/sessions/a%00b").status_code == 404
    assert client.post("/api/v1/sessions", {"status": "closed"}).status_code == 422
    assert client.post("/api/v1/sessions", {"memory": {"upto": 1_000_000}}).status_code == 422
    assert client.post("/api/v1/sessions", {"session_id": "a\x00"}).status_code == 422


def test_skills_are_the_chains(client: Client) -> None:
    found = {skill["name"]: skill for skill in client.get("/api/v1/skills").json["items"]}
    assert {"probe", "script"} <= found.keys()
    assert "query" in found["script"]["input_schema"]["properties"]


def test_health_tells_of_each_part(anonymous: FlaskClient) -> None:
    told = anonymous.get("/api/v1/health").json
    assert {name: told["checks"][name]["status"] for name in ("postgres", "redis", "rate_limits")} == {
        "postgres": "ok", "redis": "ok", "rate_limits": "ok",
    }  # fmt: skip
    assert told["status"] in ("ok", "degraded")  # nobody works in this test


def test_metrics_have_the_names_of_the_documents(anonymous: FlaskClient, client: Client) -> None:
    client.post("/api/v1/runs", {"chain": "probe", "input": {}})
    text = anonymous.get("/metrics").text
    for name in ("agent_run_total", "agent_token_usage", "baton_queue_depth", "baton_lease_age_seconds"):
        assert f"# TYPE {name}" in text, name
    assert 'baton_queue_depth{queue="agents"}' in text
