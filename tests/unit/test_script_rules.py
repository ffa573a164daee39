"""The quality rules on single lines: what must not be said, what merely looks like it, and where a finding stands."""

from __future__ import annotations

import pytest

from agents.script.brief import Brief
from agents.script.quality.shape import wrong_length
from agents.script.recognize_intent import length_seconds, subject_of, understand
from agents.script.rules import check_words
from agents.script.words import Language, language_of, spoken_length


def brief(language: Language = "zh", **changes: object) -> Brief:
    facts = dict.fromkeys(
        (
            "creator",
            "catch_phrase",
            "product",
            "price",
            "currency",
            "offer",
            "specification",
            "occasion",
            "platform",
            "audience",
        )
    )
    given: dict[str, object] = {
        "query": "q", "language": language, "intent": "generate", "scene": "开场", "tone": "活泼", "category": "beauty",
        "facts": {**facts, "category": "美妆"}, "points": (), "banned": ("白菜价",), "style": None,
        "target_length": None, "turns": (),
    }  # fmt: skip
    return Brief(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("这是全网最低价", "全网最低价"),
        ("我们家销量第一", "销量第一"),
        ("这是最好用的面霜", "最好"),
        ("国家级的工艺", "国家级"),
        ("100%有效", "100%"),
        ("可以治疗失眠", "治疗失眠"),
        ("真的是白菜价", "白菜价"),
    ],
)
def test_what_must_not_be_said_is_found_where_it_stands(line: str, word: str) -> None:
    findings = check_words(line, brief())
    assert [line[finding["start"] : finding["end"]] for finding in findings] == [word]


@pytest.mark.parametrize(
    "line", ["最后提醒大家一次", "第一步先清洁", "最近很多姐妹问我", "最多拍两件", "第一次来的朋友", "最终价格看页面"]
)
def test_innocent_uses_are_not_found(line: str) -> None:
    assert check_words(line, brief()) == []


@pytest.mark.parametrize(
    ("line", "count"), [("It is the best serum.", 1), ("A bestial roar, bested.", 0), ("It cures acne.", 1)]
)
def test_english_words_are_whole_words(line: str, count: int) -> None:
    assert len(check_words(line, brief("en"))) == count


def test_a_products_own_name_is_no_claim() -> None:
    named = brief(facts={**brief().facts, "product": "明星同款面霜"})
    assert check_words("来一瓶明星同款面霜", named) == []


@pytest.mark.parametrize("fact", ["product", "creator", "category"])
@pytest.mark.parametrize(("name", "family"), [("全网最低价", "absolute"), ("治疗失眠", "medical")])
def test_no_name_and_no_free_text_excuses_a_boast_or_a_cure(fact: str, name: str, family: str) -> None:
    # Given a name or a category that is a boast itself
    named = brief(facts={**brief().facts, fact: name})
    # When a script says it, then it is found as it is without the name
    assert [one["family"] for one in check_words(f"这里有{name}", named)] == [family]


def test_a_models_number_must_be_a_fact() -> None:
    known = brief("en", points=("24 hours of battery",))
    assert check_words("It has 24 hours of battery.", known) == []
    assert [f["rule"] for f in check_words("It has 48 hours of battery.", known)] == ["fact-number"]


def test_a_script_far_from_the_asked_length_is_found() -> None:
    assert list(wrong_length("太短了", brief(target_length=200)))


@pytest.mark.parametrize(
    ("query", "intent"),
    [
        ("帮我写一段618美妆直播开场话术，活泼一点", "generate"),
        ("再来一段", "continue"),
        ("把第二段短一点", "modify"),
        ("Write a lively opening for a beauty livestream", "generate"),
        ("Make it shorter, please", "modify"),
    ],
)
def test_intents_are_told_apart(query: str, intent: str) -> None:
    assert understand(query, language_of(query), {})["intent"] == intent


def test_what_a_request_says_beats_what_the_session_wished() -> None:
    slots = understand("换成专业一点的食品话术", "zh", {"category": "美妆", "tone": "活泼"})["slots"]
    assert (slots["category"], slots["tone"]) == ("food", "专业")


def test_an_english_request_in_a_chinese_session_speaks_of_its_category_in_english() -> None:
    assert understand("Write an opening", "en", {"category": "美妆"})["slots"]["category_label"] == "beauty"


@pytest.mark.parametrize(
    ("query", "seconds"), [("30秒的", 30), ("一分钟", 60), ("60 seconds", 60), ("two minutes", 120), ("短点", None)]
)
def test_lengths_are_read(query: str, seconds: int | None) -> None:
    assert length_seconds(query) == seconds


def test_a_category_that_nobody_listed_is_taken_from_the_request() -> None:
    assert subject_of("写一段车载香薰的直播开场") == "车载香薰"
    assert subject_of("Write an opening for a garden tools livestream") == "garden tools"


def test_spoken_length_counts_characters_or_words() -> None:
    assert spoken_length("你好，618！", "zh") == 5
    assert spoken_length("Don't stop, 618 fans!", "en") == 4
