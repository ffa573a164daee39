"""Texts as vectors, by every kind of backend that has them."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import Mock

import pytest

from gateway.backend import Backend
from gateway.wire import embeddings
from gateway.wire.failures import failed
from gateway.wire.watch import Unwatched, Watch, watched
from tests.agents.fault_proxy import FaultProxy
from tests.agents.protocols import vector

EMBEDDED = Backend("embedded/use", "embedded", "", embeddings.EMBEDDED_ENCODER, capabilities=("embedding",))


def backend(kind: str, url: str, **fields: object) -> Backend:
    return Backend("vectors", kind, url, "bge-m3", capabilities=("embedding",), api_key="k", **fields)


def cosine(one: list[float], other: list[float]) -> float:
    return sum(left * right for left, right in zip(one, other, strict=True))


def test_the_embedded_encoder_knows_what_is_near_over_languages() -> None:
    texts = ["How do I reset my password?", "怎么重置密码？", "The weather is fine today"]
    english, chinese, weather = embeddings.embed(EMBEDDED, texts)
    assert {len(one) for one in (english, chinese, weather)} == {embeddings.DIMENSIONS}
    assert all(math.isclose(cosine(one, one), 1.0, abs_tol=1e-4) for one in (english, chinese, weather))
    assert cosine(english, chinese) > 0.6 > 0.3 > cosine(english, weather)


def test_a_text_has_the_same_vector_alone_and_among_many() -> None:
    # Given more texts than a batch holds, some of them strange
    texts = [f"text number {number}" for number in range(embeddings.BATCH_TEXTS * 2 + 5)] + ["", "\0", "\ud83d", "𓀀"]
    together = embeddings.embed(EMBEDDED, texts)
    assert len(together) == len(texts)
    for number in (0, embeddings.BATCH_TEXTS, len(texts) - 1):
        assert cosine(together[number], embeddings.embed(EMBEDDED, [texts[number]])[0]) == pytest.approx(1, abs=1e-4)
    assert embeddings.embed(EMBEDDED, []) == []


def test_the_encoder_is_loaded_once_however_many_ask_first(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process in which nobody asked yet, and eight threads
    monkeypatch.setattr(embeddings, "_made", {})
    load = Mock(side_effect=embeddings._encoder)
    monkeypatch.setattr(embeddings, "_encoder", load)
    together = threading.Barrier(8)

    def ask(number: int) -> list[float]:
        together.wait(10)
        return embeddings.embed(EMBEDDED, [f"text {number % 2}"])[0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    # Then it is loaded once, and every thread has its own text's vector
    load.assert_called_once()
    assert found[0] == found[2] and found[1] == found[3] != found[0]


@pytest.mark.parametrize("kind", ["openai", "vllm", "ollama"])
def test_a_server_is_asked_in_batches_and_its_vectors_get_length_1(kind: str) -> None:
    texts = [f"text {number}" for number in range(embeddings.BATCH_TEXTS + 3)]
    with FaultProxy() as server:
        found = embeddings.embed(backend(kind, server.url), texts)
        # Then the texts went as texts, in two requests, and came back in order
        assert [request["input"] for request in server.requests] == [
            texts[: embeddings.BATCH_TEXTS],
            texts[embeddings.BATCH_TEXTS :],
        ]
        assert {request["model"] for request in server.requests} == {"bge-m3"}
    for text, one in zip(texts, found, strict=True):
        assert cosine(one, one) == pytest.approx(1.0)
        length = math.sqrt(cosine(vector(text), vector(text)))
        assert one == pytest.approx([number / length for number in vector(text)], abs=1e-5)


@pytest.mark.parametrize("kind", ["openai", "ollama"])
@pytest.mark.parametrize(
    ("fault", "said"), [("500", "server_error"), ("429", "rate_limited"), ("401", "access_denied")]
)
def test_a_refusal_is_told_apart_and_asked_once(kind: str, fault: str, said: str) -> None:
    with FaultProxy(fault=fault) as server:
        asked = backend(kind, server.url)
        with pytest.raises(Exception) as raised:
            embeddings.embed(asked, ["a"])
        assert len(server.requests) == 1
    assert failed(raised.value, asked).kind == said


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_silence_ends_with_the_timeout(kind: str) -> None:
    with FaultProxy(fault="hang_before_headers") as server:
        asked = backend(kind, server.url, timeout_seconds=0.3)
        with pytest.raises(Exception) as raised:
            embeddings.embed(asked, ["a"])
        assert len(server.requests) == 1
    assert failed(raised.value, asked).kind == "timeout"


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_a_cancel_ends_the_waiting(kind: str) -> None:
    # Given a server that never answers, and a run that is stopped as soon as it is asked
    with FaultProxy(fault="hang_before_headers") as server:
        asked = backend(kind, server.url)
        watch = Watch(server.asked.is_set, math.inf)
        with pytest.raises(Exception) as raised, watched(watch):
            embeddings.embed(asked, ["a"])
        # Then the connection is closed at once
        assert server.closed.wait(5)
    chain: list[BaseException | None] = [raised.value]
    while chain[-1] is not None:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    assert any(isinstance(error, Unwatched) for error in chain)


@pytest.mark.parametrize("vectors", [[], [[1.0], [1.0]], [[0.0, 0.0]], [[math.nan]], [[]]])
def test_a_server_that_answers_nonsense_is_told(vectors: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_by_openai", lambda backend, texts: vectors)
    with pytest.raises(ValueError):
        embeddings.embed(replace(EMBEDDED, kind="openai"), ["a"])
