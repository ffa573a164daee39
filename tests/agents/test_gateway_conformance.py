"""What every model behind the door does alike: the embedded one for real, Ollama's and OpenAI's protocols, the fake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field

from gateway.backend import Backend
from gateway.models import Models
from node import Final
from tests.agents.fakes import FakeModels
from tests.agents.servers import ModelServer

KINDS = ["embedded", "ollama", "openai", "vllm", "fake"]
HELLO = [{"role": "user", "content": "Say hello to the viewers."}]


class Greeting(BaseModel):
    """What the structured call asks for."""

    text: str = Field(max_length=40)
    cheerful: bool


def door(kind: str, answer: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    if kind == "fake":
        yield FakeModels(answers=[answer, answer], languages=("en",))
    elif kind == "embedded":
        backend = request.getfixturevalue("embedded_model")
        yield Models(lambda: [backend])
    else:
        with ModelServer("ollama" if kind == "ollama" else "openai", answer=answer) as server:
            backend = Backend(kind, kind, server.url, "m", api_key="k")  # type: ignore[arg-type]
            yield Models(lambda: [backend])


@pytest.fixture(params=KINDS)
def talker(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A door to a model that says a sentence."""
    yield from door(request.param, "Hello everyone, welcome to the stream!", request)


@pytest.fixture(params=KINDS)
def json_talker(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A door to a model that answers with JSON of the schema."""
    yield from door(request.param, '{"text": "Hello", "cheerful": true}', request)


def test_chat_gives_the_whole_answer(talker: Any) -> None:
    said = talker.chat(HELLO, max_tokens=20, temperature=0.0, seed=1)
    assert isinstance(said, str)
    assert len(said) > 3


def test_stream_gives_the_answer_in_pieces(talker: Any) -> None:
    pieces = list(talker.stream(HELLO, max_tokens=20))
    assert len(pieces) > 1
    assert all(isinstance(piece, str) and piece for piece in pieces)


def test_the_same_seed_says_the_same(talker: Any) -> None:
    options = {"max_tokens": 12, "temperature": 0.0, "seed": 7}
    assert talker.chat(HELLO, **options) == talker.chat(HELLO, **options)


def test_structured_gives_an_instance_of_the_schema(json_talker: Any) -> None:
    greeting = json_talker.structured(Greeting, HELLO, max_tokens=80)
    assert isinstance(greeting, Greeting)


def test_able_names_a_model_for_a_language_that_it_knows(talker: Any) -> None:
    assert talker.able("en") is not None


def test_nobody_is_able_in_a_language_that_no_model_knows(talker: Any) -> None:
    assert talker.able("tlh") is None
    with pytest.raises(Final) as refused:
        talker.chat(HELLO, language="tlh")
    assert refused.value.code == "no_able_model"
