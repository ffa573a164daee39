"""LangChain chat models for the backends, made at the first call of a process and kept, and the options of one call.

The libraries are imported then, not before: they cost a second and 80 MB, and most workers' first node needs none.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.backend import Backend
from gateway.request import ANSWER_TOKENS, Ask
from gateway.wire.failures import Failed, first_line
from gateway.wire.reuse import read_to_the_end
from gateway.wire.watch import TooLarge, watch_client

MAX_KEPT = 64  # a models file that is edited all day must not pile up clients
LEAST_ANSWER_TOKENS = 16
ANSWER_TOOL = "answer"

_lock = threading.Lock()
_made: dict[tuple[int, Backend], Any] = {}  # by process: sockets do not survive a fork


def chat_model(backend: Backend) -> Any:
    """The LangChain chat model of a backend, with retries off and its connections watched.

    Failed `misconfigured` where its library refuses the settings, such as a missing key.
    """
    key = (os.getpid(), backend)
    with _lock:
        if key not in _made:
            makers = {"ollama": _ollama, "anthropic": _anthropic}
            try:
                made = makers.get(backend.kind, _openai)(backend)
            except Exception as wrong:
                raise Failed(backend.name, "misconfigured", first_line(wrong)) from None
            while len(_made) >= MAX_KEPT:
                del _made[next(iter(_made))]
            _made[key] = made
        return _made[key]


def call_options(backend: Backend, ask: Ask) -> dict[str, Any]:
    """The options of one call under the names of the backend's own protocol."""
    options = {"ollama": _ollama_options, "anthropic": _anthropic_options}.get(backend.kind, _openai_options)
    return options(backend, ask)


def answer_tool(backend: Backend, ask: Ask) -> str | None:
    """The name of the tool whose input is the answer, where the provider keeps to a schema in no other way."""
    return ANSWER_TOOL if ask.schema is not None and backend.kind == "anthropic" else None


def answer_tokens(backend: Backend, ask: Ask) -> int:
    """The limit that is sent: the caller's, else 2,048 or what the context has left (servers refuse a larger one)."""
    left = max(LEAST_ANSWER_TOKENS, backend.context_tokens - ask.tokens_in)
    return ask.max_tokens or min(ANSWER_TOKENS, left)


def _openai_options(backend: Backend, ask: Ask) -> dict[str, Any]:
    # As extra body: given as an option, the client would parse the answer itself and hide a truncated one.
    extra: dict[str, Any] = {}
    if ask.schema is not None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", str(ask.schema.get("title") or ANSWER_TOOL))[:64]
        wanted = {"name": name, "schema": dict(ask.schema), "strict": False}
        extra["response_format"] = {"type": "json_schema", "json_schema": wanted}
    # vLLM keeps a call's arguments to their schema only where the tool says so; OpenAI would refuse most schemas then.
    tools = [_strict(tool) if backend.kind == "vllm" else dict(tool) for tool in ask.tools]
    options = _given({"temperature": ask.temperature, "seed": ask.seed, "tools": tools})
    if is_openai(backend.endpoint):
        options["max_tokens"] = answer_tokens(backend, ask)  # the library sends OpenAI's newer name for it
    else:
        extra["max_tokens"] = answer_tokens(backend, ask)  # the older one, which every other server knows
    return {**options, "extra_body": extra} if extra else options


def _strict(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**tool, "function": {"strict": True, **tool["function"]}}


def _ollama_options(backend: Backend, ask: Ask) -> dict[str, Any]:
    # Without num_ctx, Ollama cuts off what goes over its own idea of a context, and says nothing.
    numbers = {
        "num_predict": answer_tokens(backend, ask),
        "num_ctx": backend.context_tokens,
        "temperature": ask.temperature,
        "seed": ask.seed,
    }
    schema = dict(ask.schema) if ask.schema is not None else None
    return {"options": _given(numbers), **_given({"format": schema, "tools": [dict(tool) for tool in ask.tools]})}


