"""LangChain chat models for the backends, made at the first call of a process and kept.

The libraries are imported then, not before: they cost a second and 80 MB, and most workers' first node needs none.
"""

from __future__ import annotations

import os
import threading
from typing import Any
from urllib.parse import urlsplit

from gateway.backend import Backend
from gateway.failures import first_line
from gateway.watch import watch_client
from node import Final

CONNECT_SECONDS = 2.0
IDLE_SECONDS = 60.0  # between two reads; the call's own deadline is the watch's

_lock = threading.Lock()
_made: dict[tuple[int, Backend], Any] = {}  # by process: sockets do not survive a fork


def chat_model(backend: Backend) -> Any:
    """The LangChain chat model of a backend, with retries off and its connections watched.

    Final `model_misconfigured` where its library refuses the settings, such as a missing key.
    """
    key = (os.getpid(), backend)
    with _lock:
        if key not in _made:
            try:
                _made[key] = _ollama(backend) if backend.kind == "ollama" else _openai(backend)
            except Exception as wrong:
                raise Final(f"model {backend.name}: {first_line(wrong)}", code="model_misconfigured") from wrong
        return _made[key]


def call_options(
    backend: Backend, max_tokens: int | None, temperature: float | None, seed: int | None
) -> dict[str, Any]:
    """The options of one call under the names of the backend's own protocol."""
    if backend.kind == "ollama":
        options = {"num_predict": max_tokens, "temperature": temperature, "seed": seed}
        return {"options": given} if (given := {k: v for k, v in options.items() if v is not None}) else {}
    options = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    return {name: value for name, value in options.items() if value is not None}


def schema_option(backend: Backend, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The option that makes a backend answer with JSON of this schema."""
    if backend.kind == "ollama":
        return {"format": schema}
    wanted = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": False}}
    # As extra body: given as an option, the client would parse the answer itself and hide a truncated one.
    return {"extra_body": {"response_format": wanted}}


def _openai(backend: Backend) -> Any:
    from langchain_openai import ChatOpenAI
    from langchain_openai._compat import httpx

    timeout = httpx.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS)
    return ChatOpenAI(
        model=backend.model,
        base_url=openai_base(backend.endpoint),
        # Where the file gives no key, OpenAI's own client takes its usual variable; other servers want any word.
        api_key=backend.api_key or (None if backend.kind == "openai" else "none"),
        max_retries=0,
        timeout=timeout,
        stream_usage=True,
        http_client=watch_client(httpx.Client(timeout=timeout, trust_env=not is_local(backend.endpoint))),
    )


def _ollama(backend: Backend) -> Any:
    import httpx
    from langchain_ollama import ChatOllama

    timeout = httpx.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS)
    options = {"timeout": timeout, "trust_env": not is_local(backend.endpoint)}
    made = ChatOllama(model=backend.model, base_url=backend.endpoint, client_kwargs=options)
    watch_client(made._client._client)
    return made


def openai_base(endpoint: str) -> str:
    """The base URL of an OpenAI-compatible server; one without a path gets /v1."""
    trimmed = endpoint.rstrip("/")
    return trimmed if urlsplit(trimmed).path else f"{trimmed}/v1"


def is_local(endpoint: str) -> bool:
    """Whether the server is on this machine, where no proxy of the environment belongs in between."""
    return urlsplit(endpoint).hostname in ("127.0.0.1", "localhost", "::1")
