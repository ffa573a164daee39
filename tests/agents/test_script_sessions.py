"""Sessions and turns in the real database: what the chain loads at its start and remembers at its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from agents.script.load_context import load_context
from agents.script.remember_turn import remember_turn
from errors import InvalidInput, NotFound
from node import Final
from storage import sessions
from storage.tables import uuid7
from storage.tenants import create_tenant
from tests.agents.fakes import FakeContext

PASSED = {"passed": True, "findings": [], "score": 1.0}


def context(tenant: UUID, session_id: str | None) -> FakeContext:
    return FakeContext(tenant_id=str(tenant), session_id=session_id, run_id=str(uuid7()))


def done(**outputs: Any) -> dict[str, Any]:
    """The state before `remember_turn`."""
    return {
        "load_context": {"query": "写一段"},
        "write": {"script": "好的"},
        "rewrite": None,
        "check_quality": PASSED,
        **outputs,
    }


def test_a_session_is_one_flat_object(tenant: UUID) -> None:
    made = sessions.create(tenant, {"influencer_name": "小雅", "category": "美妆"}, user_id="u1")
    assert made["influencer_name"] == "小雅"
    assert (made["user_id"], made["status"]) == ("u1", "active")
    assert sessions.get(tenant, made["session_id"]) == {**made, "turns": []}


def test_another_tenant_does_not_see_it(tenant: UUID) -> None:
    made = sessions.create(tenant, {})
    other = create_tenant(f"other-{uuid7()}")
    with pytest.raises(NotFound):
        sessions.get(other, made["session_id"])
    assert sessions.list_page(other)["items"] == []


def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(tenant: UUID) -> None:
    made = [sessions.create(tenant, {"n": n})["session_id"] for n in range(5)]
    seen, cursor = [], None
    while True:
        page = sessions.list_page(tenant, limit=2, cursor=cursor)
        seen += [row["session_id"] for row in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == made[::-1]
    with pytest.raises(InvalidInput):
        sessions.list_page(tenant, cursor="nonsense")


def test_the_sessions_fields_are_loaded_and_the_requests_own_beat_them(tenant: UUID) -> None:
    made = sessions.create(tenant, {"influencer_name": "小雅", "category": "美妆"})
    state = {"input": {"query": "写一段食品话术", "category": "食品"}}
    loaded = load_context(state, context(tenant, made["session_id"]))
    assert loaded["language"] == "zh"
    assert loaded["wishes"] == {"influencer_name": "小雅", "category": "食品"}


def test_a_session_that_nobody_made_is_made_by_its_first_run(tenant: UUID) -> None:
    load_context({"input": {"query": "hello"}}, context(tenant, "s-1"))
    assert sessions.get(tenant, "s-1")["session_id"] == "s-1"


def test_an_empty_query_is_refused() -> None:
    with pytest.raises(Final):
        load_context({"input": {"query": " "}}, FakeContext())


def test_turns_are_remembered_once_whatever_the_retries(tenant: UUID) -> None:
    # Given a finished script of a session
    session_id = sessions.create(tenant, {})["session_id"]
    ctx = context(tenant, session_id)
    # When the step runs twice, because its worker died after the first time
    first, second = (remember_turn(done(), ctx) for _ in range(2))
    # Then each turn stands there once, and the next request reads them
    assert first == second == {"remembered": True, "turns": [1, 2]}
    loaded = load_context({"input": {"query": "再来一段"}}, context(tenant, session_id))
    assert [turn["role"] for turn in loaded["turns"]] == ["user", "assistant"]


def test_runs_at_the_same_time_number_their_turns_apart(tenant: UUID) -> None:
    session_id = sessions.create(tenant, {})["session_id"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: remember_turn(done(), context(tenant, session_id)), range(8)))
    assert [turn["no"] for turn in sessions.turns(tenant, session_id)] == list(range(1, 17))


def test_open_findings_degrade_the_run(tenant: UUID) -> None:
    ctx = context(tenant, None)
    finding = {"rule": "length", "severity": "error"}
    output = remember_turn(done(check_quality={"passed": False, "findings": [finding], "score": 0.75}), ctx)
    assert output == {"remembered": False, "turns": []}
    assert ctx.degraded == ["open quality findings after the rewrites: length"]


def test_the_rewritten_script_is_what_is_remembered(tenant: UUID) -> None:
    session_id = sessions.create(tenant, {})["session_id"]
    remember_turn(done(rewrite={"script": "改好了"}), context(tenant, session_id))
    assert sessions.turns(tenant, session_id)[-1]["content"] == "改好了"