def _anthropic_options(backend: Backend, ask: Ask) -> dict[str, Any]:
    """Anthropic has no seed, wants a limit, and keeps to a schema by a tool that it is made to call."""
    options: dict[str, Any] = {"max_tokens": answer_tokens(backend, ask), **_given({"temperature": ask.temperature})}
    tools = [_anthropic_tool(tool["function"]) for tool in ask.tools]
    if ask.schema is not None:
        description = "Gives the answer; its input is the answer itself."
        answer = {"name": ANSWER_TOOL, "description": description, "input_schema": dict(ask.schema)}
        options["tool_choice"] = {"type": "any"} if tools else {"type": "tool", "name": ANSWER_TOOL}
        tools.append(answer)
    return {**options, **_given({"tools": tools})}


def _anthropic_tool(function: dict[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function["name"], "description": function.get("description", ""), "input_schema": schema}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and value != []}


def _openai(backend: Backend) -> Any:
    import openai
    from langchain_openai import ChatOpenAI

    http = _http_options(backend, openai.Timeout)
    return ChatOpenAI(
        model=backend.model,
        base_url=openai_base(backend.endpoint) if backend.endpoint else None,
        # Where the file gives no key, OpenAI's own client takes its usual variable; other servers want any word.
        api_key=backend.api_key or (None if backend.kind == "openai" else "none"),
        max_retries=0,
        timeout=http["timeout"],
        stream_usage=True,
        use_responses_api=False,
        http_client=watch_client(openai.DefaultHttpxClient(**http)),
    )


def _ollama(backend: Backend) -> Any:
    import httpx
    from langchain_ollama import ChatOllama

    options = _http_options(backend, httpx.Timeout)
    if backend.api_key:
        options["headers"] |= {"Authorization": f"Bearer {backend.api_key}"}
    made = ChatOllama(model=backend.model, base_url=backend.endpoint, client_kwargs=options)
    watch_client(made._client._client)
    return made


def _anthropic(backend: Backend) -> Any:
    import anthropic
    from langchain_anthropic import ChatAnthropic

    given = _given({"base_url": backend.endpoint.rstrip("/") or None, "api_key": backend.api_key})
    made = ChatAnthropic(model=backend.model, max_retries=0, **given)
    if not made.anthropic_api_key.get_secret_value():
        raise ValueError("no key, neither in the models file nor in ANTHROPIC_API_KEY")
    http = _http_options(backend, anthropic.Timeout)
    # The library's own HTTP client is one for all backends, and shared over a fork.
    client = watch_client(anthropic.DefaultHttpxClient(**http))
    made.__dict__["_client"] = anthropic.Client(
        **{**made._client_params, "timeout": http["timeout"], "http_client": client}
    )
    return made


def _http_options(backend: Backend, timeout: Any) -> dict[str, Any]:
    """What an HTTP client is made with. The call's own deadline is the watch's; these hold where nobody watches."""
    silence = backend.first_token_seconds
    return {
        "timeout": timeout(backend.timeout_seconds, connect=backend.connect_seconds, write=silence, pool=silence),
        "trust_env": not is_local(backend.endpoint),
        "follow_redirects": False,
        # A small packed answer may unpack to a huge one: the watch counts the bytes of the wire.
        "headers": {"Accept-Encoding": "identity"},
        "event_hooks": {"response": [_refuse_packed, read_to_the_end]},
    }


def _refuse_packed(response: Any) -> None:
    packed = response.headers.get("content-encoding", "identity")
    if packed != "identity":
        raise TooLarge(f"the answer is packed ({packed}), which nobody asked for: nobody knows how large it is")


def openai_base(endpoint: str) -> str:
    """The base URL of an OpenAI-compatible server; one without a path gets /v1."""
    trimmed = endpoint.rstrip("/")
    return trimmed if urlsplit(trimmed).path else f"{trimmed}/v1"


def is_openai(endpoint: str) -> bool:
    """Whether it is OpenAI's own service, which knows newer names of options than servers that are like it."""
    host = urlsplit(endpoint).hostname or "api.openai.com"
    return host.endswith(("openai.com", "openai.azure.com"))


def is_local(endpoint: str) -> bool:
    """Whether the server is on this machine, where no proxy of the environment belongs in between."""
    return urlsplit(endpoint).hostname in ("127.0.0.1", "localhost", "::1")
