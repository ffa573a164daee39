"""The record over HTTP: what people change leaves an entry, pages are filtered, an export verifies by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from psycopg2.extensions import connection as Connection

from policy import audit_export
from policy.audit import fingerprint
from storage import postgres, tenants
from storage.reads import audit
from storage.tables import Run, Step, uuid7
from tests.app.rows import Client, MakeRun


def entries(tenant: UUID) -> list[dict[str, Any]]:
    """The tenant's entries, oldest first."""
    return audit.page(tenant)[0][::-1]


def told(entry: dict[str, Any]) -> tuple[str, str, Any, Any]:
    return entry["action"], entry["resource"], entry["before"], entry["after"]


# ------------------------------------------------------------------------------------------------ what is recorded


def test_a_cancelled_run_is_recorded_once(client: Client, make_run: MakeRun, tenant: UUID, api_key: str) -> None:
    run_id = make_run("running", {"1": {}}, ("2",))
    for _ in range(2):
        assert client.post(f"/api/v1/runs/{run_id}/cancel").status_code in (202, 409)
    (entry,) = entries(tenant)
    assert told(entry) == ("run.cancel", f"run:{run_id}", {"status": "running"}, None)
    assert entry["actor"] == f"key:{api_key.split('_')[1]}"
    assert entry["source"] == "127.0.0.1"


