"""Finding a running Ollama: which chat models the server at OLLAMA_HOST (or its standard port) has."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from gateway.backend import Backend, is_for_chat, languages_by_name

PROBE_SECONDS = 0.3
FOUND_FOR_SECONDS = 60.0
MISSING_FOR_SECONDS = 15.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024

_lock = threading.Lock()
_seen: dict[str, tuple[float, tuple[Backend, ...]]] = {}  # by URL: good until (monotonic), what was there
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a server of this machine is asked directly


def found_at(url: str) -> tuple[Backend, ...]:
    """The chat models of the Ollama at this URL, newest first as Ollama lists them; () where none answers.

    Asked at most once in 60 s (15 s where nobody answered); the question takes 0.3 s at most.
    """
    with _lock:
        good_until, backends = _seen.get(url, (0.0, ()))
        if time.monotonic() < good_until:
            return backends
        # Under the lock: a second thread would only ask the same.
        backends = tuple(_backend(url, name) for name in _chat_models(url))
        seconds = FOUND_FOR_SECONDS if backends else MISSING_FOR_SECONDS
        _seen[url] = (time.monotonic() + seconds, backends)
        return backends


def forget() -> None:
    """Ask again at the next call."""
    with _lock:
        _seen.clear()


def _chat_models(url: str) -> list[str]:
    try:
        with _direct.open(f"{url.rstrip('/')}/api/tags", timeout=PROBE_SECONDS) as answer:
            tags: Any = json.loads(answer.read(MAX_ANSWER_BYTES))
        return [str(entry["name"]) for entry in tags["models"] if is_for_chat(str(entry["name"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # nobody there, or somebody who is no Ollama


def _backend(url: str, name: str) -> Backend:
    return Backend(name=f"ollama/{name}", kind="ollama", endpoint=url, model=name, languages=languages_by_name(name))
