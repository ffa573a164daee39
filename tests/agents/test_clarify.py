"""What is asked before a script is written: only what cannot be guessed, once, with choices and a friendly end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agents.script import clarify as clarify_module
from agents.script.clarify import clarify, understood
from agents.script.intent.reference import Script
from agents.script.questions import MOST_CHARACTERS
from agents.script.recognize_intent import recognize_intent
from agents.script.words import language_of
from node import Pause
from tests.agents.fakes import FakeContext

CREAM = Script(turn=2, run_id="r1", asked="写一段面霜的讲解", text="看看这罐面霜。\n早晚都能用。", items=2)
PAN = Script(turn=4, run_id="r2", asked="写一段不粘锅的讲解", text="看看这口不粘锅。\n冷锅也不怕粘。", items=2)
PASTED = (
    "大家好，欢迎来到我的直播间，今天给大家带来一款特别好用的保温杯，早上灌的水晚上还是热的，"
    "容量五百毫升，出门带着正合适，喜欢的朋友可以点一下小黄车看看详情。"
)


@dataclass
class Ledgered(FakeContext):
    """A context whose effects are done once, whatever the attempt, as the engine's ledger has it."""

    ledger: dict[str, str] = field(default_factory=dict)

    def effect(self, name: str, kind: Any, request: Any, call: Callable[[str], Any]) -> Any:
        if name not in self.ledger:
            self.ledger[name] = json.dumps(call(name))
        return json.loads(self.ledger[name])


def state(query: str, *scripts: Script, **wishes: Any) -> dict[str, Any]:
    """What the steps before hand over."""
    context = {
        "query": query,
        "language": language_of(query),
        "wishes": wishes,
        "scripts": [vars(script) for script in scripts],
    }
    return {
        "load_context": context,
        "recognize_intent": dict(recognize_intent({"load_context": context}, FakeContext())),
    }


def question(query: str, *scripts: Script, **wishes: Any) -> Pause:
    """The question that a request leads to."""
    with pytest.raises(Pause) as asked:
        clarify(state(query, *scripts, **wishes), Ledgered())
    return asked.value


def answer(given: Any, query: str, *scripts: Script, **wishes: Any) -> dict[str, Any]:
    """What comes out when a request's question is answered."""
    question(query, *scripts, **wishes)
    return dict(clarify(state(query, *scripts, **wishes), Ledgered(answer=given, attempt=2)))


# -- what is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("短一点", "no_script"),
        ("Make it shorter", "no_script"),
        ("继续", "nothing_to_continue"),
        ("批量写话术", "which_products"),
        ("介绍一下这款产品", "which_product"),
        ("Describe this product", "which_product"),
    ],
)
def test_what_cannot_be_guessed_is_asked_with_choices(query: str, kind: str) -> None:
    asked = question(query)
    assert (asked.kind, asked.details["asks"], asked.on_timeout) == ("question", kind, "again")
    assert len(asked.details["choices"]) >= 2
    assert all(choice["id"] and choice["text"] for choice in asked.details["choices"])
    assert language_of(asked.question) == language_of(query)


@pytest.mark.parametrize(
    ("query", "scripts", "wishes"),
    [
        ("写一段直播开场", (), {}),
        ("来一段促单", (), {}),
        ("介绍一下这款产品", (), {"product": "云朵枕"}),
        ("讲解一下我们的产品", (), {"category": "美妆"}),
        ("短一点", (CREAM, PAN), {}),
        ("改一下价格，写成99", (CREAM,), {}),
        ("再来一个口红的", (), {}),
        ("口红和腮红各写一段", (), {}),
        ("给所有商品都写一段", (), {}),
        ("怎么留人", (), {}),
        ("你好", (), {}),
    ],
)
def test_what_can_be_guessed_goes_straight_through(query: str, scripts: Any, wishes: Any) -> None:
    given = state(query, *scripts, **wishes)
    out = clarify(given, Ledgered())
    assert (out["goes_on"], out["asked"], out["message"], out["query"]) == (True, None, None, query)
    assert {name: out[name] for name in given["recognize_intent"]} == given["recognize_intent"]


def test_an_ambiguous_pointer_lists_the_sessions_scripts_the_newest_first() -> None:
    asked = question("之前那个再短一点", CREAM, PAN)
    assert asked.details["asks"] == "which_script"
    assert [choice["id"] for choice in asked.details["choices"]] == ["script-2", "script-1", "stop"]
    assert "不粘锅" in asked.details["choices"][0]["text"]


def test_a_change_that_says_nothing_is_asked_about() -> None:
    assert question("改一下", CREAM).details["asks"] == "what_change"


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["script-1", {"choice": "script-1"}, "2", {"text": "面霜那个"}, "第一个"])
def test_an_answer_is_a_choice_a_number_or_words(given: Any) -> None:
    out = answer(given, "之前那个再短一点", CREAM, PAN)
    assert (out["goes_on"], out["asked"]) == (True, "which_script")
    assert (out["reference"]["run_id"], out["reference"]["turn"]) == ("r1", 2)
    assert out["reference"]["change"] == {"length": "shorter"}
    assert out["slots"]["product"] == "面霜"
    assert understood({"clarify": out, "recognize_intent": {}}) is out


@pytest.mark.parametrize("given", ["②", "２", " 2 ", "2", 2, {"choice": 2}, "SCRIPT-1", "ｓｃｒｉｐｔ-1"])
def test_a_number_is_a_number_however_it_is_written(given: Any) -> None:
    assert answer(given, "之前那个再短一点", CREAM, PAN)["reference"]["run_id"] == "r1"


