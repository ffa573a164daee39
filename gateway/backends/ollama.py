"""Finding a running Ollama: which chat models the server at OLLAMA_HOST (or its standard port) has."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gateway.backend import Backend, is_for_chat, languages_by_name

PROBE_SECONDS = 0.3
ANSWER_SECONDS = 1.0
FOUND_FOR_SECONDS = 60.0
MISSING_FOR_SECONDS = 15.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
STANDARD_PORT = 11434

_lock = threading.Lock()
_seen: dict[str, tuple[float, tuple[Backend, ...]]] = {}  # by URL: good until (monotonic), what was there


def found_at(url: str) -> tuple[Backend, ...]:
    """The chat models of the Ollama at this URL, newest first as Ollama lists them; () where none answers.

    Asked at most once in 60 s (15 s where nobody answered), by one thread; the others go on with what was there last.
    """
    good_until, backends = _seen.get(url, (0.0, None))
    if backends is not None and time.monotonic() < good_until:
        return backends
    if not _lock.acquire(blocking=backends is None):
        return backends or ()
    try:
        good_until, backends = _seen.get(url, (0.0, ()))
        if time.monotonic() >= good_until:
            backends = tuple(_backend(url, name) for name in chat_models(url))
            seconds = FOUND_FOR_SECONDS if backends else MISSING_FOR_SECONDS
            _seen[url] = (time.monotonic() + seconds, backends)
        return backends
    finally:
        _lock.release()


def forget() -> None:
    """Ask again at the next call."""
    with _lock:
        _seen.clear()


def chat_models(url: str) -> list[str]:
    """The names of the server's chat models; [] where nobody is there, or somebody who is no Ollama."""
    try:
        if not _listens(url):
            return []
        names = [str(one.model) for one in _client(url).list().models if one.model]
    except Exception:  # the library lets through what its parts raise: httpx, pydantic, json
        return []
    return [name for name in names if is_for_chat(name)]


def _listens(url: str) -> bool:
    """Whether anybody is there: most machines have no Ollama, and importing its library costs 0.3 s."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or STANDARD_PORT), timeout=PROBE_SECONDS):
            return True
    except OSError:
        return False


def _client(url: str) -> Any:
    import httpx
    import ollama

    class Bounded(httpx.HTTPTransport):
        """Ends an answer that is too long in time or in bytes: httpx's own timeouts begin anew with each byte."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            stream = answer.stream
            assert isinstance(stream, httpx.SyncByteStream)
            answer.stream = Limited(stream)
            return answer

    class Limited(httpx.SyncByteStream):
        def __init__(self, stream: httpx.SyncByteStream) -> None:
            self._stream = stream
            self._until = time.monotonic() + ANSWER_SECONDS

        def __iter__(self) -> Iterator[bytes]:
            left = MAX_ANSWER_BYTES
            for part in self._stream:
                left -= len(part)
                if left < 0 or time.monotonic() > self._until:
                    raise httpx.ReadTimeout("the list of models is too long or too slow")
                yield part

        def close(self) -> None:
            self._stream.close()

    # No proxy of the environment in between: a transport of one's own is never replaced by one.
    return ollama.Client(host=url, timeout=PROBE_SECONDS, transport=Bounded(), trust_env=False, follow_redirects=False)


def _backend(url: str, name: str) -> Backend:
    return Backend(name=f"ollama/{name}", kind="ollama", endpoint=url, model=name, languages=languages_by_name(name))
