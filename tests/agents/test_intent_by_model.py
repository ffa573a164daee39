"""The model's way of reading a request, with a model that knows every label: what is lost on it is the way's fault.

The oracle is a server of the OpenAI protocol behind the real gateway. It answers each line of the labelled sets with
its own label, in the JSON that it is asked for; with noise it makes the mistakes that models make.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from agents.script.data import load
from agents.script.intent.by_model import IntentSchema
from agents.script.intent.marks import LABELLED, normal
from agents.script.words import language_of
from evals import intent
from evals.intent import Door, by_one_model
from gateway import breaker
from gateway.backend import Backend
from storage import broker
from storage.tables import uuid7
from tests.agents.fault_proxy import FaultProxy

LINES: dict[str, Any] = {line["say"]: line for name in intent.SETS for line in intent.lines(name)}
PLACES = {say: at for at, say in enumerate(LINES)}
ONE_IN = 10  # lines that a noisy oracle gives another class
CHANGES = {
    ("length", "shorter"): "shorter",
    ("length", "longer"): "longer",
    ("tone", "other"): "other tone",
    ("wording", "other"): "other wording",
    ("wording", "polish"): "polish",
    ("wording", "drop"): "drop",
    ("language", "zh"): "in Chinese",
    ("language", "en"): "in English",
}


def label_of(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The labelled line that a request is about, and its place among all."""
    say = asked["messages"][1]["content"]
    return PLACES[say], LINES[say]


def answer_for(line: dict[str, Any]) -> dict[str, Any]:
    """A line's label as a model would say it; each slot quotes the whole line."""
    slots = line.get("slots") or {}
    values = [(name, one) for name, value in slots.items() for one in (value if isinstance(value, list) else [value])]
    back = line.get("reference") or {}
    return {
        "intent": line["class"],
        "slots": [
            {"slot": "product" if name == "products" else name, "value": str(value), "quote": line["say"]}
            for name, value in values
        ],
        "script": back.get("script"),
        "item": back.get("item"),
        "changes": [CHANGES[pair] for pair in (back.get("change") or {}).items()],
        "confidence": 0.9,
    }


def oracle(asked: dict[str, Any]) -> str:
    """The right answer, in the form that was asked for."""
    wanted = asked["response_format"]["json_schema"]["schema"]
    assert wanted["title"] == "IntentSchema" and set(wanted["properties"]) == set(IntentSchema.model_fields)
    return json.dumps(answer_for(label_of(asked)[1]), ensure_ascii=False)


def noisy(asked: dict[str, Any]) -> str:
    """The answer with a mistake that models make, another one from line to line, the same in every run."""
    at, line = label_of(asked)
    answer = answer_for(line)
    if at % ONE_IN == 0:
        answer["intent"] = "generate" if line["class"] != "generate" else "modify"
    match at % 8:
        case 0 if len(asked["messages"]) == 2:
            return json.dumps(answer)[:-9]  # breaks off, and is whole when it is asked for again
        case 1:
            answer["slots"] += [
                {"slot": "colour", "value": "red", "quote": line["say"]},
                {"slot": "tone"},
                "tone",
                None,
            ]
            answer["changes"] += ["make it pop", 7]
        case 2:
            answer |= {"reasoning": "the host wants a script", "language": "zh", "script": 0, "item": "two"}
        case 3:
            english = {str(zh): str(en) for zh, en in load("lexicon")["in_english"].items()}
            answer["slots"] = [one | {"value": english.get(one["value"], one["value"])} for one in answer["slots"]]
        case 4:
            answer["slots"] += [
                {"slot": name, "value": "", "quote": ""} for name in ("product", "audience", "must_say")
            ]
        case 5:
            answer |= {"confidence": 97, "intent": f" {answer['intent'].upper()} "}
            answer["slots"] += [{"slot": "platform", "value": "淘宝直播", "quote": "在淘宝上说"}]
        case 6:
            answer["slots"] += [{"slot": "product", "value": "龙须糖", "quote": line["say"]}]
            answer["slots"] += [{"slot": "length_seconds", "value": 777, "quote": line["say"]}]
        case 7:
            return f"```json\n{json.dumps(answer, ensure_ascii=False)}\n```"
    return json.dumps(answer, ensure_ascii=False)


@pytest.fixture
def door(tenant: UUID, settings_env: Any) -> Iterator[tuple[Door, FaultProxy]]:
    """The gateway with the oracle behind it."""
    broker.quick_client.cache_clear()
    breaker.forget()
    with FaultProxy(answer=oracle) as server:
        backend = Backend(f"oracle-{uuid7().hex[-8:]}", "vllm", server.url, "oracle", languages=("zh", "en"))
        yield Door(backend, tenant), server
    breaker.forget()


def test_a_model_that_knows_every_label_loses_none_on_the_way(door: tuple[Door, FaultProxy]) -> None:
    # Given a model that answers each line of both sets with its label, when it reads them through the gateway
    rows = by_one_model(door[0])
    # Then every class, slot and reference arrives
    assert [row["answered"] for row in rows] == [1.0, 1.0]
    assert sum(row["lines"] for row in rows) == len(LINES)
    for row in rows:
        assert row["accuracy"] == 1.0, row
        assert row["slot_f1"] >= 0.98, row
        assert row["references"] >= 0.98, row
    assert intent.below(rows) == []


def test_a_noisy_model_is_no_worse_than_its_noise_and_fills_no_slot_with_nonsense(
    door: tuple[Door, FaultProxy],
) -> None:
    # Given a model that gives a tenth of the lines another class, and to most of them something that nobody asked for
    model, server = door
    server.answer = noisy
    # When it reads both sets, then no more is lost than it got wrong, and every line was read
    for name in intent.SETS:
        seen = intent.judged_by(model, name)
        told_wrong = sum(PLACES[one.line["say"]] % ONE_IN == 0 for one in seen)
        assert sum(not one.class_right for one in seen) <= told_wrong
        assert all(one.seen["source"] == "model" for one in seen)
        assert intent.figures(name, seen)["slot_f1"] >= intent.LEAST["slot_f1"]
        for one in seen:
            assert_every_slot_is_valid(one.seen, one.line["say"])
    assert model.failures == {}


def assert_every_slot_is_valid(seen: dict[str, Any], say: str) -> None:
    """Labels of the lexicon, names and words of the request, a length that a script may have: nothing else."""
    lexicon, said, language = load("lexicon"), seen["said"], language_of(say)
    for name, value in said.items():
        if name in LABELLED:
            assert value in lexicon[LABELLED[name]][language], (say, name, value)
        elif name == "category":
            assert value in lexicon["categories"], (say, value)
        elif name == "length_seconds":
            assert 5 <= value <= 600 and value != 777, (say, value)
        else:
            for one in value if isinstance(value, list) else [value]:
                assert one.strip() and normal(one).casefold() in normal(say).casefold(), (say, name, one)
    assert 0 <= seen["confidence"] <= 1
    assert seen["intent"] in ("generate", "modify", "continue", "batch", "ask", "chat")


def test_a_model_that_is_asked_for_by_no_known_name_is_told(settings_env: Any) -> None:
    with pytest.raises(intent.SettingsError, match="there is no backend 'nobody'"):
        intent.run(model="nobody")


def test_figures_below_the_thresholds_are_told() -> None:
    row = {"set": "intent/tune by m", "accuracy": 0.5, "slot_f1": 0.9, "answered": 0.2}
    assert intent.below([row]) == [
        "intent/tune by m: accuracy 0.5 is below 0.9",
        "intent/tune by m: answered 0.2 is below 0.9",
    ]
