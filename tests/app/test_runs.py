"""Runs over HTTP: accepted, listed, looked at, moved."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from storage import tenants
from storage.tables import uuid7
from tests.app.rows import Client, MakeRun


def start(client: Client, **fields: Any) -> Any:
    return client.post("/api/v1/runs", {"chain": "probe", "input": {"steps": 3}} | fields)


def test_an_accepted_run_is_answered_with_its_place_and_itself(client: Client) -> None:
    answer = start(client)
    assert answer.status_code == 202
    run = answer.json
    assert answer.headers["Location"] == f"/api/v1/runs/{run['run_id']}"
    assert run["chain"] == "probe" and run["status"] in ("pending", "running")
    assert [(step["key"], step["status"]) for step in run["steps"]] == [
        ("1", "queued"),
        ("2", "planned"),
        ("3", "planned"),
    ]
    assert client.get(answer.headers["Location"]).json["run_id"] == run["run_id"]


def test_the_trace_of_the_caller_goes_on_in_the_run(client: Client) -> None:
    trace_id = uuid4().hex
    answer = client.post(
        "/api/v1/runs", {"chain": "probe", "input": {}}, traceparent=f"00-{trace_id}-00f067aa0ba902b7-01"
    )
    assert answer.json["trace_id"] == trace_id
    assert answer.headers["traceparent"].split("-")[1] == trace_id


def test_the_same_key_and_body_again_is_the_same_run(client: Client) -> None:
    body = {"chain": "probe", "input": {"steps": 2}}
    first = client.post("/api/v1/runs", body, Idempotency_Key="k-1")
    again = client.post("/api/v1/runs", body | {"idempotency_key": "k-1"})
    assert "Idempotent-Replayed" not in first.headers
    assert again.status_code == 202 and again.headers["Idempotent-Replayed"] == "true"
    assert again.json["run_id"] == first.json["run_id"]

    other = client.post("/api/v1/runs", {"chain": "probe", "input": {"steps": 3}}, Idempotency_Key="k-1")
    assert other.status_code == 422 and other.json["code"] == "idempotency_conflict"

    both = client.post("/api/v1/runs", body | {"idempotency_key": "k-2"}, Idempotency_Key="k-1")
    assert both.status_code == 422 and both.json["errors"][0]["field"] == "idempotency_key"


def test_a_busy_session_refuses_but_replays(client: Client) -> None:
    body = {"chain": "probe", "input": {}, "session_id": "s-1"}
    first = client.post("/api/v1/runs", body, Idempotency_Key="k")
    assert first.status_code == 202
    assert client.post("/api/v1/runs", body).json["code"] == "session_busy"
    assert client.post("/api/v1/runs", body, Idempotency_Key="k").json["run_id"] == first.json["run_id"]
    queued = client.post("/api/v1/runs", body | {"on_busy": "queue"})
    assert queued.status_code == 202 and queued.json["status"] == "pending"


def test_another_tenants_run_is_not_there(client: Client, make_run: MakeRun) -> None:
    theirs = make_run(owner=tenants.create_tenant(f"other-{uuid7()}"))
    for path in ("", "/events", "/checkpoints", "/checkpoints/1", "/effects"):
        answer = client.get(f"/api/v1/runs/{theirs}{path}")
        assert answer.status_code == 404, path
        assert answer.content_type == "application/problem+json"
    for action, body in (("cancel", None), ("resume", None), ("answer", {"answer": 1}), ("fork", {"after_step": "1"})):
        assert client.post(f"/api/v1/runs/{theirs}/{action}", body).status_code == 404, action


def test_pages_hold_every_run_once_newest_first(client: Client, make_run: MakeRun) -> None:
    made = [make_run() for _ in range(5)] + [make_run("failed", error={"code": "x", "message": "y", "step": None})]
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/v1/runs?limit=2&cursor={cursor}").json
        assert len(page["items"]) <= 2
        seen += [run["run_id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [str(run_id) for run_id in reversed(made)]
    assert len(client.get("/api/v1/runs?status=failed").json["items"]) == 1
    assert client.get("/api/v1/runs?chain=script").json["items"] == []
    assert client.get("/api/v1/runs?session_id=none").json == {"items": [], "next_cursor": None}


def test_a_page_of_large_runs_is_shorter_but_misses_none(client: Client, make_run: MakeRun) -> None:
    made = [make_run(input={"text": "x" * 7_000_000}) for _ in range(5)]
    seen: list[str] = []
    cursor, pages = "", 0
    while cursor is not None:
        page = client.get(f"/api/v1/runs?cursor={cursor}").json
        seen += [run["run_id"] for run in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert seen == [str(run_id) for run_id in reversed(made)]
    assert pages == 3


def test_a_finished_run_shows_its_steps_with_times(client: Client, make_run: MakeRun) -> None:
    run = client.get(f"/api/v1/runs/{make_run(steps={'1': {'a': 1}, '2': {'b': 2}}, output={'executed': []})}").json
    assert run["output"] == {"executed": []} and run["error"] is None and run["degraded"] is False
    assert [(s["key"], s["status"], s["duration_ms"]) for s in run["steps"]] == [
        ("1", "succeeded", 250),
        ("2", "succeeded", 250),
    ]
    assert run["created_at"].endswith("Z")


def test_waiting_answers_at_once_for_a_finished_run_and_in_time_for_another(client: Client, make_run: MakeRun) -> None:
    assert client.get(f"/api/v1/runs/{make_run()}?wait=60").json["status"] == "completed"
    running = client.get(f"/api/v1/runs/{make_run('running', open_steps=('1',))}?wait=0.2")
    assert running.json["status"] == "running"


def test_a_run_is_cancelled_once(client: Client) -> None:
    path = f"/api/v1/runs/{start(client).json['run_id']}"
    cancelled = client.post(f"{path}/cancel")
    assert cancelled.status_code == 202
    assert client.get(f"{path}?wait=5").json["status"] == "cancelled"
    assert client.post(f"{path}/cancel").status_code == 409
    assert client.post(f"{path}/resume").status_code == 409


def test_agents_are_chains_and_a_string_is_a_query(client: Client) -> None:
    answer = client.post("/api/v1/agents/script/runs", {"input": "帮我写一段618美妆直播开场话术", "user_id": "u-1"})
    assert answer.status_code == 202
    assert answer.json["agent_id"] == "script"
    assert answer.json["input"] == {"query": "帮我写一段618美妆直播开场话术"}
    assert client.post("/api/v1/agents/nobody/runs", {"input": "x"}).status_code == 404


def test_dead_letters_name_the_step(client: Client, make_run: MakeRun) -> None:
    run_id = make_run("failed", error={"code": "poison_step", "message": "lost 3 workers", "step": "2"})
    letters = client.get("/api/v1/dead-letters").json["items"]
    assert [(one["run_id"], one["step"], one["code"]) for one in letters] == [(str(run_id), "2", "poison_step")]


def test_a_run_id_is_a_uuid(client: Client) -> None:
    assert client.get("/api/v1/runs/not-a-uuid").status_code == 404
    assert client.get(f"/api/v1/runs/{UUID(int=0)}").status_code == 404
