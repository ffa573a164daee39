"""The semantic level: what asks the same is answered, what only looks alike is not, and nothing leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache as remembered
from itertools import product
from pathlib import Path

import pytest
import yaml

from gateway.backends.models_file import Configuration, SemanticCache
from gateway.cache import lookup as cache
from gateway.cache.lookup import CachedAnswer, Hit, Miss
from gateway.cache.similarity import is_same
from gateway.cache.wording import wording
from gateway.request import Ask, Caller
from gateway.wire import embeddings
from settings import Settings
from storage import broker, semantic_cache
from storage.tables import uuid7

EVALUATION = yaml.safe_load((Path(__file__).parents[2] / "evals" / "semantic_cache.yaml").read_text(encoding="utf-8"))
ON = Configuration((), semantic_cache=SemanticCache(enabled=True, similarity_threshold=0.92, ttl_seconds=600.0))
MODEL = "some-model"
ANSWER = CachedAnswer("Open the settings.", model=MODEL, backend="b", finish_reason="stop")
SYSTEM = {"role": "system", "content": "You help."}
FIRST, LIKE_IT = "How do I reset my password?", "Could you please tell me how I can reset the password?"


@pytest.fixture(autouse=True)
def _empty(settings_env: Settings) -> Iterator[None]:
    broker.quick_client.cache_clear()
    semantic_cache.look_again()
    cache.forget()
    yield
    broker.quick_client.cache_clear()
    semantic_cache.look_again()
    cache.forget()


@pytest.fixture
def caller() -> Caller:
    """A caller of a tenant of its own."""
    return Caller(uuid7(), clearance="internal", policy_version="p1")


def ask(question: str, **fields: object) -> Ask:
    return Ask([SYSTEM, {"role": "user", "content": question}], cache="semantic", prompt_version="1", **fields)


def look(asked: Ask, caller: Caller, model: str = MODEL, configuration: Configuration = ON) -> Hit | Miss:
    return cache.look(asked, caller, model, configuration)


def keep(asked: Ask, caller: Caller, answer: CachedAnswer = ANSWER, configuration: Configuration = ON) -> None:
    missed = look(asked, caller, configuration=configuration)
    assert isinstance(missed, Miss)
    cache.keep(missed, answer)


@remembered
def embedding(text: str) -> tuple[float, ...]:
    return tuple(embeddings.encode([text])[0])


def closeness(one: str, other: str) -> float:
    return sum(left * right for left, right in zip(embedding(one), embedding(other), strict=True))


def hits(one: str, other: str) -> bool:
    """What the cache decides about two questions, without its storage."""
    first, second = wording(one), wording(other)
    return closeness(first.text, second.text) >= 0.92 and is_same(first, second, closeness)


@pytest.mark.parametrize("part", ["tune", "held_out"])
def test_no_near_miss_hits_and_paraphrases_do(part: str) -> None:
    # Given the labelled pairs, both ways round: whoever asked first must not matter
    labelled = [(label, first, second) for _, _, label, first, second in EVALUATION[part]]
    false = [pair for pair in labelled if pair[0] == "different" and (hits(*pair[1:]) or hits(*pair[:0:-1]))]
    assert false == []
    same = [hits(*pair[1:]) for pair in labelled if pair[0] == "same"]
    assert sum(same) >= 0.4 * len(same)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_other_thing_in_a_long_sentence_is_another_question(language: str) -> None:
    # Given sentences that an encoder finds nearly the same, since they share all words but one
    substitutions = EVALUATION["substitutions"][language]
    cases = [
        (sentence.format(one), sentence.format(other))
        for sentence, (one, other) in product(substitutions["sentences"], substitutions["things"])
    ]
    near = [case for case in cases if closeness(*(wording(text).text for text in case)) >= 0.92]
    assert len(near) > 10
    assert [case for case in near if hits(*case)] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_opposite_or_a_sibling_is_another_question(language: str) -> None:
    opposites = EVALUATION["opposites"][language]
    cases = [
        [sentence.format(word) for word in pair.split("/")]
        for sentence, pair in product(opposites["sentences"], opposites["words"])
    ]
    assert len(cases) > 200
    assert [case for case in cases if hits(*case)] == []


def test_the_labelled_pairs_are_enough_and_say_each_pair_once() -> None:
    pairs = [(first, second) for part in ("tune", "held_out") for _, _, _, first, second in EVALUATION[part]]
    assert len(pairs) >= 150 and len(set(pairs)) == len(pairs)
    kinds = {(domain, language, label) for domain, language, label, _, _ in EVALUATION["held_out"]}
    assert kinds == set(product(("security", "sales", "support"), ("en", "zh"), ("same", "different")))


def test_a_question_that_asks_the_same_is_answered_from_l3(caller: Caller) -> None:
    keep(ask(FIRST), caller)
    assert look(ask(LIKE_IT), caller) == Hit("l3", ANSWER)
    assert look(ask(FIRST), caller) == Hit("l1", ANSWER)
    keep(ask("请问怎么修改收货地址？"), caller, replace(ANSWER, text="在设置里。"))
    assert look(ask("收货地址如何修改"), caller) == Hit("l3", replace(ANSWER, text="在设置里。"))


@pytest.mark.parametrize(
    "other",
    [
        "How do I reset my username?",
        "How do I not reset my password?",
        "Why did I reset my password?",
        "How do I reset my password on 2 devices?",
        "怎么重置密码？",
    ],
)
def test_a_question_that_only_looks_alike_is_not(other: str, caller: Caller) -> None:
    keep(ask(FIRST), caller)
    assert isinstance(look(ask(other), caller), Miss)


LEAKS: dict[str, Callable[[Ask, Caller], tuple[Ask, Caller, str]]] = {
    "tenant": lambda asked, caller: (asked, replace(caller, tenant_id=uuid7()), MODEL),
    "clearance": lambda asked, caller: (asked, replace(caller, clearance="secret"), MODEL),
    "policy version": lambda asked, caller: (asked, replace(caller, policy_version="p2"), MODEL),
    "prompt version": lambda asked, caller: (replace(asked, prompt_version="2"), caller, MODEL),
    "model": lambda asked, caller: (asked, caller, "another-model"),
    "system prompt": lambda asked, caller: (
        replace(asked, messages=[{"role": "system", "content": "You help!"}, asked.messages[1]]),
        caller,
        MODEL,
    ),
    "earlier message": lambda asked, caller: (
        replace(asked, messages=[SYSTEM, {"role": "user", "content": "hi"}, asked.messages[1]]),
        caller,
        MODEL,
    ),
    "tools": lambda asked, caller: (replace(asked, tools=[{"type": "function"}]), caller, MODEL),
    "schema": lambda asked, caller: (replace(asked, schema={"type": "object"}), caller, MODEL),
    "max_tokens": lambda asked, caller: (replace(asked, max_tokens=7), caller, MODEL),
    "temperature": lambda asked, caller: (replace(asked, temperature=0.5), caller, MODEL),
    "seed": lambda asked, caller: (replace(asked, seed=5), caller, MODEL),
}


@pytest.mark.parametrize("what", LEAKS)
def test_no_answer_leaks_over(what: str, caller: Caller) -> None:
    keep(ask(FIRST), caller)
    # Given that another wording finds it, and the very same wording does
    assert isinstance(look(ask(LIKE_IT), caller), Hit)
    # Then neither does where only this differs
    for question in (FIRST, LIKE_IT):
        assert isinstance(look(*LEAKS[what](ask(question), caller)), Miss)


def test_only_who_says_semantic_is_answered_by_meaning(caller: Caller) -> None:
    keep(ask(FIRST), caller)
    assert isinstance(look(replace(ask(LIKE_IT), cache="exact"), caller), Miss)
    assert isinstance(look(ask(LIKE_IT), caller, configuration=Configuration(())), Miss)
    # And an answer to an exact ask is not found by meaning
    keep(replace(ask("How do I delete my account?"), cache="exact"), caller)
    assert isinstance(look(ask("How can I delete my account?"), caller), Miss)


def test_calls_of_tools_are_not_kept_by_meaning(caller: Caller) -> None:
    keep(ask(FIRST), caller, replace(ANSWER, tool_calls=({"id": "1", "name": "reset", "args": {}},)))
    assert isinstance(look(ask(FIRST), caller), Hit)
    assert isinstance(look(ask(LIKE_IT), caller), Miss)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": FIRST}]},
        {"role": "assistant", "content": FIRST},
        {"role": "user", "content": FIRST, "name": "somebody"},
        {"role": "user", "content": FIRST * 40},
        {"role": "user", "content": "?!"},
        {"role": "user", "content": ""},
    ],
)
def test_what_is_no_short_question_is_only_kept_exactly(message: dict[str, object], caller: Caller) -> None:
    asked = replace(ask(FIRST), messages=[SYSTEM, message])
    missed = look(asked, caller)
    assert isinstance(missed, Miss) and missed.question is None
    cache.keep(missed, ANSWER)
    assert look(asked, caller) == Hit("l1", ANSWER)


def test_no_answer_lives_longer_than_its_ask_or_the_configuration_says(caller: Caller) -> None:
    for seconds, lives in ((60.0, 60.0), (3600.0, 600.0)):
        missed = look(ask(FIRST, cache_seconds=seconds), caller)
        assert isinstance(missed, Miss) and missed.question is not None
        assert missed.question.seconds == lives


def test_no_text_breaks_it(caller: Caller) -> None:
    strange = [
        "\0\0",
        "a \ud800 b",
        "10.0.0.1",
        "第一百二十三万",
        "一二三",
        "🙂 ok",
        "a" * 600,
        "的" * 600,
        "((((",
        "'s",
        ":::",
    ]
    for text in strange:
        missed = look(ask(text), caller)
        assert isinstance(missed, Miss)
        cache.keep(missed, replace(ANSWER, text=text))
        cache.forget()
        found = look(ask(text), caller)
        assert isinstance(found, Hit) and found.level == "l2"


@pytest.mark.parametrize(
    ("said", "number"),
    [("十", 10), ("十二", 12), ("二十", 20), ("一百零五", 105), ("三千两百", 3200), ("一万二千", 12000)],
)
def test_chinese_numerals_are_numbers(said: str, number: int) -> None:
    assert wording(f"封禁{said}个地址") == wording(f"封禁{number}个地址")
