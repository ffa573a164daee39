"""How a request finds its model: who is able, and in which order they are asked."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gateway.backend import EMBEDDING, Backend
from gateway.request import Ask
from gateway.routing import is_simple, order

LARGE = Backend("large", "vllm", "http://x", "m-72b", ("zh", "en"), price_in=Decimal("0.4"), price_out=Decimal("0.8"))
CHEAP = Backend("cheap", "vllm", "http://x", "m-32b", ("zh", "en"), price_in=Decimal("0.1"), price_out=Decimal("0.2"))
SMALL = Backend("small", "vllm", "http://x", "m-3b", ("zh", "en"), small=True)
WEAK = Backend("weak", "embedded", "http://x", "tiny", ("en",), weak=True, small=True)
ALL = (LARGE, CHEAP, SMALL, WEAK)
STORY = Ask([{"role": "user", "content": "Tell me a long story."}], max_tokens=2000)
WORD = Ask([{"role": "user", "content": "Yes or no?"}], max_tokens=5)


def names(ask: Ask, backends: tuple[Backend, ...] = ALL, **wishes: object) -> list[str]:
    return [backend.name for backend in order(ask, backends, **wishes)]  # type: ignore[arg-type]


def test_the_cheapest_of_the_large_ones_is_asked_first_and_the_weak_one_last() -> None:
    assert names(STORY) == ["cheap", "large", "small", "weak"]


def test_a_simple_request_goes_to_a_small_model_first() -> None:
    assert is_simple(WORD)
    assert names(WORD) == ["small", "weak", "cheap", "large"]


def test_a_simple_request_of_high_quality_goes_to_a_large_one() -> None:
    assert names(replace(WORD, quality="high"))[0] == "cheap"


def test_a_request_with_tools_or_a_long_prompt_is_not_simple() -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
    assert not is_simple(replace(WORD, tools=[tool]))
    assert not is_simple(Ask([{"role": "user", "content": "天" * 501}], language="zh", max_tokens=5))


def test_latency_first_where_the_strategy_says_so() -> None:
    medians = {"large": 120.0, "cheap": 900.0}
    assert names(STORY, strategy="latency_optimized", median_ms=medians)[:2] == ["large", "cheap"]


def test_times_that_are_alike_do_not_reorder_prices() -> None:
    medians = {"large": 480.0, "cheap": 520.0}
    assert names(STORY, strategy="latency_optimized", median_ms=medians)[:2] == ["cheap", "large"]


def test_the_price_is_that_of_this_very_request() -> None:
    # Given one that is cheap to read and dear to write, Then it depends on the request who is cheaper
    reader = replace(CHEAP, name="reader", price_in=Decimal("0.01"), price_out=Decimal(2))
    long_prompt = Ask([{"role": "user", "content": "word " * 4000}], max_tokens=10)
    assert names(long_prompt, (CHEAP, reader))[0] == "reader"
    assert names(STORY, (CHEAP, reader))[0] == "cheap"


def test_nobody_is_asked_who_does_not_know_the_language_or_lacks_the_capability() -> None:
    auditor = replace(CHEAP, name="auditor", capabilities=("code_audit",))
    assert names(replace(STORY, language="zh")) == ["cheap", "large", "small"]
    assert names(replace(STORY, capability="code_audit"), (LARGE, auditor)) == ["auditor", "large"]
    assert names(STORY, (auditor,)) == []


def test_chat_is_the_documents_general_chat() -> None:
    assert names(STORY, (replace(LARGE, capabilities=("general_chat",)),)) == ["large"]


def test_only_those_that_say_so_embed() -> None:
    encoder = replace(CHEAP, name="encoder", capabilities=(EMBEDDING,))
    assert names(replace(STORY, capability=EMBEDDING), (*ALL, encoder)) == ["encoder"]
    assert "encoder" not in names(STORY, (*ALL, encoder))


def test_a_prompt_that_does_not_fit_goes_to_who_can_hold_it() -> None:
    wide = replace(LARGE, name="wide", context_tokens=128_000)
    long_prompt = Ask([{"role": "user", "content": "词" * 20_000}], language="zh")
    assert names(long_prompt, (*ALL, wide)) == ["wide"]


def test_a_tenant_uses_what_it_is_allowed_by_name_or_model_and_the_embedded_ones() -> None:
    assert names(STORY, allowed=["m-3*"]) == ["cheap", "small", "weak"]
    assert names(STORY, allowed=["large"]) == ["large", "weak"]
    assert names(STORY, allowed=[]) == ["weak"]


def test_a_prompt_written_for_a_weak_model_goes_to_no_strong_one_nor_the_other_way_round() -> None:
    assert names(STORY, written_for=WEAK) == ["weak"]
    assert names(STORY, written_for=LARGE) == ["cheap", "large", "small"]


def test_sentences_to_embed_are_measured_one_by_one() -> None:
    encoder = replace(CHEAP, name="encoder", capabilities=(EMBEDDING,), context_tokens=512)
    many = Ask([{"role": "user", "content": "a short sentence"}] * 500, operation="embed", capability=EMBEDDING)
    long_one = replace(many, messages=[{"role": "user", "content": "词" * 600}])
    assert names(many, (encoder,)) == ["encoder"]
    assert names(long_one, (encoder,)) == []


def test_equal_backends_keep_the_order_of_the_file() -> None:
    twin = replace(CHEAP, name="twin")
    assert names(STORY, (twin, CHEAP)) == ["twin", "cheap"]
