"""The model writer: what a model is told, how its answer becomes parts, and what is added when a wish is unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from agents.script.brief import Brief
from agents.script.data import FOLDER
from agents.script.model_writer import write_by_model
from agents.script.writer import write
from agents.script.writing import prompts
from agents.script.writing.marks import parts_in
from agents.script.writing.speech import VERTICALS
from node import Retry
from tests.agents.fakes import FakeContext, FakeModel, FakeModels
from tests.agents.test_rule_writer import PRODUCTS, brief_for
from tests.agents.test_script_nodes import run_to_draft

MARKED = """【开场】
大家好，今天聊聊食品。
坐下来慢慢看。
【痛点】下午嘴巴总寂寞。
【产品】
这款是南窗三号。
【行动】
合适再带走。"""


def told(brief: Brief) -> str:
    """The request that a model gets for a brief."""
    return prompts.request_prompt(brief)


def model_says(answer: str, brief: Brief) -> tuple[list[dict[str, Any]], FakeContext]:
    ctx = FakeContext(models=FakeModels(answers=[answer], languages=("zh", "en")))
    parts = write_by_model(brief, FakeModel(languages=("zh", "en")), ctx)
    return [dict(part) for part in parts], ctx


def test_each_fact_is_told_with_its_field() -> None:
    product = {**PRODUCTS["zh"], "ingredients": ["水", "糖", "盐", "茶叶"], "extra": {"保质期": "90天"}}
    request = told(brief_for("zh", "food", product))
    for line in ("事实[name]：南窗三号", "事实[price]：78.5元", "事实[specification]：两件一盒",
                 "事实[offer]：满两盒减八元",
                 "事实[selling_points]：外壳磨砂", "事实[origin]：福建泉州", "事实[ingredients]：水、糖、盐、茶叶",
                 "事实[extra.保质期]：90天"):  # fmt: skip
        assert line in request.splitlines()


def test_a_request_tells_wishes_bans_platform_occasion_and_length() -> None:
    brief = brief_for(
        "en", "food", None, must_say=["we pack by hand"], must_not_say=["cheap"], banned=["dirt"], platform="TikTok",
        occasion="Christmas", length_seconds=40, tone="lively", phrases=["here we go"],
    )  # fmt: skip
    request = told(brief)
    for text in ("word for word: we pack by hand", "must not occur: dirt, cheap", "Platform: TikTok",
                 "Occasion: Christmas", "about 100 words, 40 seconds", "Tone: lively", "here we go",
                 "There are no product facts", "[Opening] [Pain point]"):  # fmt: skip
        assert text in request


@pytest.mark.parametrize("language", ["zh", "en"])
def test_each_vertical_has_a_prompt_of_its_own_with_a_version(language: str) -> None:
    requests = {name: told(brief_for(language, name)) for name in VERTICALS}
    assert len({request.splitlines()[0] for request in requests.values()}) == len(VERTICALS)
    for name in VERTICALS:
        assert prompts.version_of(brief_for(language, name)).startswith(f"script/{language}/{name}@20")
    for path in (FOLDER / "prompts" / language).glob("*.j2"):
        assert prompts.declared(f"{language}/{path.name}")


def test_a_category_that_no_prompt_knows_gets_the_general_one() -> None:
    assert prompts.version_of(brief_for("zh", "车载香薰")).startswith("script/zh/general@")


def test_requests_of_one_vertical_begin_alike() -> None:
    one, other = told(brief_for("zh", "food", PRODUCTS["zh"], tone="活泼")), told(brief_for("zh", "food", tone="专业"))
    shared = next(at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    assert "这是食品" in one[:shared]
    assert "痛点" in one[:shared]


def test_a_marked_answer_becomes_named_parts_and_viewers_see_it_grow() -> None:
    parts, ctx = model_says(MARKED, brief_for("zh", "food", PRODUCTS["zh"]))
    assert [part["kind"] for part in parts] == ["opening", "pain_point", "product", "call_to_action"]
    assert parts[0]["text"] == "大家好，今天聊聊食品。坐下来慢慢看。"
    assert not any("【" in part["text"] for part in parts)
    assert "".join(ctx.tokens) == MARKED
    assert len(ctx.tokens) > 5


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ("[Opening]\nHi.\n\n[Call to action]\nBye now.", ["opening", "call_to_action"]),
        ("**[Opening]** Hi.\n## [Encore]: More.", ["opening", "body"]),
        ("Sure!\n[Opening] Hi.", ["body", "opening"]),
        ("One.\n\nTwo.", ["opening", "farewell"]),
        ("One.\n\nTwo.\n\nThree.", ["body", "body", "body"]),
        ("[Opening]\n\n[Farewell]\nBye.", ["farewell"]),
        ("", []),
    ],
)
def test_marks_are_read_as_models_write_them(answer: str, kinds: list[str]) -> None:
    assert [part["kind"] for part in parts_in(answer, "en", ["opening", "farewell"])] == kinds


def test_an_empty_answer_is_a_failure_that_may_pass() -> None:
    with pytest.raises(Retry):
        model_says("  \n", brief_for("zh"))


def test_what_the_model_left_unsaid_is_added_by_rule_and_what_it_said_is_not() -> None:
    brief = brief_for("zh", "food", PRODUCTS["zh"], must_say=["坐下来慢慢看", "这一批是新茶"])
    parts, ctx = model_says(MARKED, brief)
    text = "\n".join(part["text"] for part in parts)
    assert text.count("坐下来慢慢看") == 1
    assert text.count("这一批是新茶") == 1
    assert "这一批是新茶" in parts[-2]["text"]
    assert "这一批是新茶" in "".join(ctx.tokens)


def test_every_part_is_timed_by_how_long_it_takes_to_say() -> None:
    # Given the writer's output, by a model and by the rules
    able = FakeContext(models=FakeModels(answers=[MARKED], languages=("zh",)))
    for ctx in (able, FakeContext()):
        state = run_to_draft("写一段60秒的食品开场", ctx)
        parts = state["write"]["parts"]
        # Then each part has its seconds, and together they are the script's
        assert all(part["seconds"] > 0 for part in parts)
        assert sum(part["seconds"] for part in parts) == pytest.approx(state["write"]["seconds"], abs=1)
    assert state["write"]["seconds"] == pytest.approx(60, rel=0.15)


def test_the_prompts_version_and_room_for_the_answer_go_along() -> None:
    _, ctx = model_says(MARKED, brief_for("zh", "food", length_seconds=600))
    options = ctx.models.calls[0][1]
    assert options["prompt_version"].startswith("script/zh/food@")
    assert options["max_tokens"] >= 2400


def test_a_question_that_was_answered_counts_before_the_first_understanding() -> None:
    # Given a run whose request was completed by an answer
    ctx = FakeContext()
    state = run_to_draft("写一段直播话术", ctx)
    asked = state["recognize_intent"]
    state["clarify"] = {**asked, "slots": {**asked["slots"], "tone": "紧迫"}}
    # When it is written, the answer holds
    assert write(state, ctx)["tone"] == "紧迫"
