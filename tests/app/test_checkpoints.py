"""Checkpoints: the state after each step, and its checksum."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from storage import postgres
from storage.tables import Effect
from tests.app.rows import Client, MakeRun


def checksum(state: Any) -> str:
    return hashlib.sha256(
        json.dumps(state, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def test_each_version_has_the_outputs_up_to_it(client: Client, make_run: MakeRun) -> None:
    path = f"/api/v1/runs/{make_run(steps={'a': {'x': 1}, 'b': {'话': '术'}, 'c': {}})}/checkpoints"
    page = client.get(path).json
    assert [(one["version"], one["step"], one["status"]) for one in page["items"]] == [
        (1, "a", "succeeded"),
        (2, "b", "succeeded"),
        (3, "c", "succeeded"),
    ]
    assert page["next_cursor"] is None
    states = [client.get(f"{path}/{version}").json for version in (1, 2, 3)]
    assert [one["state"] for one in states] == [
        {"a": {"x": 1}},
        {"a": {"x": 1}, "b": {"话": "术"}},
        {"a": {"x": 1}, "b": {"话": "术"}, "c": {}},
    ]
    for listed, one in zip(page["items"], states, strict=True):
        assert one["checksum"] == checksum(one["state"]) == listed["checksum"]
    assert client.get(f"{path}/4").status_code == 404


def test_the_last_iteration_wins_and_a_fan_out_is_a_list(client: Client, make_run: MakeRun) -> None:
    steps = {"loop#1/write": 1, "loop#2/write": 2, "branch[1]": "b", "branch[0]": "a", "join": None}
    run_id = make_run(steps=steps)
    state = client.get(f"/api/v1/runs/{run_id}/checkpoints/5").json["state"]
    assert state == {"write": 2, "branch": ["a", "b"], "join": None}
    early = client.get(f"/api/v1/runs/{run_id}/checkpoints/3").json["state"]
    assert early == {"write": 2, "branch": [None, "b"]}


def test_pages_of_checkpoints(client: Client, make_run: MakeRun) -> None:
    path = f"/api/v1/runs/{make_run(steps={str(n): {'n': n} for n in range(1, 8)})}/checkpoints"
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"{path}?limit=3&cursor={cursor}").json
        seen += [one["version"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == list(range(1, 8))


def test_a_session_counts_through_its_runs(client: Client, make_run: MakeRun) -> None:
    session_id = client.post("/api/v1/sessions", {"influencer_name": "小雅", "category": "美妆"}).json["session_id"]
    path = f"/api/v1/sessions/{session_id}/checkpoints"
    assert client.get(path).json == {"items": [], "next_cursor": None}
    assert client.get(f"{path}/latest").status_code == 404
    runs = [make_run(steps={"a": n, "b": n}, session_id=session_id) for n in (1, 2)]
    page = client.get(f"{path}?limit=3").json
    assert [one["version"] for one in page["items"]] == [1, 2, 3]
    rest = client.get(f"{path}?limit=3&cursor={page['next_cursor']}").json
    assert [one["version"] for one in rest["items"]] == [4] and rest["next_cursor"] is None
    assert {one["run_id"] for one in page["items"]} == {str(run_id) for run_id in runs}
    latest = client.get(f"{path}/latest").json
    assert latest["version"] == 4
    assert client.get(f"{path}/4").json == latest
    assert latest["checksum"] == checksum(latest["state"])
    assert client.get(f"{path}/5").status_code == 404
    assert client.get("/api/v1/sessions/nobody/checkpoints").status_code == 404


def test_effects_are_listed_from_the_ledger(client: Client, make_run: MakeRun, tenant: UUID) -> None:
    run_id = make_run(steps={"1": {}})
    with postgres.session(tenant) as db:
        for n in range(3):
            db.add(
                Effect(
                    key=f"{run_id}/1/{n}",
                    run_id=run_id,
                    tenant_id=tenant,
                    step="1",
                    attempt=1,
                    name=str(n),
                    kind="idempotent",
                    status="done",
                    request_hash="",
                )
            )
    page = client.get(f"/api/v1/runs/{run_id}/effects?limit=2").json
    rest = client.get(f"/api/v1/runs/{run_id}/effects?limit=2&cursor={page['next_cursor']}").json
    found = page["items"] + rest["items"]
    assert {one["key"] for one in found} == {f"{run_id}/1/{n}" for n in range(3)} and len(found) == 3
    assert found[0].keys() == {"step", "attempt", "key", "kind", "status", "at"}
    assert rest["next_cursor"] is None
