"""Requests understood: the labelled sets by the rules alone, what a model may add, and what it may not make up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from agents.script.data import FOLDER
from agents.script.intent.reference import Script
from agents.script.recognize_intent import recognize_intent, understand
from agents.script.words import language_of
from evals import intent
from node import Retry
from tests.agents.fakes import FakeContext, FakeModels

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    Script(turn=2, run_id="r1", asked="写一段面霜的讲解", text="看看这罐面霜。\n一推就化。\n早晚都能用。", items=3),
    Script(turn=4, run_id="r2", asked="再来一段口红的", text="看看这支口红。\n推开是润的。", items=2),
]


def context(query: str, scripts: list[Script] | None = None, **wishes: Any) -> dict[str, Any]:
    """What `load_context` hands over."""
    return {
        "load_context": {
            "query": query,
            "language": language_of(query),
            "wishes": wishes,
            "scripts": [vars(script) for script in scripts or []],
        }
    }


def by_model(query: str, answer: Any, scripts: list[Script] | None = None, **models: Any) -> dict[str, Any]:
    """A request read by a model that answers this."""
    fake = FakeModels(objects={"IntentSchema": [answer]}, languages=("zh", "en"), **models)
    return dict(recognize_intent(context(query, scripts), FakeContext(models=fake)))


def found(slot: str, value: str, quote: str | None = None) -> dict[str, str]:
    return {"slot": slot, "value": value, "quote": value if quote is None else quote}


# -- the sets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "lines"), [("tune", 200), ("held_out", 120)])
def test_the_rules_alone_pass_the_labelled_sets(name: str, lines: int) -> None:
    row = next(row for row in intent.run() if row["set"] == f"intent/{name}")
    assert row["lines"] >= lines
    assert row["accuracy"] >= 0.9, row
    assert row["slot_f1"] >= 0.85, row
    assert row["references"] >= 0.9, row


def test_a_wrong_value_counts_twice_and_a_wrong_class_once() -> None:
    # Given a line whose label says something else than any reader would
    judged = intent.judge({"say": "写一段口红的讲解，30秒", "class": "ask", "slots": {"length_seconds": 45}})
    # Then the length is wrong and missing, and the class is wrong
    assert not judged.class_right
    assert ("length_seconds", "45") in judged.missing
    assert ("length_seconds", "30") in judged.wrong


def is_sentence(line: str) -> bool:
    """Whether a line is more than a phrase that the lexicon must have."""
    return len(line) > 4 if language_of(line) == "zh" else len(line.split()) > 2


def test_no_line_of_a_set_stands_in_the_code_or_the_lexicon_or_the_other_set() -> None:
    files = [*(ROOT / "agents" / "script").rglob("*.py"), *FOLDER.rglob("*.yaml")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files).lower()
    said = {name: [str(line["say"]) for line in intent.lines(name)] for name in intent.SETS}
    # 谢谢 and "go on" are lines and words at once, and a word has to be known to be read: sentences are looked for.
    sentences = [line for lines in said.values() for line in lines if is_sentence(line)]
    assert len(sentences) > 270
    assert [line for line in sentences if line.lower() in code] == []
    assert set(said["tune"]).isdisjoint(said["held_out"])
    assert all(len(set(one)) == len(one) for one in said.values())


# -- slots and references ----------------------------------------------------------------------------------------------


def test_a_continuation_keeps_what_its_script_was_about() -> None:
    # Given a script in a tone and for a platform
    first = Script(turn=2, run_id="r1", asked="抖音卖口红，专业一点，30秒", text="看看这支口红。", items=1)
    # When another one is wanted for another product
    seen = understand("再来一个面膜的", "zh", {}, [first])
    # Then only the product is another
    assert seen["class"] == seen["intent"] == "continue"
    slots = seen["slots"]
    assert (slots["product"], slots["platform"], slots["tone"], slots["length_seconds"]) == ("面膜", "抖音", "专业", 30)
    assert seen["said"] == {"product": "面膜", "category": "beauty"}


def test_a_request_points_to_the_script_and_the_part_that_it_counts() -> None:
    assert understand("第一个短一点", "zh", {}, SCRIPTS)["reference"] == {
        "run_id": "r1",
        "turn": 2,
        "item": None,
        "change": {"length": "shorter"},
    }
    seen = understand("第二段换成专业的语气", "zh", {}, SCRIPTS)["reference"]
    assert (seen["run_id"], seen["item"], seen["change"]) == ("r2", 2, {"tone": "专业"})


def test_a_request_for_something_new_points_to_nothing() -> None:
    assert understand("写一段眼霜的讲解", "zh", {}, SCRIPTS)["reference"] is None


def test_a_change_without_a_name_is_kept_as_a_wish() -> None:
    assert understand("价格改成88", "zh", {}, SCRIPTS)["reference"]["change"] == {"wish": "价格改成88"}


def test_a_chinese_wish_for_an_english_script_has_the_labels_of_english() -> None:
    # Given a request in Chinese for a script in English
    seen = understand("写一段口红的开场，活泼一点，双11", "en", {})
    # Then it is read as Chinese, and what the script's templates hang on is English
    slots = seen["slots"]
    assert (slots["scene"], slots["tone"], slots["occasion"]) == ("opening", "lively", "Singles' Day")
    assert (slots["product"], slots["category_label"]) == ("口红", "beauty")


def test_wishes_of_the_session_fill_what_the_request_does_not_say() -> None:
    slots = understand("写一段开场", "zh", {"platform": "抖音", "tone": "像朋友一样", "audience": "钓鱼的人"})["slots"]
    assert (slots["platform"], slots["tone"], slots["audience"]) == ("抖音", "亲切", "钓鱼的人")


@pytest.mark.parametrize(
    ("query", "kept"),
    [("写一段云朵枕的开场", True), ("介绍一下风扇", False), ("写一段口红的讲解", False)],
)
def test_a_product_with_facts_stays_unless_another_is_named(query: str, kept: bool) -> None:
    product = {"name": "云朵枕", "price": 199}
    assert (understand(query, "zh", {"product": product})["slots"]["product"] == product) is kept


def test_words_to_say_are_not_read_as_anything_else() -> None:
    # Given words to be left out that would be a tone, a class and a product anywhere else
    seen = understand("写一段面霜的讲解，不要说「抢口红再来一段」", "zh", {})
    assert (seen["class"], seen["slots"]["product"], seen["slots"]["tone"]) == ("generate", "面霜", None)
    assert seen["slots"]["must_not_say"] == ["抢口红再来一段"]


DIGITS = ("9" * 400, "①", "²", "٣", "一" * 5000, "1" * 5000, "0")


@pytest.mark.parametrize(
    "query",
    [
        "", "？？", "👍", "a" * 4000, "的" * 4000, "写" * 2000, "第" * 500 + "一", *DIGITS,
        *(text.format(digits) for digits in DIGITS for text in ("第{}个短一点", "倒数第{}段删掉", "写{}秒的开场")),
    ],
)  # fmt: skip
def test_any_text_is_read(query: str) -> None:
    assert understand(query, language_of(query), {}, SCRIPTS)["class"]


@pytest.mark.parametrize("words", ["口红", "婴儿口红和", "太活泼", "「口红」", "lipstick ", "too lively "])
def test_a_long_text_is_read_quickly(words: str) -> None:
    # Given a text that is nothing but marks of one kind, three times as long as an answer may be
    text = (words * 12_000)[:12_000]
    # When it is read, then no mark copies the whole text or reads it again: of 口红 that took five seconds
    began = time.process_time()
    understand(text, language_of(text), {}, [])
    assert time.process_time() - began < 2.0


# -- a model -----------------------------------------------------------------------------------------------------------


def test_a_model_understands_what_no_rule_does() -> None:
    # Given a sentence that names an audience in words that no list has
    slots = [found("audience", "中老年", "退休的街坊"), found("product", "护膝")]
    seen = by_model("给退休的街坊讲讲护膝", {"intent": "generate", "slots": slots, "confidence": 0.99})
    # Then its reading counts, with the lexicon's label
    assert (seen["source"], seen["confidence"]) == ("model", 0.95)
    assert (seen["slots"]["audience"], seen["slots"]["product"]) == ("中老年", "护膝")
    assert understand("给退休的街坊讲讲护膝", "zh", {})["slots"]["audience"] is None


def test_what_a_model_makes_up_is_dropped() -> None:
    made_up = [
        found("platform", "抖音", "抖音"),  # a quote that nobody said
        found("tone", "霸气", "面霜"),  # no label
        found("product", "雪域面霜", "面霜"),  # a name that nobody said
        found("length_seconds", "60", "30秒"),  # another number
        found("must_say", "买一送一", "讲解"),
        found("scene", "单品", "讲解"),  # this one stands there
    ]
    seen = by_model("写一段面霜的讲解，30秒", {"intent": "generate", "slots": made_up})
    assert seen["said"] == {"scene": "单品", "length_seconds": 30}
    assert seen["slots"]["must_say"] == []


def test_a_ban_that_a_model_overlooks_is_kept() -> None:
    seen = by_model("写一段面霜的讲解，别说美白", {"intent": "generate", "slots": []})
    assert (seen["source"], seen["slots"]["must_not_say"]) == ("model", ["美白"])


def test_a_model_points_to_a_script_that_there_is_or_to_what_the_rules_say() -> None:
    there = by_model(
        "上次那个润的，改改", {"intent": "modify", "script": 1, "item": 2, "changes": ["shorter"]}, SCRIPTS
    )
    assert (there["reference"]["run_id"], there["reference"]["item"]) == ("r1", 2)
    assert there["reference"]["change"]["length"] == "shorter"
    nowhere = by_model("短一点", {"intent": "modify", "script": 9, "item": 9}, SCRIPTS)
    assert (nowhere["reference"]["run_id"], nowhere["reference"]["item"]) == ("r2", None)


@pytest.mark.parametrize("failure", [Retry("busy"), {"intent": "sing"}, {"slots": []}])
def test_a_model_that_fails_gives_way_to_the_rules(failure: Any) -> None:
    seen = by_model("写一段面霜的讲解，30秒", failure)
    assert (seen["source"], seen["slots"]["length_seconds"]) == ("rules", 30)


def test_a_weak_model_is_not_asked() -> None:
    fake = FakeModels(objects={"IntentSchema": []}, languages=("zh",), weak=True)
    assert recognize_intent(context("写一段开场"), FakeContext(models=fake))["source"] == "rules"
    assert fake.calls == []


def test_the_session_and_the_request_reach_the_model_apart() -> None:
    fake = FakeModels(objects={"IntentSchema": [{"intent": "modify"}]}, languages=("zh",))
    recognize_intent(context("第一个短一点", SCRIPTS), FakeContext(models=fake))
    (system, user), options = fake.calls[0][0], fake.calls[0][1]
    assert "再来一段口红的" in system["content"] and "紧迫" in system["content"]
    assert user == {"role": "user", "content": "第一个短一点"}
    assert options["temperature"] == 0.0 and options["max_tokens"] <= 500