def test_the_entry_has_the_trace_of_its_request(client: Client, make_run: MakeRun, tenant: UUID) -> None:
    run_id = make_run("running", {"1": {}}, ("2",))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    client.post(f"/api/v1/runs/{run_id}/cancel", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert entries(tenant)[0]["trace_id"] == trace
    assert [one["action"] for one in client.get(f"/api/v1/audit?trace_id={trace}").json["items"]] == ["run.cancel"]


@pytest.mark.parametrize(
    ("path", "action"), [("/runs/{}/resume", "run.resume"), ("/dead-letters/{}/replay", "run.replay")]
)
def test_a_resumed_run_is_recorded(path: str, action: str, client: Client, make_run: MakeRun, tenant: UUID) -> None:
    run_id = make_run("failed", {"1": {}}, stop="failed", error={"code": "x", "message": "y", "step": "2"})
    with postgres.session(tenant) as db:
        db.add(Step(run_id=run_id, key="2", tenant_id=tenant, node="probe.work", status="failed", segment=1))
    assert client.post("/api/v1" + path.format(run_id)).status_code == 202
    assert told(entries(tenant)[0]) == (action, f"run:{run_id}", {"status": "failed"}, {"steps": ["2"]})


def test_a_dry_run_and_a_refusal_are_not_recorded(client: Client, make_run: MakeRun, tenant: UUID) -> None:
    run_id = make_run("failed", {"1": {}})
    assert client.post(f"/api/v1/runs/{run_id}/resume?dry_run=true").status_code == 200
    assert client.post(f"/api/v1/runs/{run_id}/cancel").status_code == 409
    assert client.post(f"/api/v1/runs/{uuid4()}/cancel").status_code == 404
    assert entries(tenant) == []


def test_a_fork_is_recorded_and_names_who_started_it(
    client: Client, make_run: MakeRun, tenant: UUID, api_key: str
) -> None:
    run_id = make_run("completed", {"1": {}, "2": {}})
    forked = client.post(f"/api/v1/runs/{run_id}/fork", {"after_step": "1"}).json["run_id"]
    after = {"run": forked, "after_step": "1", "input_replaced": False}
    assert told(entries(tenant)[0]) == ("run.fork", f"run:{run_id}", None, after)
    with postgres.session(tenant) as db:
        assert db.get_one(Run, UUID(forked)).actor == f"key:{api_key.split('_')[1]}"


def waiting_run(make_run: MakeRun, tenant: UUID) -> UUID:
    """A run whose node waits for an answer."""
    run_id = make_run("paused", {"1": {}})
    with postgres.session(tenant) as db:
        pause = {"kind": "question", "question": "Which?", "step": "2"}
        told = {"node": "probe.work", "status": "waiting", "segment": 1, "pause": pause}
        db.add(Step(run_id=run_id, key="2", tenant_id=tenant, **told))
    return run_id


def test_an_answer_is_recorded_without_what_was_typed(client: Client, make_run: MakeRun, tenant: UUID) -> None:
    run_id = waiting_run(make_run, tenant)
    said = {"approved": True, "level": 3, "reason": "Ada says so", "who": ["Ada", None]}
    assert client.post(f"/api/v1/runs/{run_id}/answer", {"answer": said}).status_code == 202
    kept = {
        "approved": True, "level": 3, "reason": fingerprint("Ada says so"), "who": [fingerprint("Ada"), None],
    }  # fmt: skip
    assert told(entries(tenant)[0]) == ("run.answer", f"run:{run_id}", None, {"answer": kept, "step": "2"})
    assert "Ada" not in json.dumps(entries(tenant), default=str)


def test_a_start_is_no_entry_but_names_its_actor(client: Client, tenant: UUID, api_key: str) -> None:
    run_id = client.post("/api/v1/runs", {"chain": "probe", "input": {}}).json["run_id"]
    assert entries(tenant) == []
    with postgres.session(tenant) as db:
        assert db.get_one(Run, UUID(run_id)).actor == f"key:{api_key.split('_')[1]}"


@pytest.mark.parametrize(
    ("what", "body", "change"),
    [
        ("creator", {"name": "小雅", "banned": ["最"]}, {"style": "calm"}),
        ("product", {"name": "云朵枕", "price": 199}, {"price": 99.5}),
    ],
)
def test_changes_of_the_catalog_are_recorded(
    what: str, body: dict[str, Any], change: dict[str, Any], client: Client, tenant: UUID
) -> None:
    made = client.post(f"/api/v1/{what}s", body).json["id"]
    path, resource, (field, value) = f"/api/v1/{what}s/{made}", f"{what}:{made}", next(iter(change.items()))
    for sent in (change, change):  # the second one changes nothing
        assert client.raw("PATCH", path, json=sent).status_code == 200
    assert client.raw("DELETE", path).status_code == 204
    created, changed, archived = entries(tenant)
    assert told(created) == (f"{what}.create", resource, None, body)
    assert told(changed) == (f"{what}.change", resource, {field: body.get(field)}, {field: value})
    assert told(archived) == (f"{what}.archive", resource, None, None)


def test_an_import_is_one_entry(client: Client, tenant: UUID) -> None:
    raw = "name,price\n枕,1\n被,2\n,3\n".encode()
    for dry_run in ("true", "false"):
        path = f"/api/v1/products/import?dry_run={dry_run}"
        assert client.raw("POST", path, data=raw, content_type="text/csv").json["imported"] == 2
    (entry,) = entries(tenant)
    assert told(entry) == ("product.import", "product:import", None, {"imported": 2, "updated": 0})


def test_what_is_recorded_is_masked(client: Client, tenant: UUID) -> None:
    client.post("/api/v1/creators", {"name": "小雅", "persona": "call 13812348000"})
    assert "13812348000" not in json.dumps(entries(tenant), default=str)


# ----------------------------------------------------------------------------------------------------------- pages


@pytest.fixture
def recorded(client: Client) -> Client:
    """A client whose tenant has four entries."""
    for name in ("a", "b", "c", "d"):
        client.post("/api/v1/creators", {"name": f"creator {name}"})
    return client


def test_pages_go_back_in_time(recorded: Client) -> None:
    first = recorded.get("/api/v1/audit?limit=3").json
    assert [one["seq"] for one in first["items"]] == [4, 3, 2]
    rest = recorded.get(f"/api/v1/audit?limit=3&cursor={first['next_cursor']}").json
    assert [one["seq"] for one in rest["items"]] == [1] and rest["next_cursor"] is None
    at = first["items"][1]["at"]
    assert len(recorded.get(f"/api/v1/audit?from={at}").json["items"]) == 2
    assert len(recorded.get(f"/api/v1/audit?to={at}").json["items"]) == 2
    assert recorded.get("/api/v1/audit?action=product.").json["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2026-11-20T00:00:00", "from"),
        ("to=9999-12-31T23:59:59-12:00", "to"),
        ("to=0001-01-01T00:00:00%2B12:00", "to"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("who=me", "who"),
    ],
)
def test_a_wrong_query_is_told_by_its_field(query: str, field: str, client: Client) -> None:
    answer = client.get(f"/api/v1/audit?{query}")
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json["errors"]] == [field]