@pytest.mark.parametrize(
    "given", ["⑨", "²²²", "٣", "①①①", "½", "9" * 5000, 10**5000, -(10**5000), "第" + "9" * 400 + "个"], ids=range(9)
)
@pytest.mark.parametrize("query", ["之前那个再短一点", "改一下", "批量写话术", "介绍一下这款产品", "短一点"])
def test_a_number_of_no_choice_fails_no_run(given: Any, query: str) -> None:
    scripts = () if query == "短一点" else (CREAM, PAN)
    assert answer(given, query, *scripts)["goes_on"] in (True, False)


def test_an_answer_is_cut_at_a_length() -> None:
    # Given an answer of some megabytes, then only its beginning is read and kept
    out = answer({"text": "口红" * 2_000_000}, "介绍一下这款产品")
    assert out["goes_on"] and out["answer"] == "口红" * (MOST_CHARACTERS // 2)


def test_a_pasted_script_is_what_gets_changed() -> None:
    out = answer(PASTED, "短一点")
    assert (out["class"], out["reference"]["text"], out["reference"]["change"]) == (
        "modify",
        PASTED,
        {"length": "shorter"},
    )


def test_a_new_script_instead_of_a_change() -> None:
    assert answer("new", "活泼一点，改一下")["class"] == "generate"
    out = answer({"text": "那就写一段口红的开场"}, "短一点")
    assert (out["class"], out["slots"]["product"], out["slots"]["scene"]) == ("generate", "口红", "开场")


@pytest.mark.parametrize(
    ("given", "change"),
    [("shorter", {"length": "shorter"}), ("换个语气", {"tone": "other"}), ("专业一点", {"tone": "专业"})],
)
def test_the_answer_says_what_to_change(given: str, change: dict[str, str]) -> None:
    out = answer(given, "改一下", CREAM)
    assert out["reference"]["change"] == change
    assert out["reference"]["run_id"] == "r1"


def test_the_answer_names_the_products_of_a_batch() -> None:
    assert answer("口红、手工皂和云朵枕", "批量写话术")["slots"]["products"] == ["口红", "手工皂", "云朵枕"]
    assert answer("session", "批量写话术", CREAM, PAN)["slots"]["products"] == ["不粘锅", "面霜"]
    assert answer("catalogue", "批量写话术")["slots"]["catalogue"] is True
    assert answer("lipstick, soap and candle", "Batch scripts please")["slots"]["products"] == [
        "lipstick",
        "soap",
        "candle",
    ]


def test_an_answer_is_remembered_as_it_reads() -> None:
    assert answer("beauty", "介绍一下这款产品")["answer"] == "美妆"


@pytest.mark.parametrize(
    ("given", "product", "category"),
    [("云朵枕", "云朵枕", "home"), ("beauty", None, "beauty"), ("卖口红的", "口红", "beauty")],
)
def test_the_answer_names_the_product(given: str, product: str | None, category: str) -> None:
    slots = answer(given, "介绍一下这款产品")["slots"]
    assert (slots["product"], slots["category"]) == (product, category)


def test_another_request_instead_of_an_answer_is_taken_as_one() -> None:
    out = answer("帮我写一段口红的开场", "之前那个再短一点", CREAM, PAN)
    assert (out["class"], out["slots"]["product"], out["reference"]) == ("generate", "口红", None)


@pytest.mark.parametrize("given", ["stop", "先不写了", "算了吧", "", {}])
def test_who_does_not_want_to_go_on_is_let_go_kindly(given: Any) -> None:
    out = answer(given, "批量写话术")
    assert not out["goes_on"]
    assert language_of(out["message"]) == "zh"


# -- once, and for a while ---------------------------------------------------------------------------------------------


def test_it_is_asked_once_and_ends_kindly_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a question that was asked and never answered
    ctx = Ledgered()
    with pytest.raises(Pause) as asked:
        clarify(state("批量写话术"), ctx)
    waited = float(asked.value.timeout_seconds or 0)
    assert 0 < waited <= clarify_module.wait_seconds()
    # When the step runs again after that time
    later = clarify_module.time.time() + waited
    monkeypatch.setattr(clarify_module.time, "time", lambda: later)
    out = clarify(state("批量写话术"), ctx)
    # Then it does not ask again, and says so
    assert (out["goes_on"], out["asked"]) == (False, "which_products")
    assert out["message"]
    assert ctx.degraded == ["nobody answered the question 'which_products' in time"]


def test_an_attempt_that_died_before_it_asked_does_not_count_as_asking() -> None:
    # Given a second attempt that finds nothing in the ledger, then it asks
    with pytest.raises(Pause):
        clarify(state("批量写话术"), Ledgered(attempt=2))


def test_an_attempt_that_died_after_it_asked_waits_only_for_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a worker that died between the ledger's row and the pause
    ctx = Ledgered()
    with pytest.raises(Pause) as first:
        clarify(state("批量写话术"), ctx)
    soon = clarify_module.time.time() + 60
    monkeypatch.setattr(clarify_module.time, "time", lambda: soon)
    # When the next attempt asks
    with pytest.raises(Pause) as second:
        clarify(state("批量写话术"), ctx)
    # Then the minute is taken off
    assert second.value.timeout_seconds == pytest.approx(float(first.value.timeout_seconds or 0) - 60, abs=2)
