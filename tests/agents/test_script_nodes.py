"""The script chain's nodes one after another: in Chinese and English, with an able, a weak, a failing and no model."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from agents.script.check_quality import check_quality
from agents.script.fetch_product import fetch_product
from agents.script.fetch_profile import fetch_profile
from agents.script.recognize_intent import recognize_intent
from agents.script.rewrite import rewrite
from agents.script.words import language_of, spoken_length
from agents.script.writer import write
from gateway.backend import Backend
from gateway.backends.models_file import Configuration
from gateway.models import Models
from gateway.request import Caller
from node import Final, Retry
from tests.agents.fakes import FakeContext, FakeModels

SEED_REQUEST = "帮我写一段618美妆直播开场话术，活泼一点"
ENGLISH_REQUEST = "Write a lively opening for a beauty livestream for the 618 festival"
STORY = "\n\n".join(
    [
        "Hello everyone, it is Emma, and our beauty live for the 618 festival is on!",
        "Does your skin feel dry as soon as the season changes? Mine does, so let's talk about it.",
        "I have put everything on the table, tell me in the chat what you want to see.",
        "Is your skin dry or oily? Write it down for me.",
        "Tap follow and stay, we are about to start!",
    ]
)


def run_to_draft(query: str, ctx: FakeContext, **wishes: Any) -> dict[str, Any]:
    """The state after `write` and the first check."""
    context: dict[str, Any] = {
        "query": query,
        "language": language_of(query),
        "wishes": wishes,
        "turns": [],
        "session_id": None,
    }
    state: dict[str, Any] = {"load_context": context}
    for node in (recognize_intent, fetch_profile, fetch_product, write, check_quality):
        state[node.name.split(".")[1]] = node(state, ctx)
    return state


def one_round(state: dict[str, Any], ctx: FakeContext) -> None:
    state["rewrite"] = rewrite(state, ctx)
    state["check_quality"] = check_quality(state, ctx)


# -- Chinese: no model here knows it, the rules write ----------------------------------------------------------------


def test_the_seeds_request_gets_a_lively_chinese_opening() -> None:
    # Given the session of the seed document, and no model that knows Chinese
    ctx = FakeContext(models=FakeModels(languages=("en",)))
    # When its request is written
    state = run_to_draft(SEED_REQUEST, ctx, influencer_name="小雅", category="美妆")
    # Then what it asked for was understood
    slots = state["recognize_intent"]["slots"]
    assert (slots["category"], slots["scene"], slots["tone"], slots["occasion"]) == ("beauty", "开场", "活泼", "618")
    assert state["fetch_profile"]["known"]
    # And the script says it, passes the check, and the run says that rules wrote it
    script = state["write"]["script"]
    assert all(word in script for word in ("小雅", "618", "美妆"))
    assert state["write"]["parts"][0]["kind"] == "opening"
    verdict = state["check_quality"]
    assert (verdict["passed"], verdict["score"], verdict["findings"]) == (True, 1.0, [])
    assert ctx.degraded == ["no model able in zh: rule-level writer"]
    assert "".join(ctx.tokens).strip() == script


def test_the_same_step_says_the_same_again_and_another_run_says_something_else() -> None:
    def script(run_id: str) -> str:
        ctx = FakeContext(run_id=run_id)
        return str(run_to_draft(SEED_REQUEST, ctx, influencer_name="小雅")["write"]["script"])

    assert script("one") == script("one")
    assert len({script(f"run {number}") for number in range(20)}) > 5


@pytest.mark.parametrize("tone", ["活泼", "专业", "亲切", "紧迫"])
@pytest.mark.parametrize("scene", ["开场", "单品", "促单", "互动", "收尾"])
@pytest.mark.parametrize("category", ["美妆", "食品", "服饰", "数码", "家居", "母婴", "车载香薰"])
def test_every_chinese_tone_scene_and_category_passes_its_own_check(tone: str, scene: str, category: str) -> None:
    ctx = FakeContext(run_id=f"{tone}{scene}{category}")
    state = run_to_draft("写一段直播话术", ctx, tone=tone, scene=scene, category=category)
    assert state["check_quality"]["findings"] == []
    assert category in state["write"]["script"]


def test_a_known_products_facts_stand_in_the_script_as_they_are() -> None:
    state = run_to_draft("专业地介绍一下水润精华", FakeContext())
    assert all(fact in state["write"]["script"] for fact in ("晨露水润精华", "129元", "30毫升"))


def test_a_product_of_the_requests_own_is_used_and_nothing_is_added() -> None:
    product = {"name": "云朵枕", "category": "home", "price": 199, "currency": "元", "selling_points": ["可水洗枕套"]}
    script = run_to_draft("写一段单品介绍", FakeContext(), product=product)["write"]["script"]
    assert "云朵枕" in script
    assert "199元" in script
    assert "可水洗枕套" in script


def test_an_unknown_product_is_named_and_nothing_is_claimed_about_it() -> None:
    state = run_to_draft("写一段「星河香薰」的讲解", FakeContext())
    assert not state["fetch_product"]["known"]
    assert "星河香薰" in state["write"]["script"]
    assert "价格是" not in state["write"]["script"]


@pytest.mark.parametrize(("seconds", "characters"), [(30, 120), (60, 240), (90, 360)])
def test_an_asked_length_is_about_met(seconds: int, characters: int) -> None:
    state = run_to_draft(f"写一段美妆开场，{seconds}秒，活泼", FakeContext(), influencer_name="小雅")
    assert 0.85 * characters <= spoken_length(state["write"]["script"], "zh") <= 1.15 * characters
    assert state["write"]["seconds"] == pytest.approx(seconds, rel=0.15)


def test_without_fallback_a_language_that_no_model_knows_is_a_failure() -> None:
    ctx = FakeContext(models=FakeModels(may_fall_back=False))
    with pytest.raises(Final) as failed:
        run_to_draft(SEED_REQUEST, ctx)
    assert failed.value.code == "no_able_model"


# -- English: a model writes -----------------------------------------------------------------------------------------


def test_an_able_model_writes_the_whole_script_and_viewers_see_it_grow() -> None:
    ctx = FakeContext(models=FakeModels(answers=[STORY], languages=("en",)))
    state = run_to_draft(ENGLISH_REQUEST, ctx, influencer_name="Emma")
    assert state["write"]["writer"] == "model"
    assert [part["kind"] for part in state["write"]["parts"]][:2] == ["opening", "pain_point"]
    assert state["check_quality"]["passed"]
    assert len(ctx.tokens) > 10
    assert ctx.degraded == []


@pytest.mark.parametrize("failure", [Retry("busy"), Final("no such model", code="model_not_found")])
def test_a_model_that_fails_gives_way_to_the_rules(failure: Exception) -> None:
    ctx = FakeContext(models=FakeModels(answers=[failure], languages=("en",)))
    state = run_to_draft(ENGLISH_REQUEST, ctx, influencer_name="Emma")
    assert state["write"]["writer"] == "rules"
    assert "Emma" in state["write"]["script"]
    assert "failed" in ctx.degraded[0]


def test_without_fallback_a_models_failure_stays_a_failure() -> None:
    ctx = FakeContext(models=FakeModels(answers=[Retry("busy")], languages=("en",), may_fall_back=False))
    with pytest.raises(Retry):
        run_to_draft(ENGLISH_REQUEST, ctx)


def test_a_claim_of_a_model_is_found_and_the_model_mends_it() -> None:
    # Given a model whose first script boasts, and whose second does not
    boast = STORY.replace("is on!", "is the best in the world!")
    ctx = FakeContext(models=FakeModels(answers=[boast, STORY], languages=("en",)))
    state = run_to_draft(ENGLISH_REQUEST, ctx, influencer_name="Emma")
    finding = state["check_quality"]["findings"][0]
    assert state["write"]["script"][finding["start"] : finding["end"]] == "the best"
    # When it is rewritten, told what is wrong
    one_round(state, ctx)
    assert "absolute claim" in ctx.models.calls[-1][0][-1]["content"]
    # Then it passes, and nothing was lost
    assert state["check_quality"]["passed"]
    assert state["rewrite"]["writer"] == "model"
    assert ctx.degraded == []


def test_a_model_that_goes_on_boasting_is_replaced_by_the_rules_in_the_second_round() -> None:
    boast = STORY.replace("is on!", "costs 5 dollars and it cures everything!")
    ctx = FakeContext(models=FakeModels(answers=[boast, boast], languages=("en",)))
    state = run_to_draft(ENGLISH_REQUEST, ctx, influencer_name="Emma")
    errors = [finding for finding in state["check_quality"]["findings"] if finding["severity"] == "error"]
    assert {finding["rule"] for finding in errors} == {"fact-number", "ad-law-17"}
    one_round(state, ctx)
    assert not state["check_quality"]["passed"]
    one_round(state, ctx)
    assert state["check_quality"]["passed"]
    assert state["rewrite"]["writer"] == "rules"
    assert state["rewrite"]["round"] == 2
    assert "failed the quality check" in ctx.degraded[0]


def test_a_weak_models_nonsense_is_left_out_part_by_part() -> None:
    # Given a weak model that says something sayable once, and made-up numbers ever after
    answers = ["I am so happy that you are here tonight, let us start.", *["only 999 left, buy 3 now."] * 20]
    ctx = FakeContext(models=FakeModels(answers=answers, languages=("en",), weak=True))
    state = run_to_draft(ENGLISH_REQUEST, ctx, influencer_name="Emma")
    assert {part["by"] for part in state["write"]["parts"]} == {"model", "rules"}
    assert "999" not in state["write"]["script"]
    assert state["check_quality"]["passed"]


@pytest.mark.parametrize(
    "query", [ENGLISH_REQUEST, "Write a professional pitch for TrailBuds", "A friendly opening for a snack livestream"]
)
def test_the_embedded_model_writes_english_for_real(embedded_model: Backend, query: str, tenant: UUID) -> None:
    ctx = FakeContext(tenant_id=str(tenant))
    ctx.models = Models(lambda: Configuration((embedded_model,)), Caller(tenant), ctx)
    state = run_to_draft(query, ctx, influencer_name="Emma")
    assert state["write"]["writer"] == "model"
    assert state["check_quality"]["passed"], state
    assert ctx.degraded == []


# -- Rewrites of what the rules wrote --------------------------------------------------------------------------------


def test_a_boast_in_the_products_own_facts_is_not_said() -> None:
    product = {"name": "云朵枕", "category": "home", "selling_points": ["全网最低价", "可水洗枕套"]}
    state = run_to_draft("写一段单品介绍", FakeContext(), product=product)
    assert "可水洗枕套" in state["write"]["script"]
    assert "最低" not in state["write"]["script"]
    assert state["check_quality"]["passed"]


def test_a_boast_that_the_request_wants_said_is_said_found_and_replaced() -> None:
    # Given a request that insists on a boast
    product = {"name": "云朵枕", "category": "home", "selling_points": ["可水洗枕套"]}
    ctx = FakeContext()
    state = run_to_draft("写一段单品介绍", ctx, product=product, must_say=["全网最低价"])
    assert [finding["text"] for finding in state["check_quality"]["findings"]] == ["全网最低价"]
    # When it is rewritten, the lawful words stand there
    one_round(state, ctx)
    assert state["check_quality"]["passed"]
    assert "直播间优惠价" in state["rewrite"]["script"]
    assert state["rewrite"]["changes"][0]["rule"] == "ad-law-9.3"
