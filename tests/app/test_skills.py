"""The registry of skills over HTTP, and a session's next message as the answer to what its run asks."""

from __future__ import annotations

from uuid import UUID

import pytest

from chains import catalog
from errors import InvalidInput
from storage import postgres
from storage.tables import Run, Step
from tests.app.rows import Client, MakeRun

SKILLS = ("script", "script.modify", "script.continue", "script.batch", "script.shorten", "script.adapt")


def test_every_skill_tells_what_it_does_and_takes_its_own_example(client: Client) -> None:
    found = {one["name"]: one for one in client.get("/api/v1/skills").json["items"]}
    for name in SKILLS:
        one = found[name]
        assert one["title"] and one["description"] and one["input_schema"]["properties"]
        assert catalog.latest(name).accept(one["example"]).input["query"]


@pytest.mark.parametrize(
    ("chain", "given", "field"),
    [
        ("script.shorten", {"script": "x"}, "input.seconds"),
        ("script.adapt", {"script": "x"}, "input.platform"),
        ("script.batch", {"products": []}, "input.products"),
        ("script.batch", {"products": ["x"] * 201}, "input.products"),
        ("script.modify", {"query": "短一点", "run_id": "x"}, "input.run_id"),
        ("script", {"query": "x", "creator_id": "y"}, "input.creator_id"),
        ("script", {"query": "x", "must_say": "包邮"}, "input.must_say"),
        ("script", {"query": "x", "product": {"name": "云朵枕", "aliases": 5}}, "input.product"),
        ("script.batch", {"products": [{"name": "云朵枕", "price": {"now": 5}}]}, "input.products"),
        ("script.adapt", {"platform": "抖音", "script": "x", "plattform": "y"}, "input.plattform"),
    ],
)
def test_a_wrong_field_of_a_skill_is_named(chain: str, given: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        catalog.latest(chain).accept(given)
    assert [error["field"] for error in refused.value.errors] == [field]


def waiting(make_run: MakeRun, tenant: UUID, session_id: str, kind: str = "question") -> UUID:
    """A run of the session whose step `clarify` waits."""
    run_id = make_run(
        "paused",
        {"load_context": {}, "recognize_intent": {}},
        chain="script",
        chain_version="2",
        input={"query": "介绍一下这款产品"},
        session_id=session_id,
    )
    with postgres.session(tenant) as db:
        pause = {"kind": kind, "question": "讲的是哪一款？", "step": "clarify"}
        db.add(
            Step(run_id=run_id, key="clarify", tenant_id=tenant, node="script.clarify", status="waiting", pause=pause)
        )
        db.get_one(Run, run_id).pause = pause
    return run_id


def given_answer(tenant: UUID, run_id: UUID) -> object:
    with postgres.session(tenant) as db:
        return db.get_one(Step, (run_id, "clarify")).answer


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/agents/script/runs"])
def test_the_sessions_next_message_answers(client: Client, make_run: MakeRun, tenant: UUID, path: str) -> None:
    # Given a session whose run asks which product it is about
    run_id = waiting(make_run, tenant, "s-1")
    # When the user says something in that session
    answer = client.post(
        path,
        {"chain": "script", "input": {"query": "水润精华"}, "session_id": "s-1"}
        if path.endswith("v1/runs")
        else {"input": "水润精华", "session_id": "s-1"},
    )
    # Then it is the answer, and no new run
    assert answer.status_code == 202
    assert answer.headers["Baton-Answered"] == "clarify"
    assert answer.json["run_id"] == str(run_id)
    assert given_answer(tenant, run_id) == {"text": "水润精华"}
    assert len(client.get("/api/v1/runs?session_id=s-1").json["items"]) == 1


def test_another_session_and_an_interrupt_start_runs_of_their_own(
    client: Client, make_run: MakeRun, tenant: UUID
) -> None:
    run_id = waiting(make_run, tenant, "s-1")
    other = client.post("/api/v1/runs", {"chain": "script", "input": {"query": "写一段"}, "session_id": "s-2"})
    assert "Baton-Answered" not in other.headers and other.json["run_id"] != str(run_id)
    body = {"chain": "script", "input": {"query": "写一段"}, "session_id": "s-1", "on_busy": "interrupt"}
    interrupting = client.post("/api/v1/runs", body)
    assert interrupting.status_code == 202 and "Baton-Answered" not in interrupting.headers
    assert given_answer(tenant, run_id) is None


def test_an_approval_is_not_given_by_talking(client: Client, make_run: MakeRun, tenant: UUID) -> None:
    waiting(make_run, tenant, "s-1", kind="approval")
    answer = client.post("/api/v1/runs", {"chain": "script", "input": {"query": "好"}, "session_id": "s-1"})
    assert answer.status_code == 409 and answer.json["code"] == "session_busy"


@pytest.mark.parametrize(
    ("chain", "given"),
    [
        ("script", {"query": "水润精华", "tone": "专业"}),
        ("script.batch", {"products": ["水润精华"]}),
        ("script.modify", {"query": "短一点"}),
    ],
)
def test_what_asks_for_more_than_words_is_no_answer(
    client: Client, make_run: MakeRun, tenant: UUID, chain: str, given: dict[str, object]
) -> None:
    # Given a session whose run waits, When a request comes that has fields of its own, or is for another skill
    run_id = waiting(make_run, tenant, "s-1")
    answer = client.post("/api/v1/runs", {"chain": chain, "input": given, "session_id": "s-1"})
    # Then it is told that the session is busy, and nothing of it is lost in an answer
    assert (answer.status_code, answer.json["code"]) == (409, "session_busy")
    assert given_answer(tenant, run_id) is None


def test_a_key_that_was_used_for_another_message_is_refused(client: Client, make_run: MakeRun, tenant: UUID) -> None:
    waiting(make_run, tenant, "s-1")
    body = {"chain": "script", "input": {"query": "水润精华"}, "session_id": "s-1"}
    assert client.post("/api/v1/runs", body, Idempotency_Key="k-1").status_code == 202
    other = {**body, "input": {"query": "云朵枕"}}
    assert client.post("/api/v1/runs", other, Idempotency_Key="k-1").status_code == 422
