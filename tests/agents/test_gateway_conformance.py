"""What one call of a model does alike for every provider type: the embedded one for real, the others' protocols.

Each provider is driven through each fault of fault_proxy.py by the same table.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.backend import Backend
from gateway.request import Ask
from gateway.wire import providers, talk
from gateway.wire.failures import PASSING, Failed
from gateway.wire.pieces import Piece
from tests.agents.fault_proxy import FaultProxy
from tests.agents.protocols import echo, tokens

KINDS = ["openai", "vllm", "ollama", "anthropic"]
WITH_EMBEDDED = [*KINDS, "embedded"]
PROMPT = "Say hello to the viewers of the stream."
HELLO = Ask(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}], max_tokens=40)
SCHEMA = {"type": "object", "title": "Echo", "properties": {"echo": {"type": "string"}}, "required": ["echo"]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Today's weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SILENCE_SECONDS = 0.4
SLACK_SECONDS = 1.5  # what a busy machine may add

# fault: what it is told as, and within how many seconds
TABLE: dict[str, tuple[str, float]] = {
    "hang_before_headers": ("timeout", SILENCE_SECONDS),
    "hang_after_headers": ("timeout", SILENCE_SECONDS),
    "hang_in_middle": ("timeout", SILENCE_SECONDS),
    "400": ("refused_request", 0),
    "401": ("access_denied", 0),
    "403": ("access_denied", 0),
    "404": ("not_found", 0),
    "422": ("refused_request", 0),
    "429": ("rate_limited", 0),
    "500": ("server_error", 0),
    "503": ("server_error", 0),
    "529": ("server_error", 0),
    "cut_chunked": ("garbled", 0),
    "cut_plain": ("garbled", 0),
    "error_event": ("server_error", 0),
    "garbage": ("garbled", 0),
    "html": ("garbled", 0),
    "endless_line": ("too_large", 5),
    "closed": ("refused_connection", 0),
    "empty": ("empty", 0),
    "refusal": ("refusal", 0),
}
AFTER_SOME_TEXT = {"hang_in_middle", "cut_chunked", "cut_plain", "error_event"}


@pytest.fixture(autouse=True, scope="module")
def libraries() -> None:
    """Import what the first call of a process imports: the tests measure calls."""
    for kind in KINDS:
        providers.chat_model(backend_at(kind, "http://127.0.0.1:9"))


def backend_at(kind: str, url: str, **changes: Any) -> Backend:
    backend = Backend(
        "m",
        kind,  # type: ignore[arg-type]
        url,
        "qwen3:8b",
        api_key="sk-secret-of-the-tests",
        connect_seconds=1.0,
        first_token_seconds=SILENCE_SECONDS,
        timeout_seconds=8.0,
    )
    return replace(backend, **changes)


def said_by(
    backend: Backend, ask: Ask = HELLO, *, cancelled: Callable[[], bool] = lambda: False, seconds: float = 60
) -> Iterator[Piece]:
    return talk.stream(backend, ask, cancelled=cancelled, seconds_left=lambda: seconds)


def until_failure(backend: Backend, ask: Ask = HELLO) -> tuple[str, Failed, float]:
    """The text that came before the failure, the failure, and how long it took."""
    text, began = "", time.monotonic()
    with pytest.raises(Failed) as failed:
        for piece in said_by(backend, ask):
            text += piece.text
            assert piece.finish_reason is None, "a broken answer looks like a whole one"
    return text, failed.value, time.monotonic() - began


@pytest.fixture(params=WITH_EMBEDDED)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend of each type that answers right."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded_model")
    else:
        with FaultProxy() as server:
            yield backend_at(request.param, server.url)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (kind, fault) for kind in KINDS for fault in TABLE if (kind, fault) != ("ollama", "refusal")
    ],  # it has no word for it
)
def test_a_fault_is_told_as_what_it_is_and_in_time(kind: str, fault: str) -> None:
    wanted, seconds = TABLE[fault]
    # Given a server with the fault
    with FaultProxy(fault=fault) as server:
        # When it is asked
        text, failure, took = until_failure(backend_at(kind, server.url))
        # Then the failure says what happened, in time, after one request (the libraries' own retries are off)
        assert (failure.kind, failure.passing, failure.elsewhere) == (wanted, wanted in PASSING, True)
        assert took < seconds + SLACK_SECONDS
        assert len(server.requests) == 1
    # And what came before is the beginning of the right answer, and of no other
    assert (echo(PROMPT).startswith(text) and text != echo(PROMPT)) or fault == "refusal"
    assert bool(text) == (fault in AFTER_SOME_TEXT or fault == "refusal")


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_is_told_at_once(kind: str) -> None:
    with FaultProxy() as server:
        url = server.url
    _, failure, took = until_failure(backend_at(kind, url))
    assert failure.kind == "refused_connection"
    assert took < SLACK_SECONDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_dies_in_the_middle_and_comes_back(kind: str) -> None:
    # Given a server that is killed while it answers
    with FaultProxy(drip_seconds=0.05) as server:
        pieces = said_by(backend_at(kind, server.url))
        text = next(pieces).text
        server.kill()
        # Then the answer is broken
        with pytest.raises(Failed) as failed:
            text += "".join(piece.text for piece in pieces)
        assert failed.value.kind == "garbled"
        assert echo(PROMPT).startswith(text)
        # And nobody is there, until it is back: then the same client is answered
        assert until_failure(backend_at(kind, server.url))[1].kind == "refused_connection"
        server.come_back()
        assert "".join(piece.text for piece in said_by(backend_at(kind, server.url))) == echo(PROMPT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_huge_answer_ends_before_it_fills_the_memory(kind: str) -> None:
    with FaultProxy(fault="huge") as server:
        backend = backend_at(kind, server.url, timeout_seconds=1.0)
        text = ""
        with pytest.raises(Failed) as failed:
            for piece in said_by(backend):
                text += piece.text
        assert failed.value.kind in ("too_large", "timeout")
        assert len(text) < 16 * 1024 * 1024
        assert server.closed.wait(SLACK_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_drip_is_patiently_heard_and_does_not_outlast_the_deadline(kind: str) -> None:
    # Given a server that says a little every 50 ms: longer in all than the silence that is allowed
    with FaultProxy(drip_seconds=0.05) as server:
        assert "".join(piece.text for piece in said_by(backend_at(kind, server.url))) == echo(PROMPT)
        # When the step has half a second left, Then the answer ends with it
        began = time.monotonic()
        with pytest.raises(Failed) as failed:
            list(said_by(backend_at(kind, server.url), seconds=0.5))
        assert failed.value.kind == "timeout"
        assert time.monotonic() - began < 0.5 + SLACK_SECONDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", ["7", "Fri, 20 Nov 2099 00:00:00 GMT", "soon"])
def test_the_servers_own_pause_is_told(kind: str, said: str) -> None:
    with FaultProxy(fault="429", headers={"Retry-After": said}) as server:
        _, failure, _ = until_failure(backend_at(kind, server.url))
    if said == "soon":
        assert failure.retry_after_seconds is None
    else:
        assert failure.retry_after_seconds is not None
        assert failure.retry_after_seconds == 7 or failure.retry_after_seconds > 1e9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ["400", "401", "422", "500"])
def test_no_message_quotes_the_key_or_the_prompt(kind: str, status: str) -> None:
    said = f"Incorrect API key provided: sk-secret-of-the-tests (sk-sec***ests), input was {PROMPT!r}"
    with FaultProxy(fault=status, message=said) as server:
        _, failure, _ = until_failure(backend_at(kind, server.url))
    told = f"{failure} {failure.message}"
    assert "sk-" not in told
    assert "viewers" not in told


def test_the_answer_comes_in_pieces_and_ends_with_a_reason(backend: Backend) -> None:
    pieces = list(said_by(backend))
    assert len([piece for piece in pieces if piece.text]) > 1
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish_reason in ("stop", "length")
    if backend.kind != "embedded":
        assert "".join(piece.text for piece in pieces) == echo(PROMPT)


def test_the_providers_numbers_are_told(backend: Backend) -> None:
    last = list(said_by(backend))[-1]
    if backend.kind == "embedded":
        assert last.tokens_in and last.tokens_out and last.tokens_out <= 40
    else:
        numbers = (tokens("Be brief.") + tokens(PROMPT), tokens(echo(PROMPT)))
        assert (last.tokens_in, last.tokens_out, last.model) == (*numbers, "qwen3:8b")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ollama"])
def test_a_refusal_has_its_numbers_too(kind: str) -> None:
    pieces = []
    with FaultProxy(fault="refusal") as server, pytest.raises(Failed, match="did not want"):
        for piece in said_by(backend_at(kind, server.url)):
            pieces.append(piece)
    assert (pieces[-1].text, pieces[-1].tokens_out) == ("", tokens(echo(PROMPT)))


def test_an_answer_keeps_to_a_schema(backend: Backend) -> None:
    ask = replace(HELLO, schema=SCHEMA, max_tokens=120, temperature=0.0, seed=1)
    pieces = list(said_by(backend, ask))
    assert pieces[-1].tool_calls == ()
    assert pieces[-1].finish_reason in ("stop", "length")
    if backend.kind != "embedded":
        assert json.loads("".join(piece.text for piece in pieces)) == {"echo": echo(PROMPT)}
    elif pieces[-1].finish_reason == "stop":
        assert "echo" in json.loads("".join(piece.text for piece in pieces))


@pytest.mark.parametrize("kind", KINDS)
def test_tool_calls_come_whole(kind: str) -> None:
    with FaultProxy() as server:
        pieces = list(said_by(backend_at(kind, server.url), replace(HELLO, tools=[WEATHER])))
        asked = server.requests[0]["tools"][0]
    (call,) = pieces[-1].tool_calls
    assert (call["name"], call["args"]) == ("weather", {"echo": echo(PROMPT)})
    assert call["id"]
    assert pieces[-1].finish_reason == "tool_calls"
    assert "".join(piece.text for piece in pieces) == ""
    told = asked if kind == "anthropic" else asked["function"]
    assert told["input_schema" if kind == "anthropic" else "parameters"]["required"] == ["city"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversation_with_tool_calls_is_sent_back(kind: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    messages = [
        {"role": "user", "content": "How is the weather in Oslo?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    with FaultProxy(answer="It rains.") as server:
        said = "".join(piece.text for piece in said_by(backend_at(kind, server.url), Ask(messages=messages)))
        assert said == "It rains."
        assert "Oslo" in str(server.requests[0]["messages"][1])


@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_a_wrong_form_are_the_callers_mistake(kind: str) -> None:
    with FaultProxy() as server:
        _, failure, _ = until_failure(backend_at(kind, server.url), Ask(messages=[{"role": "carrier pigeon"}]))
        assert (failure.kind, failure.elsewhere, failure.passing) == ("refused_request", False, False)
        assert server.requests == []


def test_the_same_seed_says_the_same(embedded_model: Backend) -> None:
    ask = replace(HELLO, max_tokens=12, temperature=0.0, seed=7)
    first, second = ("".join(piece.text for piece in said_by(embedded_model, ask)) for _ in range(2))
    assert first == second
