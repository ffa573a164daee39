"""What is sent to each provider for the same ask, and how its chunks are read."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from gateway.request import Ask
from gateway.wire import providers
from gateway.wire.failures import Failed
from gateway.wire.pieces import ToolCalls, piece_of
from tests.agents import protocols
from tests.agents.fault_proxy import FaultProxy
from tests.agents.test_gateway_conformance import HELLO, KINDS, SCHEMA, WEATHER, backend_at, said_by

FULL = Ask(messages=HELLO.messages, max_tokens=50, temperature=0.5, seed=3)


def sent(kind: str, ask: Ask, **changes: Any) -> dict[str, Any]:
    """The body that a server of this type gets for the ask."""
    with FaultProxy() as server:
        list(said_by(backend_at(kind, server.url, **changes), ask))
        return server.requests[0]


def test_the_options_have_each_protocols_own_names() -> None:
    for kind in ("openai", "vllm"):
        body = sent(kind, FULL)
        assert (body["max_tokens"], body["temperature"], body["seed"]) == (50, 0.5, 3)
        assert "max_completion_tokens" not in body, "only OpenAI itself knows it for sure"
        assert body["stream_options"] == {"include_usage": True}
    assert sent("ollama", FULL)["options"] == {"num_predict": 50, "num_ctx": 8192, "temperature": 0.5, "seed": 3}
    body = sent("anthropic", FULL)
    assert (body["max_tokens"], body["temperature"]) == (50, 0.5)
    assert "seed" not in body


def test_openai_itself_is_told_its_newer_name() -> None:
    backend = backend_at("openai", "https://api.openai.com/v1")
    model = providers.chat_model(backend)
    payload = model._get_request_payload("hello", **providers.call_options(backend, FULL))
    assert payload["max_completion_tokens"] == 50
    assert "max_tokens" not in {**payload, **payload.get("extra_body", {})}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_without_a_limit_has_what_the_context_has_left(kind: str) -> None:
    ask = Ask(messages=HELLO.messages)
    backend = backend_at(kind, "http://127.0.0.1:9", context_tokens=1000)
    assert providers.answer_tokens(backend, ask) == 1000 - ask.tokens_in
    assert providers.answer_tokens(backend_at(kind, "http://127.0.0.1:9"), ask) == 2048


def test_a_schema_is_asked_for_in_each_protocols_own_way() -> None:
    ask = Ask(messages=HELLO.messages, schema=SCHEMA)
    wanted = {"name": "Echo", "schema": SCHEMA, "strict": False}
    for kind in ("openai", "vllm"):
        assert sent(kind, ask)["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert sent("ollama", ask)["format"] == SCHEMA
    body = sent("anthropic", ask)
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": "answer"}


def test_vllm_is_made_to_keep_to_a_tools_schema() -> None:
    ask = Ask(messages=HELLO.messages, tools=[WEATHER])
    assert sent("vllm", ask)["tools"][0]["function"]["strict"] is True
    assert "strict" not in sent("openai", ask)["tools"][0]["function"], "OpenAI refuses schemas that are not strict"


def test_anthropic_may_choose_between_a_tool_and_the_answer() -> None:
    options = providers.call_options(
        backend_at("anthropic", "http://127.0.0.1:9"), Ask(messages=HELLO.messages, schema=SCHEMA, tools=[WEATHER])
    )
    assert [tool["name"] for tool in options["tools"]] == ["weather", "answer"]
    assert options["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_goes_where_the_provider_looks_for_it(kind: str) -> None:
    seen: list[dict[str, str]] = []
    with FaultProxy() as server:
        handler: Any = server._http.RequestHandlerClass
        do_post = handler.do_POST

        def look(self: Any) -> None:
            seen.append(dict(self.headers))
            do_post(self)

        handler.do_POST = look
        list(said_by(backend_at(kind, server.url)))
    told = {name.lower(): value for name, value in seen[0].items()}
    key = told.get("x-api-key") or told["authorization"].removeprefix("Bearer ")  # Anthropic's library has had both
    assert key == "sk-secret-of-the-tests"
    assert told["accept-encoding"] == "identity"


@pytest.mark.parametrize("kind", KINDS)
def test_calls_one_after_the_other_share_a_connection(kind: str) -> None:
    with FaultProxy() as server:
        for _ in range(4):
            list(said_by(backend_at(kind, server.url)))
        assert len(server.requests) == 4
        assert server.accepted == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_packed_all_the_same_is_refused(kind: str) -> None:
    # Given a server that packs a right answer, which nobody asked for: a small one may unpack to a huge one
    def answer(self: Any) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        protocol = protocols.PATHS[self.path]
        right = protocols.answer_to(protocol, asked, None)
        packed = gzip.compress(b"".join(protocols.events(protocol, right)))
        self.send_response(200)
        self.send_header("Content-Type", protocols.CONTENT_TYPES[protocol])
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed)

    with FaultProxy() as server:
        server._http.RequestHandlerClass.do_POST = answer  # type: ignore[attr-defined]
        with pytest.raises(Failed) as failed:
            list(said_by(backend_at(kind, server.url)))
    assert failed.value.kind == "too_large"


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_is_not_followed_with_the_key_in_hand(kind: str) -> None:
    with FaultProxy() as other, FaultProxy(fault="307", headers={"Location": f"{other.url}/v1/elsewhere"}) as server:
        with pytest.raises(Failed) as failed:
            list(said_by(backend_at(kind, server.url)))
        assert failed.value.kind == "misconfigured"
        assert other.requests == []


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_missing_key_is_told_as_a_mistake_of_the_settings(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Failed) as failed:
        list(said_by(backend_at(kind, "http://127.0.0.1:9", api_key=None)))
    assert (failed.value.kind, failed.value.elsewhere) == ("misconfigured", True)


def test_a_model_is_made_once_and_few_are_kept() -> None:
    backend = backend_at("openai", "http://127.0.0.1:9")
    assert providers.chat_model(backend) is providers.chat_model(backend)
    for number in range(providers.MAX_KEPT):
        providers.chat_model(backend_at("openai", "http://127.0.0.1:9", model=f"m{number}"))
    assert len(providers._made) <= providers.MAX_KEPT


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "content_filter"}, "refusal"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "refusal"}, "refusal"),
        ({"stop_reason": "tool_use"}, "tool_calls"),
        ({"done": True, "done_reason": "length"}, "length"),
        ({"done": True}, "stop"),
        ({"done": False}, None),
        ({}, None),
    ],
)
def test_every_providers_end_has_one_name(told: dict[str, Any], reason: str | None) -> None:
    assert piece_of(AIMessageChunk(content="", response_metadata=told)).finish_reason == reason


def test_numbers_that_are_not_told_are_none() -> None:
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    piece = piece_of(AIMessageChunk(content="x", usage_metadata=zeros))
    assert (piece.tokens_in, piece.tokens_out) == (None, None)
    # Ollama leaves out the prompt's number where it had the prompt in its cache
    piece = piece_of(AIMessageChunk(content="", response_metadata={"done": True, "eval_count": 4}))
    assert (piece.tokens_in, piece.tokens_out) == (None, 4)


def part(index: int | None, name: str | None, args: str, id: str | None = None) -> AIMessageChunk:
    told = [{"index": index, "name": name, "args": args, "id": id, "type": "tool_call_chunk"}]
    return AIMessageChunk(content="", tool_call_chunks=told)  # type: ignore[arg-type]


def test_tool_calls_that_come_in_turns_are_put_together() -> None:
    calls = ToolCalls()
    for chunk in (part(0, "a", "", "1"), part(1, "b", '{"x"', "2"), part(0, None, '{"y": 2}'), part(1, None, ": 1}")):
        calls.take(chunk)
    assert calls.complete() == (
        {"id": "1", "name": "a", "args": {"y": 2}},
        {"id": "2", "name": "b", "args": {"x": 1}},
    )


def test_whole_tool_calls_without_a_number_are_kept_apart() -> None:
    calls = ToolCalls()
    calls.take(part(None, "a", "{}", "1"))
    calls.take(part(None, "a", "{}", "2"))
    assert [call["id"] for call in calls.complete()] == ["1", "2"]


@pytest.mark.parametrize("args", ['{"x": ', "[1]", "no"])
def test_arguments_that_are_no_object_are_no_tool_call(args: str) -> None:
    calls = ToolCalls()
    calls.take(part(0, "a", args, "1"))
    with pytest.raises(ValueError):
        calls.complete()


def test_the_answers_own_tool_is_the_answer() -> None:
    calls = ToolCalls("answer")
    parts = [part(0, "answer", "", "1"), part(0, None, '{"n"'), part(1, "weather", "{}", "2"), part(0, None, ": 1}")]
    assert "".join(calls.take(chunk) for chunk in parts) == '{"n": 1}'
    assert [call["name"] for call in calls.complete()] == ["weather"]