def test_another_tenant_sees_nothing_of_it(recorded: Client, flask_app: Flask) -> None:
    other = Client(flask_app, tenants.create_api_key(tenants.create_tenant(f"other-{uuid7()}"), "tests"))
    assert other.get("/api/v1/audit").json == {"items": [], "next_cursor": None}


# --------------------------------------------------------------------------------------------------------- exports


def exported(client: Client, path: Path, query: str = "") -> Path:
    answer = client.get(f"/api/v1/audit/export{query}")
    assert answer.status_code == 200 and answer.content_type == "application/x-ndjson"
    path.write_bytes(answer.data)
    return path


def test_an_export_is_recorded_and_verifies_without_the_database(
    recorded: Client, tenant: UUID, tmp_path: Path
) -> None:
    file = exported(recorded, tmp_path / "audit.ndjson")
    whose, report = audit_export.verify_file(file)
    assert (whose, report.whole, report.entries) == (tenant, True, 5)
    assert json.loads(file.read_text().splitlines()[-2])["action"] == "audit.export"
    part = exported(recorded, tmp_path / "part.ndjson", f"?from={entries(tenant)[2]['at'].isoformat()[:-6]}Z")
    assert audit_export.verify_file(part)[1].whole
    assert [json.loads(line).get("seq") for line in part.read_text().splitlines()] == [None, 3, 4, 5, 6, None]


@pytest.mark.parametrize("query", ["", "?from=2020-01-01T00:00:00Z"])
@pytest.mark.parametrize(
    ("tamper", "kinds"),
    [
        (lambda lines: [*lines[:2], lines[2].replace("creator.create", "creator.change"), *lines[3:]], {"changed"}),
        (lambda lines: [*lines[:2], *lines[3:]], {"removed"}),
        (lambda lines: [lines[0], *lines[2:]], {"removed"}),
        (lambda lines: [*lines[:-2], lines[-1]], {"removed"}),
        (lambda lines: lines[:-1], {"removed"}),
        (lambda lines: lines[:-2], {"removed"}),
    ],
)
def test_a_changed_export_is_found(
    tamper: Callable[[list[str]], list[str]], kinds: set[str], query: str, recorded: Client, tmp_path: Path
) -> None:
    file = exported(recorded, tmp_path / "audit.ndjson", query)
    file.write_text("".join(f"{line}\n" for line in tamper(file.read_text().splitlines())))
    assert {one.kind for one in audit_export.verify_file(file)[1].findings} == kinds


def test_an_export_of_nothing_is_whole(client: Client, tmp_path: Path) -> None:
    file = exported(client, tmp_path / "audit.ndjson", "?to=2020-01-01T00:00:00Z")
    report = audit_export.verify_file(file)[1]
    assert report.whole and report.entries == 0


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n", "[]\n", '{"audit_export": 1}\n'])
def test_what_is_no_export_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(audit_export.NotAnExport):
        audit_export.verify_file(tmp_path / "x")


def test_a_database_that_was_changed_is_found_in_its_export(
    recorded: Client, tenant: UUID, owner_db: Connection, tmp_path: Path
) -> None:
    with owner_db.cursor() as cursor:
        cursor.execute("UPDATE audit_logs SET actor = 'x' WHERE tenant_id = %s AND seq = 2", (str(tenant),))
    report = audit_export.verify_file(exported(recorded, tmp_path / "audit.ndjson"))[1]
    assert [(one.kind, one.seq) for one in report.findings] == [("changed", 2)]
