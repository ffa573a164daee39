"""Sessions and turns in the real database: what the chain loads at its start and remembers at its end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from agents.script import memory
from agents.script.load_context import load_context
from agents.script.remember_turn import remember_turn
from errors import InvalidInput, NotFound
from gateway.request import estimated_tokens
from node import Final, Retry
from settings import settings
from storage import sessions
from storage.tables import uuid7
from storage.tenants import create_tenant
from tests.agents.fakes import FakeContext, FakeModels
from tests.agents.skill_driver import Driven

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
    assert first == second == {"remembered": True, "turns": [1, 2], "folded": False}
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


# -- what a long session remembers -------------------------------------------------------------------------------------


def talk(tenant: UUID, session_id: str, *pairs: tuple[str, str]) -> None:
    """Runs of the session, each with what was asked and what was written."""
    for asked, script in pairs:
        run_id = str(uuid7())
        sessions.append_turn(tenant, session_id, run_id=run_id, role="user", content=asked)
        sessions.append_turn(tenant, session_id, run_id=run_id, role="assistant", content=script)


LONG_TALK = [
    ("写一段面霜的讲解，专业一点，别说美白", "看看这罐面霜。\n早晚都能用。"),
    ("抖音直播，再来一段口红的", "看看这支口红。\n推开是润的。"),
    ("怎么留住新来的人", "多点名，多提问。"),
    *((f"再来一段第{n}场的", f"第{n}场开始了。\n先点个关注。") for n in range(4, 12)),
]


def test_a_long_session_is_trimmed_and_what_matters_is_kept(tenant: UUID) -> None:
    # Given a session of 22 turns
    session_id = sessions.create(tenant, {"influencer_name": "小雅"})["session_id"]
    talk(tenant, session_id, *LONG_TALK)
    loaded = load_context({"input": {"query": "第一个短一点"}}, context(tenant, session_id))
    # Then the last twelve turns are there word by word
    assert len(loaded["turns"]) == 12
    assert loaded["turns"][0] == {"role": "user", "content": "再来一段第6场的"}
    # And of the older ones the products, wishes and bans, and every script can be pointed back to; an answer is none
    assert all(word in loaded["summary"] for word in ("面霜", "口红", "专业", "抖音", "不能说：美白"))
    assert loaded["bans"] == ["美白"]
    assert [script["turn"] for script in loaded["scripts"]] == [2, 4, *range(8, 23, 2)]
    assert (loaded["scripts"][0]["text"], loaded["scripts"][0]["items"]) == ("看看这罐面霜。", 2)


def test_the_summary_is_stored_once_and_changes_nothing_of_what_is_read(tenant: UUID) -> None:
    session_id = sessions.create(tenant, {"influencer_name": "小雅"})["session_id"]
    talk(tenant, session_id, *LONG_TALK)
    before = load_context({"input": {"query": "继续"}}, context(tenant, session_id))
    # When a run ends
    ctx = context(tenant, session_id)
    assert memory.recall(str(tenant), session_id).waiting == 10
    assert remember_turn(done(), ctx)["folded"]
    # Then the older turns are folded for good, and a repeated step folds nothing more
    stored, turns = sessions.remembered(tenant, session_id)
    assert (stored["upto"], stored["by"], turns[0]["no"]) == (12, "rules", 13)
    assert not remember_turn(done(), ctx)["folded"]
    assert not sessions.keep_memory(tenant, session_id, {**stored, "text": "older", "upto": 10})
    assert sessions.remembered(tenant, session_id)[0] == stored
    # And the same is remembered, in the session's own fields nothing is seen of it
    after = load_context({"input": {"query": "继续"}}, context(tenant, session_id))
    assert after["bans"] == before["bans"]
    assert [one["turn"] for one in after["scripts"]] == [*(one["turn"] for one in before["scripts"]), 24]
    assert "memory" not in sessions.get(tenant, session_id)


def test_a_tenants_own_limit_and_the_token_budget_hold(tenant: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = sessions.create(tenant, {})["session_id"]
    talk(tenant, session_id, *LONG_TALK, ("写一段长的", "长" * 1650))
    # Given a budget of tokens, then what does not fit goes into the summary, and the newest turn is kept at least
    turns = memory.recall(str(tenant), session_id).turns
    assert sum(estimated_tokens(turn["content"]) for turn in turns) <= memory.tokens_kept()
    assert len(turns) < 12
    assert turns[-1]["content"] == "长" * 1650
    # Given a newest turn that alone is longer than that, then its beginning is kept
    talk(tenant, session_id, ("写一段更长的", "长" * 5000))
    cut = memory.recall(str(tenant), session_id).turns[-1]["content"]
    assert 500 < len(cut) < memory.tokens_kept() and cut.endswith("…")
    # Given a tenant with a limit of its own
    limits = settings().model_copy(update={"session_turns_by_tenant": f"{uuid7()}=8, {tenant}=4"})
    monkeypatch.setattr(memory, "settings", lambda: limits)
    assert memory.turns_kept(str(tenant)) == 4
    assert len(memory.recall(str(tenant), session_id).turns) <= 4


def test_a_model_tells_the_summary_and_may_not_forget_a_ban(tenant: UUID) -> None:
    for answer, by in (
        ("聊过面霜和口红，美白不能说。", "model"),
        ("聊过面霜和口红。", "rules"),
        (Retry("busy"), "rules"),
    ):
        session_id = sessions.create(tenant, {})["session_id"]
        talk(tenant, session_id, *LONG_TALK)
        ctx = context(tenant, session_id)
        ctx.models = FakeModels(answers=[answer], languages=("zh",))
        assert remember_turn(done(), ctx)["folded"]
        stored, _ = sessions.remembered(tenant, session_id)
        assert stored["by"] == by
        assert stored["bans"] == ["美白"]


def test_the_answer_to_a_question_is_remembered_with_its_request(tenant: UUID) -> None:
    session_id = sessions.create(tenant, {})["session_id"]
    clarified = {"answer": "口红", "goes_on": True}
    remember_turn(done(load_context={"query": "介绍一下这款产品"}, clarify=clarified), context(tenant, session_id))
    assert sessions.turns(tenant, session_id)[0]["content"] == "介绍一下这款产品\n口红"
    # And a run that was never answered leaves no script that a later request could point back to
    remember_turn(
        {"load_context": {"query": "短一点"}, "clarify": {"answer": None, "goes_on": False}},
        context(tenant, session_id),
    )
    loaded = load_context({"input": {"query": "再来一段"}}, context(tenant, session_id))
    assert [script["turn"] for script in loaded["scripts"]] == [2]


# -- what a turn was ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "outputs", "scripts"),
    [
        # what the words look like is another thing than what the run gave: an answer, a script, a batch
        ("写一段面霜的讲解", {"answer": {"text": "先说说是哪一款。"}, "write": None, "clarify": {"intent": "ask"}}, 0),
        ("直播间没人说话咋办", {"write": {"script": "来，先点个关注。"}}, 1),
        ("怎么卖", {"answer": {"text": "一\n二"}, "write": None, "recognize_intent": {"intent": "batch"}}, 1),
    ],
)
def test_what_a_turn_was_is_known_from_the_run_and_not_from_its_words(
    tenant: UUID, query: str, outputs: dict[str, Any], scripts: int
) -> None:
    session_id = sessions.create(tenant, {})["session_id"]
    remember_turn(done(load_context={"query": query}, **outputs), context(tenant, session_id))
    loaded = load_context({"input": {"query": "第一个短一点"}}, context(tenant, session_id))
    assert len(loaded["scripts"]) == scripts
    assert [one["asked"] for one in loaded["scripts"]] == [query] * scripts
    assert "memory" not in sessions.get(tenant, session_id)


def test_the_kinds_of_turns_outlast_the_folding_of_older_ones(tenant: UUID) -> None:
    # Given a session whose turns have kinds, and so many that the older ones are folded
    session_id = sessions.create(tenant, {})["session_id"]
    for n in range(9):
        answered = {"answer": {"text": f"第{n}个答案。"}, "write": None, "clarify": {"intent": "ask"}}
        written = {"write": {"script": f"第{n}段。"}}
        state = done(load_context={"query": f"写第{n}段"}, **(answered if n % 2 else written))
        remember_turn(state, context(tenant, session_id))
    folded, turns = sessions.remembered(tenant, session_id)
    # Then the folded ones and those after them are told apart alike, and only the latter have a kind of their own
    assert folded["upto"] and [turn["kind"] for turn in turns if turn["role"] == "assistant"][-1] == "script"
    loaded = load_context({"input": {"query": "短一点"}}, context(tenant, session_id))
    assert [one["asked"] for one in loaded["scripts"]] == [f"写第{n}段" for n in range(0, 9, 2)]


# -- bans --------------------------------------------------------------------------------------------------------------


def test_a_ban_of_a_recent_turn_holds_until_the_word_is_wanted(tenant: UUID) -> None:
    # Given a session of few turns, none of them folded, in which a word was forbidden
    session_id = sessions.create(tenant, {})["session_id"]
    talk(tenant, session_id, ("写一段面霜的讲解，别提包邮", "看看这罐面霜。"), ("再来一段口红的", "看看这支口红。"))
    asking = {"input": {"query": "再来一段眼霜的"}}
    assert load_context(asking, context(tenant, session_id))["bans"] == ["包邮"]
    # When a later turn wants it said, then it is forbidden no more
    talk(tenant, session_id, ("再来一段，一定要提到包邮", "这罐包邮。"))
    assert load_context(asking, context(tenant, session_id))["bans"] == []
    # And when it is forbidden again, it is
    talk(tenant, session_id, ("再来一段，不要说包邮", "看看这罐。"))
    assert load_context(asking, context(tenant, session_id))["bans"] == ["包邮"]


def test_a_question_about_a_word_forbids_nothing(tenant: UUID) -> None:
    session_id = sessions.create(tenant, {})["session_id"]
    talk(tenant, session_id, ("直播间为什么不能说全网第一？", "广告法不让说。"))
    assert load_context({"input": {"query": "写一段"}}, context(tenant, session_id))["bans"] == []


def test_a_price_that_is_not_to_be_told_stays_unsaid_in_later_scripts(tenant: UUID) -> None:
    # Given a session in which the price was not to be told
    session_id = sessions.create(tenant, {})["session_id"]
    talk(tenant, session_id, ("写一段面霜的讲解，别提价格", "看看这罐面霜。"))
    # When scripts for a product with a price are written two turns later, by the rules and by a model that tells it
    told = "来，看看晨露水润精华。质地轻薄好推开，今天129元，关注一下。" + "脸干的朋友抹开看看。" * 3
    for models in (FakeModels(), FakeModels(answers=[told] * 3, languages=("zh",))):
        ctx = context(tenant, session_id)
        ctx.models, models.host = models, ctx
        done = Driven("script", {"query": "写一段水润精华的讲解"}, ctx)
        # Then neither word nor number is in it, and the other facts are
        assert "129" not in done.output["script"] and "价格" not in done.output["script"]
        assert "质地轻薄好推开" in done.output["script"]
        assert done.output["quality"]["passed"]
