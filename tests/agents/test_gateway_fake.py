"""The fake door of the node tests does what the real one does: both pass the same tests."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.backends.models_file import Configuration, SemanticCache
from gateway.models import Models
from gateway.request import Caller
from node import Final
from tests.agents.fakes import FakeContext, FakeModels
from tests.agents.fault_proxy import FaultProxy
from tests.agents.test_gateway_conformance import backend_at

HELLO = [{"role": "user", "content": "Say hello to the viewers."}]
SAID = "Hello everyone, welcome to the stream!"


class Greeting(BaseModel):
    """What the structured call asks for."""

    text: str
    cheerful: bool


def doors(kind: str, answer: str, request: pytest.FixtureRequest) -> Iterator[tuple[Any, FakeContext]]:
    """A door whose model gives the answer, and the context of who stands before it."""
    if kind == "fake":
        fake = FakeModels(answers=[answer, answer], languages=("en",))
        yield fake, FakeContext(models=fake)
        return
    tenant, ctx = request.getfixturevalue("tenant"), FakeContext()
    with FaultProxy(answer=answer) as server:
        found = Configuration(
            (backend_at(kind, server.url, name=f"{kind}-{tenant}"),), "cost_optimized", SemanticCache()
        )
        yield Models(lambda: found, Caller(tenant), ctx), ctx


@pytest.fixture(params=["fake", "openai", "vllm", "ollama"])
def talker(request: pytest.FixtureRequest) -> Iterator[tuple[Any, FakeContext]]:
    """A door to a model that says a sentence."""
    yield from doors(request.param, SAID, request)


@pytest.fixture(params=["fake", "openai", "vllm", "ollama", "anthropic"])
def json_talker(request: pytest.FixtureRequest) -> Iterator[tuple[Any, FakeContext]]:
    """A door to a model that answers with JSON of the schema."""
    yield from doors(request.param, '{"text": "Hello", "cheerful": true}', request)


def test_chat_gives_the_whole_answer(talker: tuple[Any, FakeContext]) -> None:
    said = talker[0].chat(HELLO, max_tokens=20, temperature=0.0, seed=1)
    assert isinstance(said, str)
    assert said == SAID


def test_stream_gives_the_answer_in_pieces(talker: tuple[Any, FakeContext]) -> None:
    pieces = list(talker[0].stream(HELLO, max_tokens=20))
    assert len(pieces) > 1
    assert "".join(pieces) == SAID


def test_show_gives_the_answer_and_shows_it(talker: tuple[Any, FakeContext]) -> None:
    door, ctx = talker
    assert door.show(HELLO) == SAID
    assert "".join(ctx.tokens) == SAID


def test_structured_gives_an_instance_of_the_schema(json_talker: tuple[Any, FakeContext]) -> None:
    assert json_talker[0].structured(Greeting, HELLO, max_tokens=80) == Greeting(text="Hello", cheerful=True)


def test_able_names_a_model_for_a_language_that_it_knows(talker: tuple[Any, FakeContext]) -> None:
    able = talker[0].able("en")
    assert able.name and "en" in able.languages and able.weak is False


def test_nobody_is_able_in_a_language_that_no_model_knows(talker: tuple[Any, FakeContext]) -> None:
    door, _ = talker
    assert door.able("tlh") is None
    with pytest.raises(Final) as refused:
        door.chat(HELLO, language="tlh")
    assert refused.value.code == "no_able_model"


def test_rules_stand_in_where_they_may(talker: tuple[Any, FakeContext]) -> None:
    door, ctx = talker
    door.by_rules("no model answered")
    assert ctx.degraded == ["no model answered"]
    door.may_fall_back = False
    with pytest.raises(Final):
        door.by_rules("no model answered")


def test_the_fake_has_no_door_that_the_real_one_lacks() -> None:
    def names(door: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(door, inspect.isfunction) if not name.startswith("_")}

    assert names(FakeModels) <= names(Models)
